"""Finds the Temporal server that Callboard embeds, or has it made.

`find_server` looks, in this order, at CALLBOARD_TEMPORAL_BIN, a `temporal`
command on PATH, and the user cache. Failing these it lets the Temporal SDK
download its own (15 s at most), and finally builds `devserver/` with Go.

Strategy: a built server's file name carries a digest of its sources, so that
editing them makes a new one. Files appear in the cache by rename, under a file
lock: two processes may look at once.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from client.devserver.build import build_server
from client.devserver.child import TICK_S
from client.devserver.download import sdk_download
from client.devserver.errors import BinaryNotFoundError

Report = Callable[[str], None]
Origin = Literal["env", "path", "cache", "download", "build"]

SOURCES = Path(__file__).resolve().parents[2] / "devserver"
BIN_VARIABLE = "CALLBOARD_TEMPORAL_BIN"
NO_DOWNLOAD_VARIABLE = "CALLBOARD_NO_DOWNLOAD"


@dataclass(frozen=True)
class ServerBinary:
    """A server that takes the flags of `temporal server start-dev`."""

    path: Path
    origin: Origin


def find_server(
    report: Report,
    *,
    env: Mapping[str, str] = os.environ,
    which: Callable[[str], str | None] = shutil.which,
    cache: Path | None = None,
    sources: Path = SOURCES,
    download: Callable[[Path, Report], bool] = sdk_download,
    build: Callable[[Path, Path, Report], None] = build_server,
) -> ServerBinary:
    """Return the first server found; download or build one where there is none.

    `report` is told, in lines of text, about anything that takes time. Blocks
    for minutes when it builds: call it in a thread from asynchronous code.

    `download(target, report)` says whether it made the file; `build(sources,
    target, report)` makes it or raises. Both write `target` at once or not at all.
    """
    if named := env.get(BIN_VARIABLE):
        return ServerBinary(_executable(Path(named).expanduser()), "env")
    if on_path := which("temporal"):
        return ServerBinary(Path(on_path), "path")
    folder = cache or user_cache_path("callboard", ensure_exists=True)
    built, downloaded = built_path(folder, sources), downloaded_path(folder)
    for path in (built, downloaded):
        if os.access(path, os.X_OK):
            return ServerBinary(path, "cache")
    with locked(folder / "devserver.lock", report):
        for path in (built, downloaded):
            if os.access(path, os.X_OK):
                return ServerBinary(path, "cache")
        if env.get(NO_DOWNLOAD_VARIABLE) != "1" and download(downloaded, report):
            return ServerBinary(downloaded, "download")
        build(sources, built, report)
    return ServerBinary(built, "build")


def _executable(path: Path) -> Path:
    if not path.is_file():
        raise BinaryNotFoundError(
            f"{BIN_VARIABLE} names {path}, and there is no such file. Correct it or unset it."
        )
    if not os.access(path, os.X_OK):
        raise BinaryNotFoundError(
            f"{BIN_VARIABLE} names {path}, which is not executable: chmod +x {path}"
        )
    return path


def built_path(cache: Path, sources: Path = SOURCES) -> Path:
    """Where the server built from these very sources is kept."""
    digest = hashlib.sha256()
    for file in source_files(sources):
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    system = f"{platform.system()}-{platform.machine()}".lower()
    return cache / f"devserver-{digest.hexdigest()[:16]}-{system}"


def source_files(sources: Path) -> Sequence[Path]:
    """The files that a build depends on, sorted by name."""
    found = [*sources.glob("*.go"), sources / "go.mod", sources / "go.sum"]
    return sorted(f for f in found if f.is_file() and not f.name.endswith("_test.go"))


def downloaded_path(cache: Path) -> Path:
    """Where the server that belongs to the installed Temporal SDK is kept."""
    return cache / f"temporal-{importlib.metadata.version('temporalio')}"


@contextmanager
def locked(path: Path, report: Report) -> Generator[None, None, None]:
    """Hold the lock that keeps two processes from building at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, started = FileLock(path), time.monotonic()
    while True:
        try:
            lock.acquire(timeout=TICK_S)
            break
        except Timeout:
            waited = time.monotonic() - started
            report(f"another process is making the server, waiting ({waited:.0f} s)")
    try:
        yield
    finally:
        lock.release()
