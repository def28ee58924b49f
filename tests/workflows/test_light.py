"""A run's plan and record: within the workflow's own task, by the queue where that fails."""

from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType

from activities.runs import RunWork
from client.runs import Run
from contracts.activities import PageRequest
from contracts.artifacts import ArtifactRef
from contracts.plans import PlanPage
from contracts.runs import RunRecord
from stores.artifacts import ArtifactStore
from stores.exceptions import StoreUnavailable
from tests.support.harness import harness
from tests.support.scripted import Script
from tests.support.server import LocalServer
from tests.support.starting import by_reference
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration


class AwayAtFirst(RunWork):
    """A store that is out of reach for the first `fails` questions of each kind."""

    def __init__(self, fails: int, store: ArtifactStore) -> None:
        super().__init__(store)
        self._fails = fails
        self.asked: Counter[str] = Counter()

    @activity.defn(name="load_plan")
    async def load_plan(self, request: PageRequest) -> PlanPage:
        self._ask("load_plan")
        return await super().load_plan(request)

    @activity.defn(name="store_record")
    async def store_record(self, record: RunRecord) -> ArtifactRef:
        self._ask("store_record")
        return await super().store_record(record)

    def _ask(self, kind: str) -> None:
        self.asked[kind] += 1
        if self.asked[kind] <= self._fails:
            raise StoreUnavailable("the store is away")


async def events_of(run: Run) -> tuple[list[str], int]:
    """Return the activities that are events of their own, and how many were local."""
    queued, local = [], 0
    async for event in run.handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            queued.append(event.activity_task_scheduled_event_attributes.activity_type.name)
        local += event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED
    return queued, local


async def test_plan_and_record_are_one_event_each(server: LocalServer, tmp_path: Path) -> None:
    """The plan is none where it comes with the start."""
    made = plan(team(agent("a")))
    async with harness(server.address, tmp_path, Script()) as running:
        run, reading = await running.start(made), await by_reference(running, made)
        await run.wait()
        await reading.wait()
        assert await events_of(run) == (["call_model"], 1)
        assert await events_of(reading) == (["call_model"], 2)


@pytest.mark.parametrize("fails", [1, 3])
async def test_a_store_that_is_away_is_asked_by_the_queue(
    server: LocalServer, tmp_path: Path, fails: int
) -> None:
    work = partial(AwayAtFirst, fails)
    async with harness(server.address, tmp_path, Script(), work=work) as running:
        made = plan(team(agent("a"), agent("b", "{a}", dependencies=("a",))))
        run = await by_reference(running, made)
        result = await run.wait()
        record = await run.record()
        queued, local = await events_of(run)
    assert result.status == "completed"
    assert queued == ["load_plan", "call_model", "call_model", "store_record"]
    assert local == 2
    assert record is not None
    assert [step.agent_id for step in record.results] == ["a", "b"]
    assert [attempt.state for attempt in record.attempts] == ["settled", "settled"]


async def test_a_record_is_the_same_by_either_way(server: LocalServer, tmp_path: Path) -> None:
    records = []
    for fails in (0, 1):
        work = partial(AwayAtFirst, fails)
        async with harness(server.address, tmp_path / str(fails), Script(), work=work) as running:
            run = await running.start(plan(team(agent("a", "{text}"))), {"text": "a text"})
            await run.wait()
            record = await run.record()
            assert record is not None
            records.append(record)
    assert records[0].inputs == records[1].inputs
    assert records[0].outputs == records[1].outputs
    assert records[0].attempts[0].usage == records[1].attempts[0].usage
    assert len(records[0].attempts) == len(records[1].attempts) == 1
