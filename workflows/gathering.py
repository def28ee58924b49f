"""Many values made one: inline where they are small, else stored as one list."""

from collections.abc import Iterable, Sequence
from typing import Literal

import pydantic_core
from temporalio import workflow

from contracts.activities import GatherCall, RunActivities
from contracts.artifacts import INLINE_LIMIT_BYTES, Value
from contracts.runs import StepResult
from contracts.teams import AgentStatus
from workflows import reading


def answers(results: Iterable[StepResult]) -> list[Value]:
    """Return what those of some results gave that succeeded, in their order."""
    return [
        result.output
        for result in results
        if result.status is AgentStatus.COMPLETED and result.output is not None
    ]


async def one_list(outputs: Sequence[Value], summary: str) -> Value:
    """Return a list of values, inline where that is small."""
    if all(output.has_inline for output in outputs):
        items = [output.inline for output in outputs]
        size = len(pydantic_core.to_json(items))
        if size <= INLINE_LIMIT_BYTES:
            return Value(kind="json", inline=items, has_inline=True, size_bytes=size)
    return await stored(outputs, "list", summary)


async def stored(outputs: Sequence[Value], form: Literal["list", "chain"], summary: str) -> Value:
    """Return a stored list of values, or of the items of lists."""
    named = {f"{number:06}": output for number, output in enumerate(outputs)}
    return await workflow.execute_activity_method(
        RunActivities.gather,
        GatherCall(items=await reading.paged(named), form=form),
        start_to_close_timeout=reading.LIGHT,
        retry_policy=reading.STORE_RETRIES,
        summary=summary,
    )
