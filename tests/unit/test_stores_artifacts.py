"""Artifacts: addressed by content, verified when read, cached, named."""

import hashlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from contracts.artifacts import ArtifactRef, Value
from contracts.runs import AttemptRecord
from stores.artifacts import JSON, RENEW_AFTER, TEXT, ArtifactStore
from stores.backend import PART_BYTES, RANGE_BYTES, Backend, Entry
from stores.exceptions import (
    ArtifactCorrupt,
    ArtifactMissing,
    InvalidStoreUrl,
    SourceChanged,
    StoreUnavailable,
)

pytestmark = pytest.mark.unit


class CountingBackend(Backend):
    """In memory, and counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(MemoryStore(), "memory://")
        self.gets: list[str] = []
        self.puts: list[str] = []
        self.uploads: list[str] = []

    async def get(self, key: str) -> bytes | None:
        self.gets.append(key)
        return await super().get(key)

    async def put(self, key: str, data: bytes) -> None:
        self.puts.append(key)
        await super().put(key, data)

    async def put_parts(self, key: str, parts: Iterator[bytes]) -> None:
        self.uploads.append(key)
        await super().put_parts(key, parts)


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(str(tmp_path / "data") if request.param == "folder" else "memory://")


def object_path(root: Path, ref: ArtifactRef) -> Path:
    return root / "artifacts" / ref.sha256[:2] / ref.sha256[2:]


async def test_a_text_comes_back_under_its_hash(store: ArtifactStore) -> None:
    ref = await store.put_text("grüß dich")
    assert ref.sha256 == hashlib.sha256("grüß dich".encode()).hexdigest()
    assert (ref.size_bytes, ref.media_type) == (11, TEXT)
    assert await store.get_text(ref) == "grüß dich"
    assert await store.exists(ref)
    assert await store.put_text("grüß dich") == ref


async def test_json_comes_back_and_one_value_has_one_address(store: ArtifactStore) -> None:
    one = await store.put_json({"b": [1, None, True], "a": "ü"})
    other = await store.put_json({"b": (1, None, True), "a": "ü"})
    assert one == other
    assert one.media_type == JSON
    assert await store.get_bytes(one) == '{"b":[1,null,true],"a":"ü"}'.encode()
    assert await store.get_json(one) == {"a": "ü", "b": [1, None, True]}


async def test_a_model_comes_back_with_its_decimals_exact(store: ArtifactStore) -> None:
    record = AttemptRecord(
        step="draft",
        number=1,
        provider="p",
        model="m",
        state="settled",
        reserved=Decimal("0.1000000000000000000001"),
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    ref = await store.put_json(record)
    assert await store.get_model(ref, AttemptRecord) == record
    assert (await store.get_json(ref))["reserved"] == "0.1000000000000000000001"


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 5])
async def test_bytes_of_any_size_come_back_whole_and_streamed(
    store: ArtifactStore, size: int
) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    ref = await store.put_bytes(data, "image/png")
    pieces = [piece async for piece in store.stream(ref)]
    assert b"".join(pieces) == data
    assert await store.get_bytes(ref) == data
    assert all(len(piece) <= RANGE_BYTES for piece in pieces)


async def test_what_is_not_there_is_named(store: ArtifactStore) -> None:
    ref = ArtifactRef(sha256="ab" * 32, size_bytes=7)
    for reading in (store.get_bytes(ref), store.get_text(ref), store.get_json(ref)):
        with pytest.raises(ArtifactMissing, match="ab" * 32) as caught:
            await reading
        assert caught.value.ref == ref
    with pytest.raises(ArtifactMissing):
        _ = [piece async for piece in store.stream(ref)]
    assert not await store.exists(ref)


@pytest.mark.parametrize("damage", [b"hollo", b"hell", b"", b"hello!"])
async def test_damage_is_noticed_when_read(tmp_path: Path, damage: bytes) -> None:
    writing = ArtifactStore.open(str(tmp_path))
    ref = await writing.put_text("hello")
    object_path(tmp_path, ref).write_bytes(damage)
    fresh = ArtifactStore.open(str(tmp_path))
    with pytest.raises(ArtifactCorrupt, match=ref.sha256):
        await fresh.get_text(ref)
    with pytest.raises(ArtifactCorrupt, match=ref.sha256):
        _ = [piece async for piece in fresh.stream(ref)]


async def test_storing_again_repairs_a_damaged_object(tmp_path: Path) -> None:
    store = ArtifactStore.open(str(tmp_path))
    ref = await store.put_text("hello")
    object_path(tmp_path, ref).write_bytes(b"")
    await store.put_text("hello")
    assert await ArtifactStore.open(str(tmp_path)).get_text(ref) == "hello"


async def test_what_is_no_text_json_or_model_is_said_to_be_none(store: ArtifactStore) -> None:
    ref = await store.put_bytes(b"\xff{")
    with pytest.raises(ArtifactCorrupt, match="not UTF-8"):
        await store.get_text(ref)
    with pytest.raises(ArtifactCorrupt, match="not JSON"):
        await store.get_json(ref)
    other = await store.put_json({"size_bytes": "secret words"})
    with pytest.raises(ArtifactCorrupt, match=r"no Value \(at size_bytes") as caught:
        await store.get_model(other, Value)
    assert "secret" not in str(caught.value)


async def test_what_was_read_or_written_once_is_not_fetched_again() -> None:
    backend = CountingBackend()
    store = ArtifactStore(backend)
    ref = await store.put_text("hello")
    assert await store.get_text(ref) == "hello"
    assert backend.gets == []
    cold = ArtifactStore(backend)
    await cold.get_text(ref)
    await cold.get_text(ref)
    assert len(backend.gets) == 1


async def test_large_objects_are_not_cached() -> None:
    backend = CountingBackend()
    store = ArtifactStore(backend)
    ref = await store.put_bytes(b"x" * (1024 * 1024 + 1))
    await store.get_bytes(ref)
    await store.get_bytes(ref)
    assert len(backend.gets) == 2


async def test_a_large_object_that_is_there_is_not_sent_again(tmp_path: Path) -> None:
    backend = CountingBackend()
    store = ArtifactStore(backend)
    source = tmp_path / "large.bin"
    source.write_bytes(b"x" * (PART_BYTES + 1))
    first = await store.put_file(source, "video/mp4")
    second = await store.put_file(source, "video/mp4")
    third = await store.put_bytes(source.read_bytes(), "video/mp4")
    assert first == second == third
    assert len(backend.uploads) == 1


async def test_a_large_object_of_old_is_sent_again_and_young_then(tmp_path: Path) -> None:
    store = ArtifactStore.open(str(tmp_path))
    ref = await store.put_bytes(b"x" * (PART_BYTES + 1))
    path = object_path(tmp_path, ref)
    old = time.time() - RENEW_AFTER.total_seconds() - 60
    os.utime(path, (old, old))
    await store.put_bytes(b"x" * (PART_BYTES + 1))
    assert path.stat().st_mtime > old + 60


@pytest.mark.parametrize("size", [0, 10, PART_BYTES + 3])
async def test_a_file_comes_back(store: ArtifactStore, tmp_path: Path, size: int) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"y" * size)
    ref = await store.put_file(source, "application/pdf")
    assert (ref.size_bytes, ref.media_type) == (size, "application/pdf")
    assert await store.get_bytes(ref) == b"y" * size


async def test_B12_changed_content_under_the_same_name_and_size_is_another_artifact(
    store: ArtifactStore, tmp_path: Path
) -> None:
    source = tmp_path / "report.txt"
    source.write_bytes(b"first!")
    first = await store.put_file(source)
    source.write_bytes(b"second")
    second = await store.put_file(source)
    assert first.size_bytes == second.size_bytes
    assert first.sha256 != second.sha256
    assert await store.get_bytes(first) == b"first!"


async def test_a_file_that_cannot_be_read_is_the_callers_error(store: ArtifactStore) -> None:
    with pytest.raises(FileNotFoundError):
        await store.put_file("no/such/file")


class ChangingBackend(CountingBackend):
    """Changes the source between its hashing and its sending, as another program might."""

    def __init__(self, source: Path) -> None:
        super().__init__()
        self._source = source

    async def head(self, key: str) -> Entry | None:
        self._source.write_bytes(b"z" * (PART_BYTES + 1))
        return await super().head(key)


async def test_a_file_that_changes_while_it_is_stored_is_not_stored(tmp_path: Path) -> None:
    source = tmp_path / "log.txt"
    source.write_bytes(b"a" * (PART_BYTES + 1))
    backend = ChangingBackend(source)
    with pytest.raises(SourceChanged, match=r"log\.txt"):
        await ArtifactStore(backend).put_file(source)
    assert await backend.keys("artifacts") == []


@pytest.mark.parametrize("form", ["{}", "file://{}"])
async def test_a_folder_is_made_for_its_owner_only(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "a b" / "ü"
    url = folder.as_uri() if "file" in form else str(folder)
    store = ArtifactStore.open(url)
    ref = await store.put_text("x")
    assert object_path(folder, ref).read_text() == "x"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_place_that_is_no_folder_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="file"):
        ArtifactStore.open(str(tmp_path / "file" / "below"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://host/x", "no such kind"),
        ("s3://key:hunter2@bucket/x", "environment"),
        ("s3://bucket/x?sig=hunter2", "environment"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_secrets(url: str, says: str) -> None:
    with pytest.raises(InvalidStoreUrl, match=says) as caught:
        ArtifactStore.open(url)
    assert isinstance(caught.value, ValueError)
    assert "hunter2" not in str(caught.value)


async def test_a_removed_folder_is_unavailable_or_missing_never_empty(tmp_path: Path) -> None:
    store = ArtifactStore.open(str(tmp_path / "s"), cache_bytes=0)
    ref = await store.put_text("x")
    object_path(tmp_path / "s", ref).unlink()
    with pytest.raises(ArtifactMissing):
        await store.get_text(ref)
