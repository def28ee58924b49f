"""A real worker killed while a tool of a team's agent works; tools that live in a worker apart.

After each fault the files, the run and the bill must agree.
"""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from client.agent_plans import plan_own
from client.runs import Run, Runs
from config.agentfile import load_agent
from contracts.artifacts import ArtifactRef
from contracts.plans import Plan
from contracts.runs import RunStatus
from contracts.teams import AgentStatus, AgentStep
from contracts.updates import Answer
from stores.transcripts import Transcripts
from tests.support.server import LocalServer
from tests.support.stamping import STAMP_CODE, stamped, stamping, stamps
from tests.support.teams import AT_ONCE, agent, candidate, plan, team
from tests.support.workers import Worker, Workers, staffed

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

AGENT = """\
name: registrar
model: {provider: simulated, name: gpt-4, max_tokens: 300}
instructions: You sum up and stamp.
"""
SECRET_TOOL = '''
import os


def stamp(title: str) -> str:
    """Stamp a title."""
    return f"stamped {title} with a seal of {len(os.environ['SEAL'])} letters"
'''


class Stage:
    """A home, its workers and its runs."""

    def __init__(self, workers: Workers, runs: Runs, folder: Path) -> None:
        self.workers, self.runs, self.folder = workers, runs, folder

    def plan(self, tools: str, code: str) -> Plan:
        """Return the plan of a team of an agent that stamps and a model that goes on from it."""
        (self.folder / "agent.yaml").write_text(AGENT + tools)
        (self.folder / "tools.py").write_text(code)
        options = {"tokens_per_second": 200, "log": str(self.folder / "requests.jsonl")}
        one = candidate("simulated", "gpt-4", options=options)
        draft = plan_own(load_agent(self.folder / "agent.yaml", {}), lambda _: one, AT_ONCE).draft()
        step = AgentStep(
            name="register",
            file="agent.yaml",
            prompt_template='Stamp the title "Deed"',
            cost_limit=Decimal(1),
        )
        spec = team(step, agent("report", "Report: {register}", dependencies=("register",)))
        return plan(spec, one, agents={"register": draft})

    async def start(self, tools: str, code: str) -> Run:
        return await self.runs.start(self.plan(tools, code), {}, f"run-{uuid.uuid4()}")

    def requests(self) -> list[tuple[str, str]]:
        lines = (self.folder / "requests.jsonl").read_text().splitlines()
        return [(entry["agent"], entry["attempt"]) for entry in map(json.loads, lines)]

    def stamps(self) -> list[str]:
        return stamps(self.folder)

    async def told(self, run: Run) -> str:
        """Return what the agent was told by its tool."""
        (result, *_) = await run.results()
        ref = ArtifactRef.model_validate(result.metadata["transcript"])
        messages = await Transcripts(self.runs.store).read(ref)
        return messages[2].content


@pytest.fixture
async def stage(server: LocalServer, tmp_path: Path) -> AsyncIterator[Stage]:
    workers = Workers(server.address, tmp_path / "home")
    async with staffed(workers) as runs:
        yield Stage(workers, runs, tmp_path)


async def killed_while_stamping(stage: Stage, worker: Worker) -> None:
    await stamped(stage.folder)
    assert stage.stamps() == ["Deed"]
    worker.kill()
    worker.wait()
    stage.workers.start()


async def asked(run: Run) -> RunStatus:
    for _ in range(600):
        with contextlib.suppress(Exception):
            status = await run.current_status()
            if status.questions or status.completed_at:
                return status
        await asyncio.sleep(0.1)
    raise AssertionError("nobody was asked")


async def test_a_worker_killed_while_a_tool_of_an_agents_step_works(stage: Stage) -> None:
    first = stage.workers.start()
    run = await stage.start(stamping(effect="idempotent"), STAMP_CODE)
    await killed_while_stamping(stage, first)
    result = await asyncio.wait_for(run.wait(), 120)
    bill = await run.cost()
    assert result.status.value == "completed", result.error
    assert stage.stamps() == ["Deed", "Deed"]
    assert "stamped Deed" in await stage.told(run)
    assert stage.requests() == [("register.1", "1"), ("register.2", "2"), ("report", "1")]
    assert [a.id for a in bill.attempts] == ["register#1", "register#2", "report#1"]
    assert bill.reserved == 0
    assert bill.uncertain == 0


@pytest.mark.parametrize("again", [True, False])
async def test_an_unsafe_tool_of_a_step_waits_for_a_persons_word(stage: Stage, again: bool) -> None:
    first = stage.workers.start()
    run = await stage.start(stamping(effect="unsafe"), STAMP_CODE)
    await killed_while_stamping(stage, first)
    status = await asked(run)
    (question,) = status.questions
    assert "whether that was done is not known" in question.ask
    assert len(stage.stamps()) == 1
    await run.answer(Answer(step="register", choice="approve" if again else "reject"))
    result = await asyncio.wait_for(run.wait(), 120)
    assert result.status.value == "completed", result.error
    assert len(stage.stamps()) == (2 if again else 1)
    assert ("stamped" in await stage.told(run)) is again


async def test_tools_with_secrets_run_in_a_worker_of_their_own(stage: Stage) -> None:
    stage.workers.start()
    apart = stage.workers.start("--tools", "seals", SEAL="a very secret seal")
    run = await stage.start(stamping(queue="seals", secrets="[SEAL]"), SECRET_TOOL)
    result = await asyncio.wait_for(run.wait(), 120)
    steps = {step.agent_id: step for step in await run.results()}
    assert result.status.value == "completed", result.error
    assert steps["register"].status is AgentStatus.COMPLETED
    assert "a seal of 18 letters" in await stage.told(run)
    apart.terminate()
    assert await asyncio.to_thread(apart.wait, 60) == 0
    assert "ready for tools: seals" in stage.workers.said(apart)
