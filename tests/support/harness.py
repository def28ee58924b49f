"""Runs teams on a real server with a real worker and a scripted provider."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from activities.chats import CallTurn
from activities.clients import Clients
from activities.execution import ExecutionWork
from activities.models import CallModel
from activities.runs import RunWork
from activities.tools import RunTools
from client.runs import Run, Runs
from contracts.artifacts import Value
from contracts.base import Json
from contracts.plans import Plan
from contracts.queues import provider_queue
from contracts.runs import RunResult, StepResult
from contracts.tools import tool_queue
from stores.artifacts import ArtifactStore
from stores.spools import FileSpools
from stores.values import store_value
from tests.support.scripted import Script, ScriptedClients
from worker import (
    BUILD_ID,
    WORKFLOWS,
    activities_of,
    asking_activities,
    execution_activities,
    tool_activities,
    workflow_runner,
)

PATIENCE = timedelta(seconds=30)
"""For a worker's answer: the machine may be busy."""


@dataclass
class Harness:
    """A client, a store and a provider that plays a script."""

    client: Client
    store: ArtifactStore
    spools: FileSpools
    script: Script
    queue: str
    runs: Runs = field(init=False)

    def __post_init__(self) -> None:
        self.runs = Runs(self.client, self.store, self.spools, ask_limit=PATIENCE)

    async def start(self, plan: Plan, inputs: Mapping[str, Json] | None = None) -> Run:
        """Start a run on this harness's own workflow queue."""
        values: dict[str, Value] = {}
        for name, value in (inputs or {}).items():
            values[name] = await store_value(self.store, value, want_inline=True)
        return await self.runs.start(plan, values, f"test-{uuid.uuid4()}")

    async def run(
        self, plan: Plan, inputs: Mapping[str, Json] | None = None
    ) -> tuple[RunResult, dict[str, StepResult]]:
        """Run a team to its end; return the run's result and its steps' by name."""
        run = await self.start(plan, inputs)
        result = await asyncio.wait_for(run.wait(), 60)
        return result, {step.agent_id: step for step in await run.results()}

    async def text(self, result: StepResult) -> str:
        """Return a step's output text."""
        assert result.output is not None
        assert result.output.ref is not None
        return await self.store.get_text(result.output.ref)


Open = Callable[[Script], contextlib.AbstractAsyncContextManager[Harness]]
"""Opens a harness whose model plays a script."""


@contextlib.asynccontextmanager
async def harness(
    address: str,
    folder: Path,
    script: Script,
    providers: tuple[str, ...] = ("scripted",),
    clients: Clients | None = None,
    cached_workflows: int = 0,
    work: Callable[[ArtifactStore], RunWork] = RunWork,
    workflows: Sequence[type] = WORKFLOWS,
    tools: bool = False,
    run_tools: Callable[[ArtifactStore, FileSpools, Mapping[str, str]], RunTools] = RunTools,
) -> AsyncIterator[Harness]:
    """Run workers for the workflow queue and the providers' queues. Every task is replayed."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    store = ArtifactStore.open(str(folder / "artifacts"))
    spools = FileSpools(folder / "spools")
    served = clients or ScriptedClients(script)
    asking = asking_activities(CallModel(store, spools, served), CallTurn(store, spools, served))
    asking += execution_activities(ExecutionWork(store, served))
    throttle = timedelta(seconds=1)
    tool_work = run_tools(store, spools, os.environ)
    light = activities_of(work(store))
    if tools:
        light += tool_activities(tool_work)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(tool_work.aclose)
        await stack.enter_async_context(
            Worker(
                client,
                task_queue="callboard",
                workflows=workflows,
                activities=light,
                workflow_runner=workflow_runner(),
                max_cached_workflows=cached_workflows,
                build_id=BUILD_ID,
                max_heartbeat_throttle_interval=throttle,
            )
        )
        for provider in providers:
            await stack.enter_async_context(
                Worker(
                    client,
                    task_queue=provider_queue(provider),
                    activities=asking,
                    build_id=BUILD_ID,
                    max_heartbeat_throttle_interval=throttle,
                )
            )
        if tools:
            await stack.enter_async_context(
                Worker(
                    client,
                    task_queue=tool_queue(),
                    activities=tool_activities(tool_work),
                    build_id=BUILD_ID,
                    max_heartbeat_throttle_interval=throttle,
                )
            )
        yield Harness(client, store, spools, script, "callboard")
    await asyncio.sleep(0.05)


async def waits_for(run: Run, text: str) -> None:
    """Wait until a run says what a person has to do."""
    async with asyncio.timeout(30):
        while text not in ((await run.status()).paused_for or ""):
            await asyncio.sleep(0.05)
