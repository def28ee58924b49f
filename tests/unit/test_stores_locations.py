"""Where data lies, and how the things people name are called on disk."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.artifacts import ArtifactStore
from stores.locations import DataDir
from stores.naming import LONGEST, file_name, original_name

pytestmark = pytest.mark.unit


def test_folders_are_made_for_their_owner_only(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "some" / "home")
    for folder in (data.spools, data.logs, data.server_db.parent, data.root):
        assert folder.is_dir()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert data.spools.parent == data.logs.parent == data.root
    assert not data.server_db.exists()


async def test_the_artifacts_address_opens_below_the_root(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "with space")
    store = ArtifactStore.open(data.artifacts_url)
    await store.put_text("x")
    assert len(list((data.root / "store" / "artifacts").glob("*/*"))) == 1


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    DataDir(tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


def test_the_environment_names_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_HOME", str(tmp_path / "from-env"))
    assert DataDir().root == tmp_path / "from-env"
    assert DataDir(tmp_path / "given").root == tmp_path / "given"
    monkeypatch.delenv("CALLBOARD_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert DataDir().root.name == "callboard"


def test_an_existing_root_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    mode = (tmp_path / "home").stat().st_mode
    _ = DataDir(tmp_path / "home").spools
    assert (tmp_path / "home").stat().st_mode == mode


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("team-1_a", "team-1_a"),
        ("a/b", "a=2Fb"),
        ("..", "=2E=2E"),
        ("ü", "=C3=BC"),
        ("a=2Fb", "a=3D2Fb"),
        ("nul\0", "nul=00"),
    ],
)
def test_names_become_safe_file_names(name: str, safe: str) -> None:
    assert file_name(name) == safe
    assert original_name(safe) == name


names = st.text(st.characters(exclude_categories=[]), min_size=1, max_size=300)


@given(names, names)
def test_different_names_never_share_a_file(one: str, other: str) -> None:
    safe = file_name(one)
    assert (safe == file_name(other)) == (one == other)
    assert len(safe) <= LONGEST
    assert safe.isascii()
    assert not set(safe) & set("./\\:#* \0")
    assert original_name(safe) in (one, None)
    if len(one.encode("utf-8", "surrogatepass")) * 3 <= LONGEST:
        assert original_name(safe) == one
