"""The status of a run that has ended says what it said while the run went on."""

from decimal import Decimal
from pathlib import Path

import pytest

from client.recorded import recorded_status
from contracts.runs import RunRecord, RunStatus, StepResult
from contracts.teams import AgentStatus, WorkflowStatus
from stores.artifacts import ArtifactStore
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.unit


async def status_of(folder: Path, step: StepResult, cost: str, budget: str) -> RunStatus:
    store = ArtifactStore.open(str(folder))
    ref = await store.put_json(plan(team(agent(step.agent_id))))
    record = RunRecord(
        run_id="r",
        team="t",
        status=WorkflowStatus.COMPLETED,
        plan=ref,
        budget=Decimal(budget),
        cost=Decimal(cost),
        served=Decimal(cost),
        uncertain=Decimal(0),
        results=(step,),
    )
    return await recorded_status(store, "r", record)


@pytest.mark.parametrize(
    ("cost", "mark"), [("0.49", 0), ("0.5", 50), ("0.79", 50), ("0.8", 80), ("1", 100)]
)
async def test_the_crossed_mark_of_the_budget_stays(tmp_path: Path, cost: str, mark: int) -> None:
    step = StepResult(agent_id="a", status=AgentStatus.COMPLETED)
    assert (await status_of(tmp_path, step, cost, "1")).budget_used == mark


async def test_items_that_were_left_out_stay_known(tmp_path: Path) -> None:
    metadata = {"items": 3, "failed": 1, "failed_items": [{"index": 1, "error": "no such key"}]}
    step = StepResult(agent_id="a", status=AgentStatus.COMPLETED, metadata=metadata)
    (shown,) = (await status_of(tmp_path, step, "0.1", "1")).steps
    assert shown.note == "2 of 3 items; 1 failed: no such key"
    assert (shown.items, shown.failed_items) == (3, 1)
