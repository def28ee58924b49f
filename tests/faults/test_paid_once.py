"""Real worker processes, killed and stopped in mid-stream: every request is on the bill once.

The simulated provider notes each request that it receives in a file before it answers, across
processes. After each fault that file, the attempts in the run's history and the bill must agree.
"""

import asyncio
import contextlib
import json
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from client.runs import Run, Runs
from contracts.plans import Plan
from contracts.runs import RunCost, RunResult
from contracts.spools import SpoolRecord
from contracts.teams import WorkflowStatus
from stores.assembling import coherent
from stores.values import store_value
from tests.support.fixtures import ROOT
from tests.support.server import LocalServer
from tests.support.teams import agent, candidate, plan, team
from tests.support.workers import Workers, staffed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TEXT = (ROOT / "LICENSE").read_text()


class Stage:
    """A home, its workers and its runs."""

    def __init__(self, workers: Workers, runs: Runs, log: Path) -> None:
        self.workers, self.runs, self._log = workers, runs, log

    def plan(self, **more: object) -> Plan:
        """Return a plan of one agent that answers slowly enough to be caught at it."""
        options = {"tokens_per_second": 60, "log": str(self._log)}
        step = agent(
            "writer",
            "Sum up in 12 points:\n\n{text}",
            llm_config={"max_tokens": 400},
            **more,
        )
        spec = team(step, inputs={"text": {"type": "text"}})
        return plan(spec, candidate("simulated", "gpt-4", options=options))

    async def start(self, made: Plan) -> Run:
        text = await store_value(self.runs.store, TEXT, want_inline=False)
        return await self.runs.start(made, {"text": text}, f"fault-{uuid.uuid4()}")

    def requests(self, run: Run) -> list[str]:
        """Return the attempts that the provider was asked for, in order."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        entries = [json.loads(line) for line in lines]
        return [e["attempt"] for e in entries if e["run"] == run.run_id]

    async def in_mid_stream(self, run: Run, attempt: int = 1) -> None:
        """Wait until some words of an attempt have been written."""
        while len(await self.runs.spools.partial(run.run_id, "writer", attempt)) < 200:
            await asyncio.sleep(0.02)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
async def stage(server: LocalServer, home: Path) -> AsyncIterator[Stage]:
    workers = Workers(server.address, home)
    async with staffed(workers) as runs:
        yield Stage(workers, runs, home / "requests.jsonl")


async def finished(run: Run) -> tuple[RunResult, RunCost]:
    result = await asyncio.wait_for(run.wait(), 120)
    return result, await run.cost()


def text_of(stage: Stage, run: Run) -> str:
    lines = stage.runs.spools.path(run.run_id).read_text().splitlines()
    return coherent(_records(lines))["writer"]


def _records(lines: list[str]) -> Iterator[SpoolRecord]:
    for line in lines:
        with contextlib.suppress(ValueError):
            yield SpoolRecord.model_validate_json(line)


@pytest.mark.parametrize(
    "on_interrupt", [pytest.param("restart", marks=pytest.mark.slow), "continue"]
)
async def test_a_worker_killed_in_mid_stream(stage: Stage, on_interrupt: str) -> None:
    first = stage.workers.start()
    run = await stage.start(stage.plan(on_interrupt=on_interrupt))
    await stage.in_mid_stream(run)
    first.kill()
    stage.workers.start()
    result, cost = await finished(run)
    assert result.status is WorkflowStatus.COMPLETED
    assert [a.outcome for a in cost.attempts] == ["WorkerLost", "completed"]
    assert stage.requests(run) == ["1", "2"]
    lost, done = cost.attempts
    assert lost.state == "uncertain"
    assert lost.cost == lost.reserved
    assert cost.cost == lost.cost + done.cost
    answer = (await run.outputs(result))["writer"]
    assert text_of(stage, run) == answer


async def test_a_worker_stopped_in_mid_stream_hands_its_call_back(stage: Stage) -> None:
    first = stage.workers.start()
    run = await stage.start(stage.plan())
    await stage.in_mid_stream(run)
    first.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait, 60) == 0
    stage.workers.start()
    result, cost = await finished(run)
    assert result.status is WorkflowStatus.COMPLETED
    assert [a.outcome for a in cost.attempts] == ["WorkerStopping", "completed"]
    assert stage.requests(run) == ["1", "2"]
    assert cost.reserved == 0


@pytest.mark.slow
async def test_a_worker_that_has_time_finishes_its_call(server: LocalServer, home: Path) -> None:
    workers = Workers(server.address, home, grace=25)
    async with staffed(workers) as runs:
        stage = Stage(workers, runs, home / "requests.jsonl")
        first = workers.start()
        run = await stage.start(stage.plan())
        await stage.in_mid_stream(run)
        first.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(first.wait, 60) == 0
        workers.start()
        result, cost = await finished(run)
    assert result.status is WorkflowStatus.COMPLETED
    assert [a.outcome for a in cost.attempts] == ["completed"]
    assert stage.requests(run) == ["1"]
