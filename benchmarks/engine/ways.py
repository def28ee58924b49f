"""The ways to run the graph, each with a watch: Callboard, bare Temporal, `asyncio.gather`.

Bare Temporal twice: in its sandbox, as one gets it, and without, as Callboard's workers are. All of
it happens in this process, client and worker, whose collector of cycles is set for all ways as a
worker's command sets it; server and vendor are processes of their own.
"""

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from benchmarks._candidates import openai_candidate
from benchmarks.engine.bare import FREE_QUEUE, QUEUE, Asking, BareGraph, Graph
from benchmarks.engine.graph import MAX_TOKENS, Agent
from client.runs import Runs
from client.storage import open_storage
from config.settings import Settings
from contracts.messages import ChatRequest, Message
from contracts.plans import Plan
from contracts.teams import ModelParams, ModelStep, TeamSpec, WorkflowStatus
from providers import registry
from providers.spi import LLMClient, Timeouts
from worker import HEARTBEAT_THROTTLE, PASSED_THROUGH, settle_memory, workers

PARALLEL = 10
PROVIDER = "openai"


@dataclass(frozen=True)
class Sample:
    """What one run took: seconds of wall time, seconds of this process's CPU, history events."""

    wall_s: float
    cpu_s: float
    events: int


Way = Callable[[tuple[Agent, ...], str], Awaitable[Sample]]
"""Runs a graph on a model, `50x10` for example."""


async def timed(run: Awaitable[str | None], client: Client) -> Sample:
    """Await a run; `run` returns the workflow's id, if there is one."""
    started, spent = time.perf_counter(), time.process_time()
    workflow_id = await run
    wall, cpu = time.perf_counter() - started, time.process_time() - spent
    events = 0
    if workflow_id is not None:
        described = await client.get_workflow_handle(workflow_id).describe()
        events = described.history_length
    return Sample(wall, cpu, events)


@contextlib.asynccontextmanager
async def all_ways(client: Client, home: Path, vendor_url: str) -> AsyncIterator[dict[str, Way]]:
    """Start the workers of both; yield the ways by name."""
    os.environ["EP_OPENAI_API_KEY"] = "benchmark"
    os.environ["EP_OPENAI_BASE_URL"] = f"{vendor_url}/v1"
    made: dict[str, LLMClient] = {}

    def client_of(model: str) -> LLMClient:
        if model not in made:
            made[model] = registry.create(PROVIDER, model, {"api": "chat"})
        return made[model]

    settings = Settings(home=home)
    board = workers(client, settings, [PROVIDER], concurrency={PROVIDER: PARALLEL})
    bare = _bare_worker(client, client_of, QUEUE, _sandbox())
    free = _bare_worker(client, client_of, FREE_QUEUE, UnsandboxedWorkflowRunner())
    async with board, bare, free:
        settle_memory()
        yield {
            "callboard": _callboard(client, settings),
            "bare": partial(_bare, client, QUEUE),
            "free": partial(_bare, client, FREE_QUEUE),
            "gather": lambda agents, model: _gather(client, agents, client_of(model)),
        }
    for each in made.values():
        await each.aclose()


def _callboard(client: Client, settings: Settings) -> Way:
    storage = open_storage(settings)
    runs = Runs(client, storage.store, storage.spools)

    async def once(plan: Plan) -> str:
        run = await runs.start(plan, {}, f"board-{uuid.uuid4()}")
        result = await run.wait()
        if result.status is not WorkflowStatus.COMPLETED:
            raise RuntimeError(f"the run is {result.status.value}: {result.error}")
        return run.run_id

    async def way(agents: tuple[Agent, ...], model: str) -> Sample:
        return await timed(once(plan_of(agents, model)), client)

    return way


def plan_of(agents: tuple[Agent, ...], model: str) -> Plan:
    """Return the graph as a resolved team."""
    steps = tuple(
        ModelStep(
            name=agent.name,
            prompt_template=agent.prompt,
            dependencies=agent.needs,
            llm_config=ModelParams(max_tokens=MAX_TOKENS),
        )
        for agent in agents
    )
    candidate = openai_candidate(model)
    return Plan(
        team=TeamSpec(name="benchmark", agents=steps, max_parallel_agents=PARALLEL),
        candidates=(candidate,),
        step_candidates={step.name: (0,) for step in steps},
    )


async def _bare(client: Client, queue: str, agents: tuple[Agent, ...], model: str) -> Sample:
    async def once() -> str:
        workflow_id = f"bare-{uuid.uuid4()}"
        graph = Graph(agents=agents, model=model)
        await client.execute_workflow(BareGraph.run, graph, id=workflow_id, task_queue=queue)
        return workflow_id

    return await timed(once(), client)


def _bare_worker(
    client: Client, client_of: Callable[[str], LLMClient], queue: str, runner: WorkflowRunner
) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        workflows=[BareGraph],
        activities=[Asking(client_of).ask],
        max_concurrent_activities=PARALLEL,
        workflow_runner=runner,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
    )


def _sandbox() -> WorkflowRunner:
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    )


async def _gather(client: Client, agents: tuple[Agent, ...], provider: LLMClient) -> Sample:
    async def one(agent: Agent, tasks: dict[str, "asyncio.Task[str]"]) -> str:
        answers = {name: await tasks[name] for name in agent.needs}
        request = ChatRequest([Message("user", agent.asked(answers))], max_tokens=MAX_TOKENS)
        async with provider.open(request, Timeouts.of(300)) as stream:
            return (await stream.collect()).text

    async def once() -> None:
        tasks: dict[str, asyncio.Task[str]] = {}
        for agent in agents:
            tasks[agent.name] = asyncio.create_task(one(agent, tasks))
        await asyncio.gather(*tasks.values())

    return await timed(once(), client)
