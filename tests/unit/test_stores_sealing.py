"""Sealing: what is kept cannot be read without the key, and keys can be rotated."""

import base64
from pathlib import Path

import pytest

from contracts.artifacts import ArtifactRef
from stores.artifacts import ArtifactStore
from stores.backend import PART_BYTES
from stores.exceptions import ArtifactCorrupt, SealBroken, WrongKey
from stores.framing import PIECE_BYTES
from stores.sealing import AesGcm
from stores.spools import FileSpools

pytestmark = pytest.mark.unit


def key(letter: str) -> str:
    return base64.b64encode(letter.encode() * 32).decode()


OLD, NEW = ("2025", key("o")), ("2026", key("n"))


def test_sealed_bytes_open_and_do_not_show_or_repeat_the_content() -> None:
    sealer = AesGcm([NEW])
    one, two = sealer.seal(b"attack at dawn"), sealer.seal(b"attack at dawn")
    assert sealer.open(one) == sealer.open(two) == b"attack at dawn"
    assert one != two
    assert b"dawn" not in one


def test_the_first_key_seals_and_every_key_opens() -> None:
    sealed = AesGcm([OLD]).seal(b"x")
    rotated = AesGcm([NEW, OLD])
    assert rotated.open(sealed) == b"x"
    assert AesGcm([NEW]).open(rotated.seal(b"y")) == b"y"


def test_a_wrong_key_is_told_from_damage_and_is_never_shown() -> None:
    sealed = AesGcm([OLD]).seal(b"x")
    with pytest.raises(WrongKey, match="'2025', which is not configured") as unknown:
        AesGcm([NEW]).open(sealed)
    with pytest.raises(WrongKey, match="'2025' is not the one") as different:
        AesGcm([("2025", key("z"))]).open(sealed)
    for error in (unknown, different):
        assert key("o") not in str(error.value)
        assert key("z") not in str(error.value)


def test_every_single_changed_byte_is_noticed() -> None:
    sealer = AesGcm([OLD])
    sealed = sealer.seal(b"hello")
    for at in range(len(sealed)):
        broken = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises((SealBroken, WrongKey)):
            sealer.open(broken)
    for end in range(len(sealed)):
        with pytest.raises((SealBroken, WrongKey)):
            sealer.open(sealed[:end])


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ([], "at least one"),
        ([("a", "no base64!")], "'a' is not base64"),
        ([("a", base64.b64encode(b"short").decode())], "5 bytes"),
        ([OLD, OLD], "unique"),
        ([("", key("a"))], "1 to 64"),
    ],
)
def test_keys_that_are_none_are_refused(keys: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        AesGcm(keys)


def object_path(root: Path, ref: ArtifactRef) -> Path:
    return root / "artifacts" / ref.sha256[:2] / f"{ref.sha256[2:]}.aesgcm"


@pytest.mark.parametrize("size", [0, 5, PIECE_BYTES, PIECE_BYTES + 1, PART_BYTES + PIECE_BYTES + 7])
async def test_sealed_artifacts_come_back_whole_and_streamed(tmp_path: Path, size: int) -> None:
    data = (b"0123456789" * (size // 10 + 1))[:size]
    source = tmp_path / "source"
    source.write_bytes(data)
    root = tmp_path / "store"
    ref = await ArtifactStore.open(str(root), AesGcm([NEW])).put_bytes(data)
    assert await ArtifactStore.open(str(root), AesGcm([NEW])).put_file(source) == ref
    stored = object_path(root, ref).read_bytes()
    assert b"0123456789" not in stored
    cold = ArtifactStore.open(str(root), AesGcm([NEW, OLD]))
    assert b"".join([piece async for piece in cold.stream(ref)]) == data
    assert await cold.get_bytes(ref) == data


async def test_sealed_and_plain_objects_never_mix(tmp_path: Path) -> None:
    plain = ArtifactStore.open(str(tmp_path))
    sealed = ArtifactStore.open(str(tmp_path), AesGcm([NEW]))
    before = await plain.put_text("before")
    assert await sealed.get_text(before) == "before"
    assert b"".join([piece async for piece in sealed.stream(before)]) == b"before"
    assert not await sealed.exists(before)
    after = await sealed.put_text("after")
    with pytest.raises(WrongKey, match="no keys"):
        await plain.get_text(after)
    with pytest.raises(WrongKey, match="'2026'"):
        await ArtifactStore.open(str(tmp_path), AesGcm([OLD])).get_text(after)


async def test_damaged_or_cut_sealed_objects_are_corrupt(tmp_path: Path) -> None:
    ref = await ArtifactStore.open(str(tmp_path), AesGcm([NEW])).put_bytes(b"x" * (PIECE_BYTES + 9))
    path = object_path(tmp_path, ref)
    whole = path.read_bytes()
    frame = 4 + int.from_bytes(whole[:4], "big")
    for damaged in (whole[:-1], whole[:frame], whole[frame:], whole[:-1] + b"?", b"\xff" * 9):
        path.write_bytes(damaged)
        cold = ArtifactStore.open(str(tmp_path), AesGcm([NEW]))
        with pytest.raises(ArtifactCorrupt):
            await cold.get_bytes(ref)
        with pytest.raises(ArtifactCorrupt):
            _ = [piece async for piece in cold.stream(ref)]


async def test_sealed_spools_are_read_with_the_key_only(tmp_path: Path) -> None:
    spools = FileSpools(tmp_path, AesGcm([NEW]))
    attempt = spools.open_attempt("run", "agent", 1)
    attempt.delta("the secret plan")
    attempt.close()
    assert await spools.partial("run", "agent", 1) == "the secret plan"
    assert b"secret" not in spools.path("run").read_bytes()
    assert await FileSpools(tmp_path).partial("run", "agent", 1) == ""
    assert await FileSpools(tmp_path, AesGcm([OLD])).partial("run", "agent", 1) == ""
