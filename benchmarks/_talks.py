"""A server, a vendor and a worker process, and conversations held with them."""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from benchmarks._candidates import openai_candidate
from benchmarks._clocked import vendor
from client.agent_plans import plan_own
from client.chats import Chats
from client.connection import connect
from client.devserver import find_server
from client.devserver.server import DevServer
from client.runs import Runs
from client.storage import open_storage
from config.agentfile import LoadedAgent
from config.settings import Settings
from contracts import search
from contracts.agents import AgentBudget, AgentModel, AgentSpec
from contracts.chats import AgentHeader
from contracts.retry import RetryRule
from contracts.teams import ModelParams
from worker import READY

ROOT = Path(__file__).resolve().parent.parent
MOST_OPEN = 300


@dataclass(frozen=True)
class Stage:
    """What a conversation needs: its client side, the worker's process, the vendor's address."""

    chats: Chats
    worker: int
    vendor: str

    async def header(self, model: str) -> AgentHeader:
        """Store an agent that answers as the vendor's `model` does."""
        agent = AgentSpec(
            name="clock",
            instructions="Tell the time.",
            model=AgentModel(provider="openai", params=ModelParams(model=model, max_tokens=2000)),
            budget=AgentBudget(session=Decimal(1000), turn=Decimal(1000)),
        )
        candidate = openai_candidate(model)
        loaded = LoadedAgent(agent, Path("agent.yaml"), {})
        planned = plan_own(loaded, lambda _: candidate, RetryRule(max_retries=0))
        return await planned.stored(self.chats.runs.store)


@contextlib.asynccontextmanager
async def stage(folder: Path, spools: str | None = None) -> AsyncIterator[Stage]:
    """Start everything; `spools` is what CALLBOARD_SPOOL_URL says."""
    home = folder / "home"
    home.mkdir()
    binary = find_server(lambda line: print(f"  {line}", file=sys.stderr))
    server = DevServer(
        binary, folder / "server.db", log_file=folder / "log", search_attributes=search.TYPES
    )
    with vendor() as address:
        async with server:
            environment = {
                **os.environ,
                "CALLBOARD_TEMPORAL_ADDRESS": server.address,
                "CALLBOARD_HOME": str(home),
                "CALLBOARD_CONCURRENCY": str(MOST_OPEN),
                "EP_OPENAI_API_KEY": "benchmark",
                "EP_OPENAI_BASE_URL": f"{address}/v1",
            }
            if spools:
                environment["CALLBOARD_SPOOL_URL"] = spools
            with _worker(environment, folder / "worker.log") as pid:
                storage = open_storage(Settings(home=home, spool_url=spools))
                client = await connect(server.address)
                runs = Runs(client, storage.store, storage.spools)
                yield Stage(Chats(runs), pid, address)
    await asyncio.sleep(0.05)


@contextlib.contextmanager
def _worker(environment: dict[str, str], log: Path) -> Iterator[int]:
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "worker.py", "openai"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
        )
    try:
        assert process.stdout is not None
        if READY not in process.stdout.readline().decode():
            raise RuntimeError(f"the worker did not start: {log.read_text()[-2000:]}")
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which this part of all lies, 0 < part < 1."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=1000, method="inclusive")[round(part * 1000) - 1]
