"""Reading values: bindings for prompts, and expressions, in the workflow or in an activity.

What is small and inline is evaluated here; what is large or only referred to goes to an activity,
so that no workflow task ever blocks and no payload grows with the team.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

import pydantic_core
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from contracts.activities import BindingsPage, EvaluateCall, RunActivities, StepFact
from contracts.artifacts import INLINE_LIMIT_BYTES, Bindings, Value
from contracts.base import Json
from contracts.plans import StepNode
from rules import conditions
from workflows.state import RunState

BINDINGS_INLINE_BYTES = 6000
PAGE_BYTES = 10_000
LIGHT = timedelta(seconds=60)
"""Start-to-close of an activity that only reads or writes the store."""

STORE_RETRIES = RetryPolicy(
    maximum_interval=timedelta(seconds=10),
    non_retryable_error_types=["ArtifactMissing", "ArtifactCorrupt"],
)
"""A store that is away is asked until it is back; what it has lost, it has lost."""


async def bindings_of(state: RunState, steps: Iterable[str], inputs: Iterable[str]) -> Bindings:
    """Return the values by name, paged out where they are many. Missing ones are left out."""
    values = {name: state.request.inputs[name] for name in inputs if name in state.request.inputs}
    for name in steps:
        value = state.value(name)
        if value is not None:
            values[name] = value
    return await paged(values)


async def paged(values: Mapping[str, Value]) -> Bindings:
    """Return values as bindings: themselves where they are few, else stored in pages."""
    slim = {name: _slim(value) for name, value in values.items()}
    sizes = {name: len(pydantic_core.to_json(value)) + len(name) for name, value in slim.items()}
    if sum(sizes.values()) <= BINDINGS_INLINE_BYTES:
        return Bindings(values=slim)
    pages = [
        await workflow.execute_activity_method(
            RunActivities.store_bindings,
            BindingsPage(values=page),
            start_to_close_timeout=LIGHT,
            retry_policy=STORE_RETRIES,
            summary="bindings",
        )
        for page in _pages(slim, sizes)
    ]
    return Bindings(pages=tuple(pages))


def _slim(value: Value) -> Value:
    """Leave out what is only for the eye, and the inline copy of what is stored as well."""
    drop: dict[str, Json] = {"preview": ""}
    if value.ref is not None:
        drop |= {"inline": None, "has_inline": False}
    return value.model_copy(update=drop)


def _pages(values: dict[str, Value], sizes: dict[str, int]) -> list[dict[str, Value]]:
    pages: list[dict[str, Value]] = [{}]
    used = 0
    for name, value in values.items():
        if used + sizes[name] > PAGE_BYTES and pages[-1]:
            pages.append({})
            used = 0
        pages[-1][name] = value
        used += sizes[name]
    return pages


async def evaluate(
    state: RunState, source: str, steps: Iterable[str], inputs: Iterable[str]
) -> Value:
    """Return an expression's value. Raises `conditions.ConditionError`."""
    facts = {name: _fact(state, name) for name in dict.fromkeys(steps)}
    given = {
        name: state.request.inputs[name]
        for name in dict.fromkeys(inputs)
        if name in state.request.inputs
    }
    elapsed = 0.0
    if state.started_at is not None:
        elapsed = (workflow.now() - state.started_at).total_seconds()
    outputs = [fact.output for fact in facts.values() if fact.output is not None]
    if _small([*outputs, *given.values()]):
        context = conditions.context(
            {name: value.inline for name, value in given.items()},
            {name: _inline(fact) for name, fact in facts.items()},
            {"cost": float(state.ledger.counted), "elapsed": elapsed},
        )
        if conditions.is_light(source, context):
            value = conditions.evaluate(source, context)
            size = len(pydantic_core.to_json(value))
            if size <= INLINE_LIMIT_BYTES:
                return Value(kind="json", inline=value, has_inline=True, size_bytes=size)
    call = EvaluateCall(
        expression=source,
        inputs=Bindings(values={name: _slim(value) for name, value in given.items()}),
        agents=facts,
        run_cost=state.ledger.counted,
        run_elapsed=elapsed,
    )
    try:
        return await workflow.execute_activity_method(
            RunActivities.evaluate,
            call,
            start_to_close_timeout=LIGHT,
            retry_policy=STORE_RETRIES,
            summary=source[:80],
        )
    except ActivityError as error:
        raise conditions.ConditionError(str(error.cause)) from None


def _fact(state: RunState, name: str) -> StepFact:
    result = state.results[name]
    return StepFact(
        status=result.status.value,
        cost=result.cost,
        attempts=sum(attempt.calls for attempt in state.attempts_of(name)),
        output=state.value(name),
    )


def _inline(fact: StepFact) -> dict[str, Json]:
    return {
        "status": fact.status,
        "output": fact.output.inline if fact.output is not None else None,
        "cost": float(fact.cost),
        "attempts": fact.attempts,
    }


def _small(values: list[Value]) -> bool:
    inline = all(value.has_inline for value in values)
    return inline and sum(value.size_bytes for value in values) <= INLINE_LIMIT_BYTES


def prompt_sizes(state: RunState, node: StepNode) -> list[int]:
    """Return the sizes in bytes of all values that a step's prompt reads, once per use."""
    sizes = [
        state.request.inputs[name].size_bytes
        for name in node.uses_inputs
        if name in state.request.inputs
    ]
    for name in state.names_of(node.uses):
        value = state.value(name)
        if value is not None:
            sizes.append(value.size_bytes)
    return sizes
