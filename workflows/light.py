"""Light activities at a run's two ends, within the workflow's own task where that works at once.

Strategy: tried once as a local activity, which is one event instead of six and no way through a
task queue. What could not be done so (the store is away) is done as any other activity, which the
server tries until it works. While a local activity runs, the workflow hears of nothing else: they
are for the beginning and the end, when nothing else goes on.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError, is_cancelled_exception

from workflows.reading import LIGHT, STORE_RETRIES

A = TypeVar("A")
R = TypeVar("R")

AT_ONCE = timedelta(seconds=4)
"""Less than half of a workflow task's time: one that takes longer would have to be kept alive."""


async def at_once(
    method: Callable[[Any, A], Awaitable[R]], argument: A, summary: str, otherwise: A | None = None
) -> R:
    """Run an activity of the workflow's queue. Raises ActivityError where it can never work.

    A local activity's argument is no part of the history. Where it is large, `otherwise` is the
    argument of the activity that is an event.
    """
    try:
        return await workflow.execute_local_activity_method(
            method,
            argument,
            schedule_to_close_timeout=AT_ONCE,
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary=summary,
        )
    except FailureError as error:  # its own failure, not wrapped as that of other activities
        if is_cancelled_exception(error):
            raise
    return await by_queue(method, argument if otherwise is None else otherwise, summary)


async def by_queue(method: Callable[[Any, A], Awaitable[R]], argument: A, summary: str) -> R:
    """Run an activity of the workflow's queue, tried until it works or can never work."""
    return await workflow.execute_activity_method(
        method,
        argument,
        start_to_close_timeout=LIGHT,
        retry_policy=STORE_RETRIES,
        summary=summary,
    )
