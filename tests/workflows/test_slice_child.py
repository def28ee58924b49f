"""The two sides of a slice apart: a child run on its own, and a run with children that are not."""

import uuid
from decimal import Decimal
from pathlib import Path

import pytest

from activities.slices import measured
from client.runs import Run
from contracts.runs import RunRecord
from contracts.slices import ITEMS_WORKFLOW, SliceControl, SliceRequest, SliceResult
from contracts.teams import AgentStatus, ForEachSpec
from rules import planning
from stores.values import load_value
from tests.support.harness import Harness, harness
from tests.support.scripted import Say, Script
from tests.support.scripted_items import ScriptedItems
from tests.support.server import LocalServer
from tests.support.teams import agent, plan, team
from workflows.run import RunWorkflow

pytestmark = pytest.mark.integration

EACH = ForEachSpec(item="thing", in_="inputs.items", min_success=0.5)
TEAM = plan(
    team(
        agent("rate", "Rate {thing}.", for_each=EACH),
        inputs={"items": {"type": "list"}},
    )
)


async def start_child(running: Harness, **more: object) -> tuple[str, SliceResult]:
    """Run the second of three slices of a list of 1,300 items, on its own."""
    facts = await measured(running.store, list(range(1300)))
    ref = await running.store.put_json(TEAM)
    (page,) = planning.pages(TEAM)
    run_id = f"slice-{uuid.uuid4()}"
    fields = {
        "run_id": run_id,
        "team": "tested",
        "unit": "rate[433..865]",
        "plan": ref,
        "node": page.nodes[0],
        "slices": facts.slices,
        "number": 1,
        "most_slots": 5,
        "control": SliceControl(slots=5, grant=Decimal(10), budget=Decimal(10)),
    }
    handle = await running.client.start_workflow(
        ITEMS_WORKFLOW,
        SliceRequest(**{**fields, **more}),
        id=run_id,
        task_queue="callboard",
        result_type=SliceResult,
    )
    return run_id, await handle.result()


@pytest.mark.slow
async def test_a_long_history_leaves_the_rest_to_another_child(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({f"rate[{n}]": [Say(f"n{n}")] for n in range(1300)})
    async with harness(server.address, tmp_path, script) as running:
        _, result = await start_child(running, skip=2, first_attempt=3, most_events=100)
        outputs = await load_value(running.store, result.outputs)
        record = await running.store.get_model(result.record, RunRecord)
    assert 5 <= result.taken == result.completed == script.count() < 60
    assert outputs == [f"n{n}" for n in range(435, 435 + result.taken)]
    assert [a.id for a in record.attempts][:2] == ["rate[435]#4", "rate[436]#4"]
    assert [r.agent_id for r in record.results] == [
        f"rate[{n}]" for n in range(435, 435 + result.taken)
    ]
    assert (result.most_attempts, result.calls) == (4, result.taken)
    assert result.counted == record.cost == result.taken * Decimal("0.006")


async def test_what_children_leave_is_done_by_others_and_one_that_breaks_is_counted(
    server: LocalServer, tmp_path: Path
) -> None:
    doubles = (RunWorkflow, ScriptedItems)
    async with harness(server.address, tmp_path, Script(), workflows=doubles) as running:
        run: Run = await running.start(TEAM, {"items": list(range(1300))})
        result = await run.wait()
        (step,) = await run.results()
        cost = await run.cost()
    entries = {a.step: a for a in cost.attempts}
    assert step.status is AgentStatus.COMPLETED
    assert list(entries)[:2] == ["rate[0..432]", "rate[433..865]"]
    assert {"rate[100..432]", "rate[400..432]", "rate[866..1299]"} < set(entries)
    assert len(entries) == 5 + 5 + 1
    lost = entries["rate[866..1299]"]
    assert (lost.state, lost.cost) == ("uncertain", lost.reserved)
    assert "broken on purpose" in str(lost.error)
    assert step.metadata["failed"] == 434
    assert step.metadata["failed_items"][0]["index"] == 866
    assert cost.cost == result.cost == 866 * Decimal("0.01") + lost.reserved
    assert cost.served == 866 * Decimal("0.01")
    assert cost.reserved == 0
