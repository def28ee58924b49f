"""The time of a turn: it is stopped once that is over. What a person takes is not the turn's."""

import asyncio
from collections.abc import Callable

from temporalio import workflow

from contracts.chats import TurnResult
from contracts.teams import AgentStatus


async def bounded(
    task: "asyncio.Task[TurnResult]",
    limit: float,
    asks: Callable[[], bool],
    stop: Callable[[], object],
) -> TurnResult:
    """Wait for a turn, and `stop` it after so many seconds in which it `asks` nobody.

    Cancelled meanwhile, it leaves the turn to whoever started it.
    """
    left = limit
    while not task.done():
        began, asking = workflow.now(), asks()
        if await _over(task, asks, asking, None if asking else left):
            stop()
            return _timed_out(await asyncio.shield(task), limit)
        if not asking:
            left = max(left - (workflow.now() - began).total_seconds(), 0.001)
    return task.result()


async def _over(
    task: "asyncio.Task[TurnResult]", asks: Callable[[], bool], asking: bool, left: float | None
) -> bool:
    """Wait until a turn has ended, or asks or no longer asks a person; True if time is up."""
    try:
        await workflow.wait_condition(
            lambda: task.done() or asks() is not asking,
            timeout=left,
            timeout_summary="turn timeout",
        )
    except asyncio.TimeoutError:
        return True
    return False


def _timed_out(result: TurnResult, limit: float) -> TurnResult:
    """Return the result of a turn that was stopped for its time; an answer that came is kept."""
    if result.status is not AgentStatus.CANCELLED:
        return result
    return result.model_copy(
        update={
            "status": AgentStatus.FAILED,
            "kind": "TurnTimeout",
            "error": f"timeout: the turn took longer than {limit:g} s",
        }
    )
