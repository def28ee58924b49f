"""Executions on a real server: workers in this process whose providers are fakes."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from activities.clients import Clients
from activities.execution import ExecutionWork
from client.runs import Runs
from contracts.plans import Candidate
from contracts.queues import WORKFLOW_QUEUE, provider_queue
from providers.spi import LLMClient
from stores.artifacts import ArtifactStore
from stores.spools import FileSpools
from worker import BUILD_ID, execution_activities, workflow_runner
from workflows.execution import ExecutionWorkflow


class FakeClients(Clients):
    """Clients by provider name."""

    def __init__(self, clients: Mapping[str, LLMClient]) -> None:
        self._clients = clients

    def client(self, candidate: Candidate) -> LLMClient:
        return self._clients[candidate.provider]


@contextlib.asynccontextmanager
async def stage(
    address: str,
    folder: Path,
    clients: Mapping[str, LLMClient],
    named: tuple[Callable[..., Any], ...] = (),
    kept_by: Clients | None = None,
) -> AsyncIterator[Runs]:
    """Serve executions; every workflow task is replayed from the beginning."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    store = ArtifactStore.open(str(folder / "artifacts"))
    activities = execution_activities(ExecutionWork(store, kept_by or FakeClients(clients)))
    throttle = timedelta(seconds=1)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(
            Worker(
                client,
                task_queue=WORKFLOW_QUEUE,
                workflows=[ExecutionWorkflow],
                activities=list(named),
                workflow_runner=workflow_runner(),
                build_id=BUILD_ID,
                max_cached_workflows=0,
            )
        )
        for name in clients:
            await stack.enter_async_context(
                Worker(
                    client,
                    task_queue=provider_queue(name),
                    activities=activities,
                    build_id=BUILD_ID,
                    max_heartbeat_throttle_interval=throttle,
                )
            )
        yield Runs(client, store, FileSpools(folder / "spools"))
