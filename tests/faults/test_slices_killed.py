"""A worker killed in the middle of a long list: nothing is lost, nothing is paid for twice."""

import asyncio
import json
from collections import Counter

import pytest

from contracts.plans import Plan
from contracts.retry import RetryRule
from contracts.teams import ForEachSpec, WorkflowStatus
from stores.values import store_value
from tests.faults.test_paid_once import Stage, home, stage
from tests.support.teams import agent, candidate, plan, team

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
__all__ = ["home", "stage"]

COUNT, PARALLEL = 501, 10


def listed(log: str) -> Plan:
    """Return a team that says something of each item, as fast as the simulator can."""
    options = {"tokens_per_second": 150, "first_token_s": 0.01, "log": log}
    each = ForEachSpec(item="n", in_="inputs.items", max_parallel=PARALLEL)
    step = agent("each", "Say {n}.", for_each=each, llm_config={"max_tokens": 10})
    spec = team(step, inputs={"items": {"type": "list"}})
    rule = RetryRule(max_retries=3, base_delay=0, jitter=False)
    return plan(spec, candidate("simulated", "gpt-4", options=options), retry=rule)


@pytest.mark.slow
async def test_a_worker_killed_in_the_middle_of_a_list(stage: Stage, home: object) -> None:
    log = f"{home}/requests.jsonl"
    first = stage.workers.start()
    items = await store_value(stage.runs.store, list(range(COUNT)), want_inline=True)
    run = await stage.runs.start(listed(log), {"items": items})
    while len(stage.requests(run)) < 150:
        await asyncio.sleep(0.05)
    first.kill()
    stage.workers.start()
    result = await asyncio.wait_for(run.wait(), 120)
    cost, outputs = await run.cost(), await run.outputs(result)
    with open(log) as lines:
        asked = Counter(f"{e['agent']}#{e['attempt']}" for e in map(json.loads, lines))
    outcomes = Counter(attempt.outcome for attempt in cost.attempts)
    assert result.status is WorkflowStatus.COMPLETED
    assert len(outputs["each"]) == outcomes["completed"] == COUNT
    assert 0 < outcomes["WorkerLost"] <= PARALLEL
    assert set(outcomes) == {"completed", "WorkerLost"}
    assert set(asked.values()) == {1}
    billed = Counter(attempt.id for attempt in cost.attempts)
    assert set(billed.values()) == {1}
    # What was scheduled and never sent is on the bill at most; what was sent is always.
    assert set(asked) <= set(billed)
    assert cost.cost == sum(attempt.cost for attempt in cost.attempts)
    assert cost.reserved == 0
