"""How much of a vendor's limits four worker processes use, and whether they ever pass them.

The vendor keeps exact sliding windows of 600 requests and 100,000 tokens a minute. The workers
are real ones, with the limits in a Redis server; runs ask for more than the limits allow, for
three minutes. The first minute, in which the windows fill, is not counted, except that no request
of any minute may be answered with 429.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks._apart import served
from benchmarks._candidates import openai_candidate
from benchmarks._limited import REQUESTS, TOKENS
from client.connection import connect
from client.devserver import find_server
from client.devserver.server import DevServer
from client.runs import Runs
from client.storage import open_storage
from config.settings import Settings
from contracts import search
from contracts.plans import Plan
from contracts.teams import ModelParams, ModelStep, TeamSpec
from tests.support.redis import running_redis
from worker import READY

ROOT = Path(__file__).resolve().parent.parent
WORKERS, RUNS, AGENTS, PARALLEL = 4, 8, 280, 50
MINUTES = 3
TARGET = 0.90
PROMPT = "Read this, and say yes. " * 10
POLICY = f"""
providers:
  openai:
    limits:
      requests_per_minute: {REQUESTS}
      requests_per_hour: {60 * REQUESTS}
      requests_per_day: {24 * 60 * REQUESTS}
      tokens_per_minute: {TOKENS}
      concurrency: 40
"""


@dataclass(frozen=True)
class Seen:
    """A request as the vendor saw it: seconds since the first, tokens, let in or not."""

    at: float
    tokens: int
    passed: bool


def plan() -> Plan:
    """Return a team of agents that need nothing of each other, with answers of 70 to 140 tokens."""
    steps = tuple(
        ModelStep(
            name=f"a{number}",
            prompt_template=PROMPT,
            llm_config=ModelParams(max_tokens=70 + 35 * (number % 3)),
        )
        for number in range(AGENTS)
    )
    candidate = openai_candidate("limited")
    return Plan(
        team=TeamSpec(name="limits", agents=steps, max_parallel_agents=PARALLEL),
        candidates=(candidate,),
        step_candidates={step.name: (0,) for step in steps},
    )


def vendor(log: Path) -> AbstractContextManager[str]:
    """Start the vendor; its address is what is entered."""
    return served("benchmarks._limited", str(log))


@contextlib.contextmanager
def workers(environment: dict[str, str], log: Path) -> Iterator[None]:
    """Start four workers, and wait until all of them serve."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        with log.open("wb") as errors:
            running += [
                subprocess.Popen(
                    [sys.executable, "worker.py", "openai"],
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    cwd=ROOT,
                )
                for _ in range(WORKERS)
            ]
        for process in running:
            assert process.stdout is not None
            if READY not in process.stdout.readline().decode():
                raise RuntimeError(f"a worker did not start: {log.read_text()[-2000:]}")
        yield
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()


async def load(address: str, home: Path, log: Path) -> None:
    """Start the runs; return three minutes after the first request."""
    client = await connect(address)
    storage = open_storage(Settings(home=home))
    runs = Runs(client, storage.store, storage.spools)
    made = plan()
    started = [await runs.start(made, {}, f"limits-{uuid.uuid4()}") for _ in range(RUNS)]
    async with asyncio.timeout(60):
        while not log.read_text():  # noqa: ASYNC110  # written by another process
            await asyncio.sleep(0.05)
    await asyncio.sleep(60 * MINUTES + 1)
    for run in started:
        with contextlib.suppress(Exception):
            await client.get_workflow_handle(run.run_id).terminate("the benchmark is over")


async def measure(folder: Path) -> list[Seen]:
    """Run everything; return what the vendor saw."""
    log, home, policy = folder / "requests.jsonl", folder / "home", folder / "policy.yaml"
    home.mkdir()
    policy.write_text(POLICY)
    binary = find_server(lambda line: print(f"  {line}", file=sys.stderr))
    server = DevServer(
        binary, folder / "server.db", log_file=folder / "log", search_attributes=search.TYPES
    )
    with running_redis(folder / "redis") as redis_url, vendor(log) as vendor_url:
        async with server:
            environment = {
                **os.environ,
                "CALLBOARD_TEMPORAL_ADDRESS": server.address,
                "CALLBOARD_HOME": str(home),
                "CALLBOARD_PERSONA_POLICY": str(policy),
                "CALLBOARD_REDIS_URL": redis_url,
                "EP_OPENAI_API_KEY": "benchmark",
                "EP_OPENAI_BASE_URL": f"{vendor_url}/v1",
            }
            with workers(environment, folder / "workers.log"):
                await load(server.address, home, log)
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [Seen(at - found[0][0], tokens, passed) for at, tokens, passed in found]


def show(seen: list[Seen]) -> bool:
    """Print the minutes; return whether the targets were met."""
    refused = sum(not request.passed for request in seen if request.at < 60 * MINUTES)
    for minute in range(MINUTES):
        within = [r for r in seen if r.passed and 60 * minute <= r.at < 60 * (minute + 1)]
        tokens = sum(request.tokens for request in within)
        print(f"  minute {minute + 1}: {len(within)} requests, {tokens:,} tokens")
    counted = [r for r in seen if r.passed and 60 <= r.at < 60 * MINUTES]
    minutes = MINUTES - 1
    of_requests = len(counted) / (minutes * REQUESTS)
    of_tokens = sum(request.tokens for request in counted) / (minutes * TOKENS)
    print(f"  used of the requests {of_requests:.1%}, of the tokens {of_tokens:.1%}")
    print(f"  answered with 429: {refused}")
    return max(of_requests, of_tokens) > TARGET and not refused


def main() -> int:
    """Measure and print. Returns the exit code."""
    if shutil.which("redis-server") is None:
        print("skipped: no redis-server here (Debian package redis-server)", file=sys.stderr)
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        good = show(asyncio.run(measure(Path(folder))))
    print(f"  {WORKERS} workers, {time.monotonic() - began:.0f} s in all")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
