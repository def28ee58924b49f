"""A run's first task: with the server's answer where the worker is in the process, else as ever."""

from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from client.run import Run
from client.runs import Runs
from contracts.teams import WorkflowStatus
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration


async def at_once(run: Run) -> bool:
    """Whether the first task came with the answer to the start."""
    history = await run.handle.fetch_history()
    first = history.events[0].workflow_execution_started_event_attributes
    return first.eager_execution_accepted


async def test_the_first_task_comes_with_the_answer_or_by_the_queue(
    server: LocalServer, tmp_path: Path
) -> None:
    made = plan(team(agent("one", "Say it.")))
    script = Script(default=Say("said"))
    async with harness(server.address, tmp_path, script, cached_workflows=100) as h:
        here = await h.start(made)
        apart = await Client.connect(server.address, data_converter=pydantic_data_converter)
        there = await Runs(apart, h.store, h.spools).start(made, {}, f"{here.run_id}-there")
        for run in (here, there):
            assert (await run.wait()).status is WorkflowStatus.COMPLETED
        assert await at_once(here)
        assert not await at_once(there)


async def test_the_same_id_twice_is_one_run(server: LocalServer, tmp_path: Path) -> None:
    made = plan(team(agent("one", "Say it.")))
    script = Script(default=Say("said"))
    async with harness(server.address, tmp_path, script, cached_workflows=100) as h:
        first = await h.start(made)
        again = await h.runs.start(made, {}, first.run_id)
        assert (await again.wait()).status is WorkflowStatus.COMPLETED
        assert script.count() == 1
