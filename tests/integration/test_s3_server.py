"""The stores on a real S3 server: what they promise on a disk they promise there too."""

import asyncio
import base64
import os
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.artifacts import ArtifactRef
from contracts.messages import Message
from stores.artifacts import ArtifactStore
from stores.backend import PART_BYTES, RANGE_BYTES, Backend
from stores.exceptions import ArtifactMissing, StoreUnavailable
from stores.keys import digest_of
from stores.sealing import AesGcm
from stores.transcripts import Transcripts
from tests.cli.teams import simulated, write_team
from tests.support.buckets import BUCKET, SECRET, BucketServer, bucket_server
from tests.support.programs import kill, line_of, program

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Starter = Callable[..., "subprocess.CompletedProcess[str]"]
KEY = base64.b64encode(b"k" * 32).decode()
KEYS = AesGcm([("KEY_2026", KEY)])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    with bucket_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    """A server that the test may kill."""
    with bucket_server(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def url(
    shared: BucketServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A prefix of this test's own; obstore reads the credentials from the environment."""
    for name, value in shared.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{zlib.crc32(request.node.nodeid.encode())}"


async def test_artifacts_names_and_conversations_come_back(url: str) -> None:
    store = ArtifactStore.open(url, cache_bytes=0)
    ref = await store.put_json({"ü": [1, None]})
    await store.note("runs/r 1/../x", ref)
    assert await store.get_json(ref) == {"ü": [1, None]}
    assert await store.lookup("runs/r 1/../x") == ref
    assert await store.names("runs/") == ["runs/r 1/../x"]
    transcripts = Transcripts(store)
    node = None
    for number in range(5):
        node = await transcripts.append(node, [Message("user", str(number))])
    assert node is not None
    assert [m.content for m in await transcripts.read(node)] == ["0", "1", "2", "3", "4"]
    with pytest.raises(ArtifactMissing):
        await store.get_bytes(ArtifactRef(sha256="ab" * 32, size_bytes=1))


@pytest.mark.parametrize("size", [0, RANGE_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 12_345])
@pytest.mark.parametrize("sealer", [None, KEYS], ids=["plain", "sealed"])
async def test_content_of_any_size_goes_in_parts_and_comes_in_ranges(
    url: str, size: int, sealer: AesGcm | None
) -> None:
    store = ArtifactStore.open(url, *([sealer] if sealer else []), cache_bytes=0)
    data = os.urandom(size)
    ref = await store.put_bytes(data)
    pieces = [piece async for piece in store.stream(ref)]
    assert b"".join(pieces) == data
    assert all(len(piece) <= RANGE_BYTES for piece in pieces)
    assert await store.get_bytes(ref) == data


async def test_a_range_is_what_was_asked_for(url: str) -> None:
    backend = Backend.open(url)
    await backend.put("k", b"0123456789")
    assert await backend.get_range("k", 3, 7) == b"3456"
    assert await backend.get_range("none", 0, 1) is None


@pytest.mark.slow
async def test_a_listing_of_more_than_a_page_is_whole(url: str) -> None:
    store = ArtifactStore.open(url)
    ref = await store.put_text("x")
    names = [f"runs/r{number:04}" for number in range(1_100)]
    for start in range(0, len(names), 50):
        await asyncio.gather(*(store.note(name, ref) for name in names[start : start + 50]))
    assert await store.names("runs/") == names


async def test_a_new_name_is_one_writers_among_processes(url: str) -> None:
    code = (
        "import asyncio, sys\n"
        "from stores.artifacts import ArtifactStore\n"
        "async def main():\n"
        "    store = ArtifactStore.open(sys.argv[1])\n"
        "    ref = await store.put_text(sys.argv[2])\n"
        "    print(await store.note_new('claims/one', ref))\n"
        "asyncio.run(main())\n"
    )
    racing = [program(code, url, number) for number in range(4)]
    said = [process.communicate(timeout=60)[0].strip() for process in racing]
    assert sorted(said) == ["False", "False", "False", "True"]
    store = ArtifactStore.open(url)
    ref = await store.lookup("claims/one")
    assert ref is not None
    assert await store.get_text(ref) == str(said.index("True"))


async def test_sealed_content_is_not_to_be_read_in_the_bucket(url: str) -> None:
    ref = await ArtifactStore.open(url, KEYS).put_text("attack at dawn")
    backend = Backend.open(url)
    (entry,) = await backend.entries()
    assert digest_of(entry.key) == ref.sha256
    assert b"dawn" not in (await backend.get(entry.key) or b"dawn")


async def test_garbage_is_collected_there(url: str) -> None:
    store = ArtifactStore.open(url, cache_bytes=0)
    leaf = await store.put_text("leaf")
    await store.note("runs/r", await store.put_json({"leaf": leaf.model_dump()}))
    lost = await store.put_text("lost")
    await asyncio.sleep(2.1)  # S3 tells whole seconds
    collector = store.collector(timedelta(seconds=1))
    found = await collector.look((), lambda name, modified: False)
    assert [digest_of(entry.key) for entry in found.artifacts] == [lost.sha256]
    gone: list[str] = []
    assert await collector.remove(found, lambda entry: gone.append(entry.key)) == []
    assert len(gone) == 1
    assert await store.get_text(leaf) == "leaf"
    with pytest.raises(ArtifactMissing):
        await store.get_text(lost)
    assert await collector.remove(found, lambda entry: gone.append(entry.key)) == []
    assert len(gone) == 1


STOP_IN_MID_UPLOAD = """
import asyncio, sys, time
from stores.backend import PART_BYTES, Backend

def parts():
    for number in range(8):
        yield b"x" * PART_BYTES
    print("half", flush=True)
    time.sleep(60)

asyncio.run(Backend.open(sys.argv[1]).put_parts("artifacts/ab/cd", parts()))
"""


async def test_a_writer_killed_in_mid_upload_leaves_no_object(url: str) -> None:
    process = program(STOP_IN_MID_UPLOAD, url)
    assert line_of(process) == "half"
    kill(process)
    assert await Backend.open(url).entries() == []


@pytest.mark.slow
async def test_a_server_that_was_killed_is_named_and_is_used_again_when_it_is_back(
    own: BucketServer,
) -> None:
    store = ArtifactStore.open(own.url, cache_bytes=0)
    ref = await store.put_text("hello")
    own.kill()
    start = time.monotonic()
    for asking in (store.put_text("again"), store.get_text(ref)):
        with pytest.raises(StoreUnavailable, match=own.url) as caught:
            await asking
        assert str(own.port) in str(caught.value)
        assert SECRET not in str(caught.value)
    assert time.monotonic() - start < 60
    own.start()
    with pytest.raises(ArtifactMissing):
        await store.get_text(ref)
    assert await store.get_text(await store.put_text("hello")) == "hello"


def test_a_run_lives_in_the_bucket_and_doctor_says_so(
    shared: BucketServer, starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    address = f"s3://{BUCKET}/runs-of-a-team"
    env = {**shared.environment, "CALLBOARD_ARTIFACTS_URL": address}
    ran = starter(*simulated(write_team(tmp_path)), "--run-id", "r", env=env)
    assert ran.returncode == 0, ran.stderr
    assert not (Path(clean_environment["CALLBOARD_HOME"]) / "store").exists()
    assert starter("bill", "r", env=env).returncode == 0
    kept = starter("gc", "--dry-run", env=env)
    assert kept.returncode == 0, kept.stderr
    assert "would delete nothing" in kept.stdout
    fine = starter("doctor", env=env)
    assert f"{address}: written and read back, not encrypted" in fine.stdout


@pytest.mark.slow
def test_doctor_names_a_store_that_is_away(
    shared: BucketServer, starter: Starter, clean_environment: dict[str, str]
) -> None:
    env = {**shared.environment, "CALLBOARD_ARTIFACTS_URL": f"s3://{BUCKET}/x"}
    away = starter("doctor", env={**env, "AWS_ENDPOINT": "http://127.0.0.1:1"})
    assert away.returncode == 2
    assert f"s3://{BUCKET}/x" in away.stdout
    assert "127.0.0.1:1" in away.stdout
    no_bucket = starter("doctor", env={**env, "CALLBOARD_ARTIFACTS_URL": "s3://no-such-bucket/x"})
    assert no_bucket.returncode == 2
    assert "s3://no-such-bucket/x" in no_bucket.stdout
    bad = starter("doctor", env={"CALLBOARD_ARTIFACTS_URL": "ftp://host/x"})
    assert bad.returncode == 2
    assert "ftp://host/x: no such kind of store" in bad.stdout
    keyed = starter(
        "doctor",
        env={"CALLBOARD_ENCRYPTION_KEYS": "K2,K1", "K2": KEY, "K1": KEY},
    )
    assert "sealed with K2 (older: K1)" in keyed.stdout
