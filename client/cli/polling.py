"""Which providers workers serve: told by who polls their queues."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from client.cli.console import Refusal
from contracts.queues import WORKFLOW_QUEUE, provider_queue
from providers import registry

POLL_AGE = timedelta(seconds=75)
"""A poll lasts a minute: who has not come back after it is gone."""


async def served_providers(client: Client, wait_s: float = 0) -> set[str]:
    """Return the providers whose queues are polled. Raises Refusal where no worker runs.

    Waits so long for a worker that is being started.
    """
    deadline = time.monotonic() + wait_s
    while not await _polled(client, WORKFLOW_QUEUE, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW):
        if time.monotonic() > deadline:
            raise Refusal("no worker is connected to the server: start one with `python worker.py`")
        await asyncio.sleep(0.2)
    names = registry.names()
    activity = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
    found = await asyncio.gather(*(_polled(client, provider_queue(n), activity) for n in names))
    return {name for name, polled in zip(names, found, strict=True) if polled}


async def _polled(client: Client, queue: str, kind: "TaskQueueType.ValueType") -> bool:
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
        )
    )
    oldest = datetime.now(UTC) - POLL_AGE
    return any(poller.last_access_time.ToDatetime(tzinfo=UTC) > oldest for poller in answer.pollers)
