"""The worker: one process that holds the keys and does a run's work.

Composition root: settings → stores, providers → activities → one Temporal Worker per queue. The
workflow queue has light activities; each provider that can be used here has a queue of its own,
so that a run can only be sent where its key is. SIGTERM and SIGINT stop it gracefully: streams
go on to their end for `graceful_shutdown` seconds, the rest is handed back.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.clients import Clients, RegisteredClients
from activities.models import CallModel
from activities.runs import RunWork
from client.connection import ServerUnreachable, connect
from client.embedded import PARENT_VARIABLE
from client.searchability import ensure_search_attributes
from config.settings import Settings
from contracts.runs import WORKFLOW_QUEUE, provider_queue
from providers import registry
from stores.artifacts import ArtifactStore
from stores.locations import DataDir
from stores.spools import FileSpools
from workflows.run import RunWorkflow

HEARTBEAT_THROTTLE = timedelta(seconds=1)
PASSED_THROUGH = ("contracts", "rules", "workflows", "cel", "annotated_types")
CONNECT_LIMIT_S = 30.0
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
    settings: Settings,
    providers: Sequence[str],
    clients: Clients | None = None,
) -> AsyncIterator[None]:
    """Poll the workflow queue and the providers' queues while the context lasts."""
    data = DataDir(settings.home)
    store = ArtifactStore.open(settings.artifacts_url or data.artifacts_url)
    spools = FileSpools(data.spools)
    clients = clients or RegisteredClients()
    call_model = CallModel(store, spools, clients)
    run_work = RunWork(store)
    grace = timedelta(seconds=settings.graceful_shutdown)
    made = [
        Worker(
            client,
            task_queue=WORKFLOW_QUEUE,
            workflows=[RunWorkflow],
            activities=activities_of(run_work),
            workflow_runner=workflow_runner(),
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            graceful_shutdown_timeout=grace,
        )
    ]
    made += [
        Worker(
            client,
            task_queue=provider_queue(name),
            activities=[call_model.call_model],
            max_concurrent_activities=settings.concurrency,
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            graceful_shutdown_timeout=grace,
        )
        for name in providers
    ]
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(clients.aclose)
        stopping = [asyncio.create_task(_run(worker)) for worker in made]
        stack.push_async_callback(_stop, made, stopping)
        yield


async def _run(worker: Worker) -> None:
    await worker.run()


async def _stop(made: list[Worker], running: list["asyncio.Task[None]"]) -> None:
    """Stop all workers at once: each waits for its own activities."""
    await asyncio.gather(*(worker.shutdown() for worker in made), return_exceptions=True)
    await asyncio.gather(*running, return_exceptions=True)


def activities_of(work: RunWork) -> list[Callable[..., Any]]:
    """Return the light activities, bound to their store."""
    return [
        work.load_plan,
        work.store_bindings,
        work.evaluate,
        work.render_outputs,
        work.store_record,
    ]


def workflow_runner() -> SandboxedWorkflowRunner:
    """Return Temporal's sandbox, with our pure modules passed through it."""
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    )


async def serve(settings: Settings, only: Sequence[str] | None = None) -> int:
    """Connect and work until told to stop. Returns the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    leash = asyncio.create_task(_end_with_parent())
    try:
        client = await _connect(settings)
    except ServerUnreachable as error:
        print(error, file=sys.stderr)
        return 2
    await ensure_search_attributes(client)
    providers = usable_providers(only)
    registry.warm(providers)
    async with workers(client, settings, providers):
        log.info("serving %s", ", ".join(providers))
        print(READY, ", ".join(providers), flush=True)
        await stop.wait()
        log.info("stopping: finishing what is in flight")
    leash.cancel()
    await asyncio.sleep(0.05)
    return 0


async def _connect(settings: Settings) -> Client:
    """Connect, and wait for a server that is just being started."""
    deadline = asyncio.get_running_loop().time() + CONNECT_LIMIT_S
    while True:
        try:
            return await connect(settings.temporal_address)
        except ServerUnreachable:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)


async def _end_with_parent() -> None:
    """End when the process that keeps us is gone: its server went with it, nothing can be saved."""
    parent = os.environ.get(PARENT_VARIABLE)
    while parent:
        await asyncio.sleep(1)
        if os.getppid() != int(parent):
            os._exit(1)


def main() -> None:
    """Run a worker from the command line: `python worker.py [provider …]`."""
    settings = Settings()
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    code = asyncio.run(serve(settings, sys.argv[1:] or None))
    # The runtime's own threads may outlive the loop and crash the interpreter's exit.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
