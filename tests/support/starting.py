"""Runs that are started as a team within a run is: with a reference to the plan, and no page."""

import uuid
from collections.abc import Mapping

from client.announcing import stored_plan
from client.runs import Run
from contracts.artifacts import Value
from contracts.plans import Plan
from contracts.queues import WORKFLOW_QUEUE
from contracts.runs import RUN_SHAPE, RUN_WORKFLOW, RunRequest
from tests.support.harness import Harness


async def by_reference(
    h: Harness,
    plan: Plan,
    inputs: Mapping[str, Value] | None = None,
    queue: str = WORKFLOW_QUEUE,
) -> Run:
    """Start a run that has to read all of its plan."""
    run_id = f"test-{uuid.uuid4()}"
    stored, _ = await stored_plan(plan, h.store)
    request = RunRequest(
        run_id=run_id, team=plan.team.name, plan=stored, inputs=dict(inputs or {}), shape=RUN_SHAPE
    )
    await h.client.start_workflow(RUN_WORKFLOW, request, id=run_id, task_queue=queue)
    return h.runs.get(run_id)
