"""Histories that are full while work is under way: it stops where it can, and goes on after."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio import workflow

from contracts.runs import RUN_WORKFLOW, RunRequest, RunResult
from contracts.teams import AgentStatus
from tests.support.finders import found, planned
from tests.support.harness import harness
from tests.support.scripted import Script
from tests.support.server import LocalServer, local_server
from tests.support.teams import agent
from tests.workflows.test_agents_moving_on import LONG, finder, turns
from tests.workflows.test_moving_on import SOON, histories
from workflows.run import RunWorkflow

pytestmark = pytest.mark.integration

FULL = 2 * SOON
"""Events of a history that nothing more is started in."""


@workflow.defn(name=RUN_WORKFLOW, sandboxed=False)
class TightRun(RunWorkflow):
    """Is full after FULL events, where others take 20,000."""

    @workflow.init
    def __init__(self, request: RunRequest) -> None:
        super().__init__(request)

    @workflow.run
    async def run(self, request: RunRequest) -> RunResult:
        return await super().run(request)

    def _full(self) -> bool:
        return workflow.info().get_current_history_length() >= FULL


@pytest.fixture(scope="module")
def hasty(server_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    setting = f"limit.historyCount.suggestContinueAsNew={SOON}"
    with local_server(server_binary, tmp_path_factory.mktemp("hasty"), setting) as running:
        yield running


async def test_turns_side_by_side_wait_for_each_other_where_a_history_is_full(
    hasty: LocalServer, tmp_path: Path
) -> None:
    """Two turns are never both at rest by chance: only a full history makes them stop."""
    names = ("left", "right")
    script = Script({k: v for name in names for k, v in turns(name, 9).items()})
    spec = planned(
        tmp_path,
        *(finder(name=name, prompt_template=f"Look {name}.") for name in names),
        agent("report", "Report: {left} {right}", dependencies=names),
        **LONG,
    )
    async with harness(hasty.address, tmp_path, script, tools=True, workflows=[TightRun]) as h:
        run = await h.start(spec)
        result = await asyncio.wait_for(run.wait(), 90)
        counts = await histories(run)
        steps = {step.agent_id: step for step in await run.results()}
        bill = await run.cost()
        for name in names:
            assert await h.text(steps[name]) == f"{name} is done."
    assert result.status.value == "completed", result.error
    assert len(counts) > 2, "it went on in new histories"
    assert max(counts) < FULL + SOON, "nothing was started in a full one"
    assert all(steps[name].status is AgentStatus.COMPLETED for name in names)
    assert sorted(found(tmp_path)) == sorted(f"{name}-{n}" for name in names for n in range(1, 10))
    assert script.count() == 2 * 10 + 1, "no call was made twice"
    assert result.cost == bill.cost == 21 * Decimal("0.006")
