"""A Redis server for tests: a real one, at a port of its own, gone afterwards.

`redis` is a test's own, which it may kill, hold and start again; `redis_url` is shared by all tests
of the session that only use it, each under names of its own.
"""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import free_port


def redis_binary() -> str:
    """Return the program, or skip the test."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("no redis-server here (Debian package redis-server)")
    return found


class RedisProcess:
    """A server of one port, which may be killed, held and started again."""

    def __init__(self, folder: Path, port: int | None = None, *options: str) -> None:
        folder.mkdir(exist_ok=True)
        self.port = port or free_port()
        self._command = [
            redis_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--appendonly", "no", "--dir", str(folder), *options,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty; wait until it answers."""
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdout=quiet, stderr=quiet)
        _wait_for(self.port, self._process)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, held or not; with all that it kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@contextlib.contextmanager
def running_redis(folder: Path, port: int | None = None) -> Iterator[str]:
    """Run a server for the duration of the context; return its URL."""
    process = RedisProcess(folder, port)
    try:
        process.start()
        yield process.url
    finally:
        process.kill()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    """A server of the test's own, running."""
    process = RedisProcess(tmp_path / "redis")
    process.start()
    yield process
    process.kill()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that all tests of the session share."""
    with running_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


async def only_this_one(client: Any) -> None:
    """Wait until a client's connection is the only one that its server has."""
    async with asyncio.timeout(30):
        while len(await client.client_list()) > 1:
            await asyncio.sleep(0.02)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(1200):
        if process.poll() is not None:
            raise RuntimeError("the Redis server ended at once")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("the Redis server did not start within a minute")
