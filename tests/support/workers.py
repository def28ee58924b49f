"""Real worker processes that tests start, stop and kill, and a client for what they work at.

The processes of one `Workers` share a home. What each says is in a file of its own beside it: no
pipe fills up, and a test can wait for a word.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from client.runs import Runs
from stores.artifacts import ArtifactStore
from stores.locations import DataDir
from stores.spooling import Spools
from stores.spools import FileSpools
from tests.support.fixtures import ROOT
from worker import READY

Worker = subprocess.Popen[bytes]

SOON_S = 0.5
"""How long a stopped worker lets calls go on, unless a test says otherwise."""

START_S = 60
"""Within which a worker is ready, however busy the machine is."""


class Workers:
    """Worker processes of one server and one home; `environment` goes to all of them."""

    def __init__(
        self, address: str, home: Path, *queues: str, grace: float = SOON_S, **environment: str
    ) -> None:
        home.mkdir(exist_ok=True)
        self.address, self.home = address, home
        self._queues = queues or ("simulated",)
        self._environment = {
            **os.environ,
            "CALLBOARD_TEMPORAL_ADDRESS": address,
            "CALLBOARD_HOME": str(home),
            "CALLBOARD_GRACEFUL_SHUTDOWN": str(grace),
            **environment,
        }
        self._running: list[Worker] = []

    def start(self, *arguments: str, **environment: str) -> Worker:
        """Start one more, for the providers of all or as its own arguments say."""
        with self._log(len(self._running)).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "worker.py"), *(arguments or self._queues)],
                env={**self._environment, **environment}, stdout=log, stderr=log, cwd=ROOT,
            )  # fmt: skip
        self._running.append(process)
        return process

    def said(self, process: Worker) -> str:
        """Return what a worker has said so far."""
        return self._log(self._running.index(process)).read_text()

    async def ready(self, process: Worker) -> None:
        """Wait until a worker says that it polls; raise with its last words if it never does."""
        async with asyncio.timeout(START_S):
            while READY not in self.said(process):
                assert process.poll() is None, self.said(process)
                await asyncio.sleep(0.02)

    def stop(self) -> None:
        """Leave none behind."""
        for process in self._running:
            process.kill()
            process.wait()

    def _log(self, number: int) -> Path:
        return self.home.with_name(f"{self.home.name}-worker{number}.log")


async def runs_at(address: str, home: Path, spools: Spools | None = None) -> Runs:
    """Return a client's runs on a server and in a home; spools are its files if not told."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    data = DataDir(home)
    store = ArtifactStore.open(data.artifacts_url)
    return Runs(client, store, spools or FileSpools(data.spools))


@contextlib.asynccontextmanager
async def staffed(workers: Workers, spools: Spools | None = None) -> AsyncIterator[Runs]:
    """Give the runs of these workers' home; afterwards none of the workers is left."""
    try:
        yield await runs_at(workers.address, workers.home, spools)
    finally:
        workers.stop()
    await asyncio.sleep(0.05)  # the client's connection ends in a turn of the loop after its last
