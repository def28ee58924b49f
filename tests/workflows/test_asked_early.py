"""A run that is asked how it is doing before it has read its plan goes on from any history.

Whoever asks so early gets the answer with the run's first task, and what follows the plan's
reading is another task's. See `contracts.runs.RUN_SHAPE`.
"""

import asyncio
import uuid
from pathlib import Path

import pytest
from temporalio import activity
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, Worker

from activities.runs import RunWork
from contracts.activities import PageRequest
from contracts.plans import PlanPage
from contracts.runs import RunStatus
from contracts.teams import ForEachSpec, WorkflowStatus
from stores.values import store_value
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.starting import by_reference
from tests.support.teams import agent, plan, team
from worker import BUILD_ID, WORKFLOWS, activities_of, workflow_runner
from workflows.run import RunWorkflow

pytestmark = pytest.mark.integration

HEAD_START_S = 1.0
"""For a question to reach the server before the run's first task is taken."""
SLOW_S = 0.5


class SlowReading(RunWork):
    """A run's light activities, with a plan that arrives after the question was answered."""

    @activity.defn(name="load_plan")
    async def load_plan(self, request: PageRequest) -> PlanPage:
        await asyncio.sleep(SLOW_S)
        return await super().load_plan(request)


@pytest.mark.parametrize("reading", [RunWork, SlowReading])
async def test_a_long_list_replays_after_an_early_question(
    server: LocalServer, tmp_path: Path, reading: type[RunWork]
) -> None:
    each = ForEachSpec(item="x", in_="inputs.items", max_parallel=2)
    made = plan(team(agent("each", "{x}", for_each=each), inputs={"items": {"type": "list"}}))
    script = Script(default=Say("slow", seconds=60))
    queue = f"late-{uuid.uuid4()}"
    async with harness(server.address, tmp_path, script, cached_workflows=100) as h:
        items = await store_value(h.store, list(range(501)), want_inline=True)
        assert items.has_inline
        run = await by_reference(h, made, {"items": items}, queue)
        asking = asyncio.create_task(run.handle.query(RunWorkflow.status))
        await asyncio.sleep(HEAD_START_S)
        async with Worker(
            h.client,
            task_queue=queue,
            workflows=WORKFLOWS,
            activities=activities_of(reading(h.store)),
            workflow_runner=workflow_runner(),
            build_id=BUILD_ID,
        ):
            assert isinstance(await asking, RunStatus)
            async with asyncio.timeout(60):
                while not script.count():
                    await asyncio.sleep(0.05)
                await run.cancel()
                assert (await run.wait()).status is WorkflowStatus.CANCELLED
        history = await run.handle.fetch_history()
    assert two_tasks_at_first(history)
    replayer = Replayer(
        workflows=WORKFLOWS,
        data_converter=pydantic_data_converter,
        workflow_runner=workflow_runner(),
        debug_mode=True,
    )
    await replayer.replay_workflow(history)


def two_tasks_at_first(history: WorkflowHistory) -> bool:
    """Whether nothing but the plan's reading, if that was quicker, belongs to the first task."""
    kinds = [str(event.WhichOneof("attributes")) for event in history.events]
    first = kinds.index("workflow_task_completed_event_attributes")
    following = kinds[first + 1 : first + 3]
    return "workflow_task_scheduled_event_attributes" in following and set(following) <= {
        "marker_recorded_event_attributes",
        "workflow_task_scheduled_event_attributes",
        "workflow_task_started_event_attributes",
    }
