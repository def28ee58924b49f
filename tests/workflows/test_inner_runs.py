"""What teams within a team ask is asked, and answered, where their run is looked at."""

import asyncio
from pathlib import Path

import pytest
from temporalio.client import WorkflowUpdateFailedError

from client.cli.following import Paused, follow
from client.cli.picture import Picture
from client.cli.progress import Progress
from client.run import Run
from contracts.plans import Plan
from contracts.runs import RunStatus
from contracts.teams import ApprovalStep, TeamStep, WorkflowStatus
from contracts.updates import Answer, PauseRequest
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration


class Silent(Progress):
    """Shows nothing."""

    def changed(self) -> None:
        """Do nothing."""

    def report(self, line: str) -> None:
        """Do nothing."""


def nested() -> Plan:
    """A team in a team in a team; the innermost asks, and has an agent behind the question."""
    asks = ApprovalStep(name="ok", ask="Sure?", choices=("yes", "no"))
    last = agent("last", "{ok}", dependencies=("ok",))
    deepest = plan(team(asks, last, name="deep", outputs={"said": "{ok}"}))
    deep = TeamStep(name="deep", file="deep.yaml", inputs={})
    middle = team(deep, name="sub", outputs={"said": "{deep.said}"})
    sub = TeamStep(name="sub", file="sub.yaml", inputs={})
    return plan(
        team(sub, outputs={"said": "{sub.said}"}),
        children={"sub": plan(middle, children={"deep": deepest})},
    )


async def asking(run: Run) -> RunStatus:
    """Wait until a run asks something."""
    for _ in range(600):
        status = await run.status()
        if status.questions:
            return status
        await asyncio.sleep(0.05)
    raise AssertionError(status)


async def test_what_a_team_within_a_team_asks_ends_the_following_and_can_be_answered(
    server: LocalServer, tmp_path: Path
) -> None:
    async with harness(server.address, tmp_path, Script(), cached_workflows=10) as running:
        run = await running.start(nested())
        with pytest.raises(Paused, match="sub/deep/ok asks") as paused:
            async with Silent(Picture(run.run_id)) as progress:
                await asyncio.wait_for(follow(run, progress, may_pause=False), 60)
        assert f"approve {run.run_id} sub/deep/ok yes|no" in paused.value.waits[0].how
        assert (await run.status()).paused_for == "sub/deep/ok asks: Sure? (yes or no)"
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await run.answer(Answer(step="sub/deep/ok", choice="perhaps"))
        assert "is no choice of ok" in str(refused.value.cause)
        await run.answer(Answer(step="sub/deep/ok", choice="yes"))
        result = await run.wait()
        assert await run.outputs(result) == {"said": "yes"}


async def test_a_pause_holds_for_the_teams_within(server: LocalServer, tmp_path: Path) -> None:
    script = Script({"last": [Say("in the end")]})
    async with harness(server.address, tmp_path, script, cached_workflows=10) as running:
        run = await running.start(nested())
        await asking(run)
        await run.pause(PauseRequest(paused=True))
        await run.answer(Answer(step="sub/deep/ok", choice="yes"))
        inner = running.runs.get(f"{run.run_id}/sub/deep")
        while "completed" not in {step.status for step in (await inner.status()).steps}:
            await asyncio.sleep(0.02)
        assert (await inner.status()).paused_for == "paused; resume it"
        assert {s.name: s.status.value for s in (await inner.status()).steps}["last"] == "pending"
        assert script.count() == 0
        await run.pause(PauseRequest(paused=False))
        assert (await asyncio.wait_for(run.wait(), 60)).status is WorkflowStatus.COMPLETED
        assert script.count() == 1
