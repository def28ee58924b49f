"""Exits with 0 when this container's worker polls its queue, as the server sees it; else with 1.

A worker that hangs or has lost its server still has a process; the server knows better. It keeps
a poller for minutes after its last poll, so one that was not heard of for `MAX_SILENCE` counts as
gone (a long poll is renewed every minute).
"""

import asyncio
import os
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from client.connection import ServerUnreachable, connect
from contracts.queues import WORKFLOW_QUEUE

MAX_SILENCE = timedelta(minutes=2)


def is_ours(poller: PollerInfo, host: str, now: datetime) -> bool:
    """Tell whether a poller is a process on this host that was heard of lately."""
    heard = poller.last_access_time.ToDatetime(tzinfo=UTC)
    return poller.identity.endswith(f"@{host}") and now - heard < MAX_SILENCE


async def polling(host: str) -> bool:
    """Ask the server whether a worker on this host polls the workflow queue."""
    client = await connect()
    reply = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=WORKFLOW_QUEUE),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
    )
    now = datetime.now(UTC)
    return any(is_ours(poller, host, now) for poller in reply.pollers)


def main() -> int:
    """Return the exit code, and say on stderr what is wrong."""
    host = socket.gethostname()
    try:
        if asyncio.run(polling(host)):
            return 0
    except ServerUnreachable as error:
        print(error, file=sys.stderr)
        return 1
    print(f"no worker on {host} polls {WORKFLOW_QUEUE}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # docs/decisions/0006-leaving-the-interpreter.md
    os._exit(code)
