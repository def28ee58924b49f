"""A sequential activity on the embedded server, beside the same on the server's own poll limits.

Two servers of the same binary run at once and take turns: one with our settings, our client and
our worker's sandbox; one with the four limits on polling back at the 20 a second that Temporal
ships with, and client and worker as the SDK makes them.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

ACTIVITIES = 100
ROUNDS = 3
QUEUE = "steps"
SHIPPED = {
    f"history.{kind}ProcessorMaxPollRPS": 20
    for kind in ("transfer", "timer", "visibility", "outbound")
}


@activity.defn
async def nothing() -> None:
    """Do nothing, successfully."""


@workflow.defn
class Sequence:
    """Activities one after the other."""

    @workflow.run
    async def run(self, count: int) -> None:
        """Run `count` activities."""
        for _ in range(count):
            await workflow.execute_activity(nothing, start_to_close_timeout=timedelta(seconds=30))


async def milliseconds(client: Client) -> float:
    """Return the milliseconds that one activity took."""
    started = time.perf_counter()
    await client.execute_workflow(Sequence.run, ACTIVITIES, id=str(uuid.uuid4()), task_queue=QUEUE)
    return (time.perf_counter() - started) * 1000 / ACTIVITIES


async def measure() -> None:
    """Start both servers, let them take turns, and print what each took."""
    from client.connection import connect
    from client.devserver.binary import find_server
    from client.devserver.server import DevServer
    from worker import workflow_runner

    binary = find_server(lambda line: print(f"  {line}", file=sys.stderr))
    cases = {"as shipped": SHIPPED, "as embedded": {}}
    runners = {"as shipped": SandboxedWorkflowRunner(), "as embedded": workflow_runner()}
    connects: dict[str, Callable[[str], Awaitable[Client]]]
    connects = {"as shipped": Client.connect, "as embedded": connect}
    async with AsyncExitStack() as stack:
        clients = {}
        for name, settings in cases.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            server = DevServer(
                binary, folder / "server.db", log_file=folder / "log", dynamic_config=settings
            )
            await stack.enter_async_context(server)
            clients[name] = await connects[name](server.address)
            worker = Worker(
                clients[name],
                task_queue=QUEUE,
                workflows=[Sequence],
                activities=[nothing],
                workflow_runner=runners[name],
            )
            await stack.enter_async_context(worker)
        taken: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(ROUNDS):
            for name, client in clients.items():
                taken[name].append(await milliseconds(client))
    shipped, embedded = (statistics.median(taken[name]) for name in cases)
    print(f"  a sequential activity: {embedded:.1f} ms, {shipped:.1f} ms on the limits as shipped")
    print(f"  ratio {embedded / shipped:.2f}")


if __name__ == "__main__":
    asyncio.run(measure())
    sys.stdout.flush()
    os._exit(0)
