"""A dev server process for tests, on a file of its own."""

import asyncio
import contextlib
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RPCError


@dataclass(frozen=True)
class LocalServer:
    """A running server."""

    address: str
    pid: int


PORTS = range(12_000, 32_000)
"""Below those that the system gives to whoever connects, or listens at a port of no number."""


def free_port() -> int:
    """Return a port that nobody listens on just now, and that nobody gets who names none."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("none of a hundred ports was free")


@contextlib.contextmanager
def local_server(binary: Path, folder: Path, *settings: str) -> Iterator[LocalServer]:
    """Run a server for the duration of the context; `settings` are "name=value" in JSON."""
    for trial in range(3):
        try:
            with _one_server(binary, folder / f"trial{trial}", settings) as running:
                yield running
                return
        except PortTaken:
            continue
    raise RuntimeError("no port was free three times")


class PortTaken(Exception):
    """Another process was faster."""


@contextlib.contextmanager
def _one_server(binary: Path, folder: Path, settings: Sequence[str]) -> Iterator[LocalServer]:
    folder.mkdir()
    port = free_port()
    command = [
        str(binary), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port),
        "--headless", "--db-filename", str(folder / "server.db"), "--log-level", "error",
        "--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true",
    ]  # fmt: skip
    for setting in settings:
        command += ["--dynamic-config-value", setting]
    with (folder / "server.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            _wait_for(port, process, folder / "server.log")
            yield LocalServer(f"127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            text = log.read_text()[-2000:]
            raise PortTaken if "in use" in text else RuntimeError(f"the dev server died: {text}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.05)
    else:
        raise RuntimeError("the dev server did not start within 30 s")
    # It listens before it serves. In a thread, since a test's own loop may be running.
    with ThreadPoolExecutor(1) as apart:
        apart.submit(asyncio.run, _serving(f"127.0.0.1:{port}")).result()


async def _serving(address: str) -> None:
    for _ in range(300):
        with contextlib.suppress(RuntimeError, RPCError):
            await Client.connect(address)
            await asyncio.sleep(0.05)
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("the dev server did not serve within 30 s")
