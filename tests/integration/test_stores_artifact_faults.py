"""Artifacts under killed processes, full disks and large files: real processes, real files."""

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stores.artifacts import ArtifactStore
from tests.support.programs import kill, line_of, program

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def run(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run a program to its end in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )


def objects(root: Path) -> list[Path]:
    """Objects under final names; what a store stages has a `#` in its name."""
    return [path for path in root.rglob("*") if path.is_file() and "#" not in path.name]


STOP_IN_MID_UPLOAD = """
import asyncio, sys, time
from stores.backend import PART_BYTES, Backend

def parts():
    for _ in range(3):
        yield b"x" * PART_BYTES
    print("half", flush=True)
    time.sleep(60)

asyncio.run(Backend.open(sys.argv[1]).put_parts("artifacts/ab/cd", parts()))
"""


async def test_a_process_killed_in_mid_upload_leaves_nothing_under_the_final_name(
    tmp_path: Path,
) -> None:
    process = program(STOP_IN_MID_UPLOAD, tmp_path)
    assert line_of(process) == "half"
    kill(process)
    assert list(tmp_path.rglob("cd#*")), "it was not killed in mid-write"
    assert objects(tmp_path) == []


WRITE_FOR_EVER = """
import asyncio, os, sys
from stores.artifacts import ArtifactStore

async def main():
    store = ArtifactStore.open(sys.argv[1])
    while True:
        blobs = [os.urandom(size) for size in (10, 100_000, 3_000_000)]
        refs = await asyncio.gather(*[store.put_bytes(blob) for blob in blobs])
        await store.note("runs/latest", refs[0])
        print("noted", flush=True)

asyncio.run(main())
"""


async def test_whatever_a_killed_process_left_is_whole(tmp_path: Path) -> None:
    for pause in (0.05, 0.13, 0.21, 0.34):
        process = program(WRITE_FOR_EVER, tmp_path)
        assert line_of(process) == "noted"
        time.sleep(pause)
        kill(process)
    kept = objects(tmp_path / "artifacts")
    assert kept
    for path in kept:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name + path.name
    store = ArtifactStore.open(str(tmp_path))
    latest = await store.lookup("runs/latest")
    assert latest is not None
    assert len(await store.get_bytes(latest)) == 10


STORE_AND_END = """
import asyncio, sys
from stores.artifacts import ArtifactStore

async def main():
    store = ArtifactStore.open(sys.argv[1])
    ref = await store.put_text("x")
    async for _ in ArtifactStore.open(sys.argv[1]).stream(ref):
        pass
    print(await ArtifactStore.open(sys.argv[1]).get_text(ref))

asyncio.run(main())
"""


def test_processes_that_end_right_after_a_call_end_cleanly(tmp_path: Path) -> None:
    for _ in range(8):
        ended = run(STORE_AND_END, tmp_path)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "x\n", "")


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from stores.artifacts import ArtifactStore
from stores.exceptions import StoreUnavailable

async def main():
    store = ArtifactStore.open(sys.argv[1])
    source = Path(sys.argv[1]) / "source"
    source.write_bytes(b"y" * 20_000_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, -1))
    for storing in (store.put_bytes(b"x" * 600_000), store.put_file(source)):
        try:
            await storing
        except StoreUnavailable as error:
            print(error)
    print((await store.put_text("small")).size_bytes)

asyncio.run(main())
"""


def test_a_disk_that_takes_no_more_is_unavailable_and_leaves_no_half_object(
    tmp_path: Path,
) -> None:
    ended = run(FULL_DISK, tmp_path)
    assert ended.returncode == 0, ended.stderr
    *refusals, last = ended.stdout.splitlines()
    assert last == "5"
    assert len(refusals) == 2
    assert all(tmp_path.as_uri() in text and "too large" in text for text in refusals)
    assert [path.stat().st_size for path in objects(tmp_path / "artifacts")] == [5]


STORE_LARGE_FILE = """
import asyncio, base64, resource, sys
from pathlib import Path
from stores.artifacts import ArtifactStore
from stores.sealing import PLAIN, AesGcm

def peak_bytes():
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # On Linux ru_maxrss begins with the peak of the process that started this one.
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024

async def main():
    keys = [("K", base64.b64encode(b"k" * 32).decode())]
    sealer = AesGcm(keys) if sys.argv[3] == "sealed" else PLAIN
    store = ArtifactStore.open(sys.argv[1], sealer)
    ref = await store.put_file(sys.argv[2])
    size = 0
    async for piece in ArtifactStore.open(sys.argv[1], sealer).stream(ref):
        size += len(piece)
    print(ref.size_bytes, size, peak_bytes())

asyncio.run(main())
"""


@pytest.mark.parametrize("form", ["plain", "sealed"])
@pytest.mark.parametrize("size", [64_000_000, pytest.param(2_000_000_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_a_large_file_is_stored_and_streamed_in_little_memory(
    tmp_path: Path, size: int, form: str
) -> None:
    free = shutil.disk_usage(tmp_path).free
    if free < 3 * size:
        pytest.skip(f"{3 * size:,} bytes of disk are needed, and {free:,} are free")
    source = tmp_path / "large"
    with source.open("wb") as file:
        for number in range(size // 1_000_000):
            file.write(number.to_bytes(8, "big") * 125_000)
    try:
        ended = run(STORE_LARGE_FILE, tmp_path / "store", source, form)
        assert ended.returncode == 0, ended.stderr
        stored, streamed, peak = map(int, ended.stdout.split())
        assert stored == streamed == size
        assert 20_000_000 < peak < 200_000_000
    finally:
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        source.unlink()


IMPORT_ALL = """
import importlib, sys
for name in ("artifacts", "values", "transcripts", "spools", "assembling", "locations", "sealing"):
    importlib.import_module(f"stores.{name}")
print([name for name in ("temporalio", "cryptography", "platformdirs") if name in sys.modules])
"""


def test_importing_the_stores_brings_in_nothing_heavy() -> None:
    ended = run(IMPORT_ALL)
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr
