"""The worker: one process that holds the keys and does a run's work.

Composition root: settings → stores, providers → activities → one Temporal Worker per queue. The
workflow queue has light activities, and tools for workflows that call them at once; each provider
that can be used here has a queue of its own, so that a run can only be sent where its key is.
The process around them is `client.worker_process`: told to stop, it lets streams go on to their end
for `graceful_shutdown` seconds, and hands the rest back.
"""

import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

try:
    from temporalio.client import Client
except ModuleNotFoundError:  # a Python without Callboard's packages, such as the system's
    sys.stderr.write(
        f"error: {sys.executable} has none of Callboard's packages. `make venv` puts them into "
        ".venv; then it is: .venv/bin/python worker.py\n"
    )
    sys.exit(2)
from temporalio.worker import Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxRestrictions

from activities.chats import CallTurn
from activities.clients import Clients, OwnClient, RegisteredClients
from activities.execution import ExecutionWork
from activities.models import CallModel
from activities.own_client import Limiter
from activities.queues import (
    activities_of,
    asking_activities,
    execution_activities,
    tool_activities,
)
from activities.runs import RunWork
from activities.tools import RunTools
from client.connection import configured_address
from client.leash import PARENT_VARIABLE
from client.searchability import ensure_search_attributes
from client.storage import open_storage
from client.tenants import registered
from client.worker_process import until_stopped
from config.problems import ConfigError
from contracts.queues import WORKFLOW_QUEUE, provider_queue
from contracts.tools import tool_queue
from contracts.version import VERSION
from providers import registry
from providers.account_limits import LimitsUnreachable
from providers.accounts import Kept, keep_limits
from providers.exceptions import RouterError
from providers.policy import load_policy
from providers.spi import LLMClient
from stores.exceptions import StoreError
from workflows.chat import ChatWorkflow
from workflows.execution import ExecutionWorkflow
from workflows.items import ItemsWorkflow
from workflows.run import RunWorkflow
from workflows.sandbox import ContextFreeSandbox, ContextFreeUnsandboxed

if TYPE_CHECKING:
    from config.settings import Settings

WORKFLOWS = (RunWorkflow, ItemsWorkflow, ExecutionWorkflow, ChatWorkflow)
HEARTBEAT_THROTTLE = timedelta(seconds=1)
BUILD_ID = VERSION
"""What a history says it was worked on by.

Temporal's default hashes the code of all loaded modules: a quarter of a second at every start.
"""
OWN_TASKS_AT_ONCE = 16
"""Workflow tasks that a caller's program takes from the server at once.

A task that was taken has 10 s. When a hundred workflows start together on a slow machine, the
last of a hundred tasks in one thread would be late, be given out again, and make the others later.
"""
POLLS = 10
"""Calls that a provider's queue can hand to this process at the same moment: as many as a run
makes at once by default. With the SDK's five, the sixth of a level waits for a way to the server
and back: 4 ms, and several times that where the machine is busy."""
PASSED_THROUGH = ("contracts", "rules", "workflows", "cel", "annotated_types")
READY = "callboard worker ready"
"""Printed on stdout once the workers were started."""

log = logging.getLogger("callboard.worker")


def usable_providers(only: Sequence[str] | None = None) -> list[str]:
    """Return the providers that this process can serve, those named in `only` if any."""
    names = only or registry.names()
    return [name for name in names if registry.availability(name).ok]


@contextlib.asynccontextmanager
async def workers(
    client: Client,
    settings: "Settings",
    providers: Sequence[str],
    clients: Clients | None = None,
    concurrency: Mapping[str, int] | None = None,
    workflow_queue: str = WORKFLOW_QUEUE,
    lasting: bool = True,
    rates: Mapping[str, float] | None = None,
    tasks_at_once: int | None = None,
) -> AsyncIterator[None]:
    """Poll the queues of workflows, providers and tools while the context lasts.

    `concurrency` limits the open requests of single providers, where it is not the settings'.
    `lasting` unless the server ends with this process. `rates` are the tasks a second that a
    provider's queue gives to all workers. `tasks_at_once` limits the workflow tasks taken from
    the server, where it is not the SDK's 100.

    Workflows run without Temporal's sandbox (decision 0026).
    """
    storage = open_storage(settings)
    clients = clients or RegisteredClients()
    tools = RunTools(storage.store, storage.spools, os.environ)
    made = [
        _worker(
            client,
            settings,
            workflow_queue,
            [*activities_of(RunWork(storage.store)), *tool_activities(tools)],
            workflows=WORKFLOWS,
            workflow_runner=ContextFreeUnsandboxed(),
            max_concurrent_workflow_tasks=tasks_at_once,
        )
    ]
    asking = [
        *execution_activities(ExecutionWork(storage.store, clients)),
        *asking_activities(
            CallModel(storage.store, storage.spools, clients),
            CallTurn(storage.store, storage.spools, clients),
        ),
    ]
    made += _provider_workers(client, settings, providers, asking, concurrency or {}, rates or {})
    groups = (None, *settings.tool_queues)
    made += _tool_workers(client, settings, tools, groups, workflow_queue)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(storage.spools.aclose)
        stack.push_async_callback(tools.aclose)
        stack.push_async_callback(clients.aclose)
        await stack.enter_async_context(registered(client, storage.store, lasting=lasting))
        await stack.enter_async_context(_running(made))
        yield


@contextlib.asynccontextmanager
async def tool_workers(
    client: Client, settings: "Settings", groups: Sequence[str | None]
) -> AsyncIterator[None]:
    """Poll the queues of these groups of tools, and no other, while the context lasts."""
    storage = open_storage(settings)
    tools = RunTools(storage.store, storage.spools, os.environ)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(storage.spools.aclose)
        stack.push_async_callback(tools.aclose)
        await stack.enter_async_context(registered(client, storage.store, lasting=True))
        made = _tool_workers(client, settings, tools, groups, WORKFLOW_QUEUE)
        await stack.enter_async_context(_running(made))
        yield


def _provider_workers(
    client: Client,
    settings: "Settings",
    providers: Sequence[str],
    asking: Sequence[Callable[..., Any]],
    concurrency: Mapping[str, int],
    rates: Mapping[str, float],
) -> list[Worker]:
    return [
        _worker(
            client,
            settings,
            provider_queue(name),
            asking,
            max_concurrent_activities=concurrency.get(name, settings.concurrency),
            max_concurrent_activity_task_polls=POLLS,
            max_task_queue_activities_per_second=rates.get(name),
        )
        for name in providers
    ]


def _tool_workers(
    client: Client,
    settings: "Settings",
    tools: RunTools,
    groups: Sequence[str | None],
    workflow_queue: str,
) -> list[Worker]:
    return [
        _worker(
            client,
            settings,
            tool_queue(group, workflow_queue),
            tool_activities(tools),
            max_concurrent_activities=settings.concurrency,
        )
        for group in groups
    ]


def _worker(
    client: Client,
    settings: "Settings",
    queue: str,
    activities: Sequence[Callable[..., Any]],
    **more: Any,
) -> Worker:
    """Return a worker of one queue, with what all of ours have in common."""
    return Worker(
        client,
        task_queue=queue,
        activities=activities,
        build_id=BUILD_ID,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        graceful_shutdown_timeout=timedelta(seconds=settings.graceful_shutdown),
        **more,
    )


@contextlib.asynccontextmanager
async def _running(made: list[Worker]) -> AsyncIterator[None]:
    """Run workers while the context lasts."""
    running = [asyncio.create_task(_run(worker)) for worker in made]
    try:
        yield
    finally:
        await _stop(made, running)


def own_client_workers(
    client: Client,
    settings: "Settings",
    name: str,
    own: LLMClient,
    limiter: Limiter | None,
    concurrency: int,
) -> AbstractAsyncContextManager[None]:
    """Serve a caller's own client object in its process, apart from all other workers.

    Runs started on the queue `name` are worked on here only; candidates on `provider_queue(name)`
    are asked of `own`, at most `concurrency` at once, as `limiter` admits them.
    """
    clients = OwnClient(own, limiter)
    return workers(
        client,
        settings,
        [name],
        clients,
        {name: concurrency},
        workflow_queue=name,
        lasting=configured_address() is not None,
        tasks_at_once=OWN_TASKS_AT_ONCE,
    )


async def _run(worker: Worker) -> None:
    await worker.run()


async def _stop(made: list[Worker], running: list["asyncio.Task[None]"]) -> None:
    """Stop all workers at once: each waits for its own activities."""
    await asyncio.gather(*(worker.shutdown() for worker in made), return_exceptions=True)
    await asyncio.gather(*running, return_exceptions=True)


def workflow_runner() -> WorkflowRunner:
    """Return Temporal's sandbox, with our pure modules passed through it.

    Tests and replays run workflows in it, to find mistakes in their code; workers do without.
    """
    return ContextFreeSandbox(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    )


def kept_limits(settings: "Settings", alone: bool) -> Kept:
    """Return how the persona policy's limits are kept. Raises RouterError."""
    policy, _ = load_policy(settings.persona_policy)
    return keep_limits(policy, settings.redis_url, alone)


async def serve(
    settings: "Settings",
    only: Sequence[str] | None = None,
    groups: Sequence[str | None] | None = None,
) -> int:
    """Connect and work until told to stop. Returns the exit code.

    With `groups` it runs tools only: those of these groups, without any provider's key.
    """
    if groups is not None:
        return await until_stopped(lambda client: _tools_alone(client, settings, groups))
    try:
        kept = kept_limits(settings, alone=bool(os.environ.get(PARENT_VARIABLE)))
    except RouterError as error:
        print(error, file=sys.stderr)
        return 2
    return await until_stopped(lambda client: _everything(client, settings, only, kept))


@contextlib.asynccontextmanager
async def _tools_alone(
    client: Client, settings: "Settings", groups: Sequence[str | None]
) -> AsyncIterator[str]:
    async with tool_workers(client, settings, groups):
        yield f"{READY} for tools: {', '.join(group or 'default' for group in groups)}"


@contextlib.asynccontextmanager
async def _everything(
    client: Client, settings: "Settings", only: Sequence[str] | None, kept: Kept
) -> AsyncIterator[str]:
    await ensure_search_attributes(client)
    await _note_limits_away(settings.redis_url)
    providers = usable_providers(only)
    registry.warm(providers)
    clients = RegisteredClients(kept.accounts)
    async with workers(client, settings, providers, clients, kept.concurrency, rates=kept.rates):
        log.info("serving %s", ", ".join(providers))
        settle_memory()
        yield f"{READY} {', '.join(providers)}"
        log.info("stopping: finishing what is in flight")


def settle_memory() -> None:
    """Let the collector of cycles look at what a worker makes, seldom, not at what it began with.

    A full collection would look through all modules and hold up every stream for a tenth of a
    second; a new run's objects alone set off a dozen small ones, of which nearly all are in vain.
    """
    gc.freeze()
    gc.set_threshold(10_000)


async def _note_limits_away(redis_url: str | None) -> None:
    """Say at the start that the limits cannot be asked; each call is told again, and waits."""
    if redis_url is None:
        return
    from providers.redis_limits import RedisServer

    try:
        await RedisServer(redis_url).ping()
    except LimitsUnreachable as error:
        log.warning("%s", error)


def main() -> None:
    """Run a worker from the command line.

    `python worker.py [provider …]`, or `python worker.py --tools [group …]` for tools alone.
    """
    code = _main(sys.argv[1:])
    # The runtime's own threads may outlive the loop and crash the interpreter's exit.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _main(arguments: list[str]) -> int:
    from config.settings import load_settings

    groups: list[str | None] | None = None
    only = arguments
    if arguments[:1] == ["--tools"]:
        groups, only = [*arguments[1:]] or [None], []
    try:
        settings = load_settings()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    unknown = [name for name in only if name not in registry.names()]
    if unknown:
        known = ", ".join(registry.names())
        print(f"no provider {', '.join(unknown)}; there are: {known}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        return asyncio.run(serve(settings, only or None, groups))
    except (ConfigError, StoreError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    main()
