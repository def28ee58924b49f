"""Names in a store: point to artifacts, kept apart whatever their form, never lost silently."""

import asyncio
from pathlib import Path

import pytest

from stores.artifacts import ArtifactStore
from stores.backend import Backend
from stores.exceptions import (
    OutsideStore,
    StoreError,
    StoreUnavailable,
)

pytestmark = pytest.mark.unit


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(str(tmp_path / "data") if request.param == "folder" else "memory://")


async def test_names_point_and_can_be_pointed_elsewhere(store: ArtifactStore) -> None:
    one, two = await store.put_text("1"), await store.put_text("2")
    assert await store.lookup("runs/r-1") is None
    await store.note("runs/r-1", one)
    await store.note("runs/r-1", two)
    assert await store.lookup("runs/r-1") == two


async def test_of_many_who_want_a_new_name_one_gets_it(store: ArtifactStore) -> None:
    refs = [await store.put_text(str(number)) for number in range(8)]
    won = await asyncio.gather(*(store.note_new("claims/one", ref) for ref in refs))
    assert won.count(True) == 1
    assert await store.lookup("claims/one") == refs[won.index(True)]
    for _ in range(2):
        await store.forget("claims/one")
    assert await store.lookup("claims/one") is None
    assert await store.note_new("claims/one", refs[0])


async def test_a_key_cannot_climb_out_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("private")
    backend = Backend.open(str(tmp_path / "store"))
    for reading in (backend.get("../outside"), backend.head("../outside")):
        with pytest.raises(StoreUnavailable):
            await reading
    with pytest.raises((StoreUnavailable, OutsideStore)):
        await backend.delete("../outside")
    assert (tmp_path / "outside").read_text() == "private"


AWKWARD = [
    "runs/a",
    "runs/a/b",
    "runs/a.ref",
    "runs/a.ref/b",
    "runs/..",
    "runs/../../etc",
    "runs/ü b#1",
    "runs/" + "n" * 900,
]


async def test_names_of_any_form_are_kept_apart_and_listed(store: ArtifactStore) -> None:
    refs = {name: await store.put_text(name) for name in AWKWARD}
    for name, ref in refs.items():
        await store.note(name, ref)
    for name, ref in refs.items():
        assert await store.lookup(name) == ref
    assert await store.names("runs/") == sorted(AWKWARD)
    assert await store.names("runs/a") == ["runs/a", "runs/a.ref", "runs/a.ref/b", "runs/a/b"]
    assert await store.names("runs/a/") == ["runs/a/b"]
    assert await store.names("other/") == []


async def test_names_stay_in_their_folder(tmp_path: Path) -> None:
    store = ArtifactStore.open(str(tmp_path / "root" / "store"))
    await store.note("runs/../../../escaped", await store.put_text("x"))
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    with pytest.raises(ValueError, match="artifacts/"):
        await store.note("artifacts/ab", await store.put_text("x"))
    with pytest.raises(ValueError, match="empty"):
        await store.note("runs/", await store.put_text("x"))


async def test_a_damaged_name_is_an_error_not_an_absence(tmp_path: Path) -> None:
    store = ArtifactStore.open(str(tmp_path))
    await store.note("runs/r", await store.put_text("x"))
    (tmp_path / "runs" / "r.ref").write_bytes(b"")
    with pytest.raises(StoreError, match="runs/r"):
        await store.lookup("runs/r")
