"""The end of a run: its outputs rendered, its record stored, its workflow closed as it deserves."""

from datetime import datetime

import pydantic_core
from temporalio.exceptions import ActivityError, ApplicationError

from contracts.activities import RenderCall, RunActivities
from contracts.artifacts import ArtifactRef, Value
from contracts.base import Frozen
from contracts.failures import RUN_FAILED
from contracts.plans import StepNode
from contracts.runs import RecordPage, RecordQuery, RunRecord, RunResult
from contracts.teams import AgentStatus, WorkflowStatus
from rules import graph
from workflows.light import at_once, by_queue
from workflows.reading import bindings_of
from workflows.state import RunState
from workflows.views import records

INLINE_BYTES = 4_000
"""Of outputs in the run's result; the rest is found in the run artifact only."""

MOST_AT_ONCE = 4_000
"""Steps and attempts that the workflow hands over in one piece: some 2 MB, some 100 ms."""


def final_status(state: RunState) -> WorkflowStatus:
    """Return how the run ended (SEMANTICS D10 to D12; an `end` step decides by itself)."""
    if state.forced is not None:
        return WorkflowStatus(state.forced)
    if state.error is not None:
        return WorkflowStatus.FAILED
    return graph.run_status(
        [
            (
                state.results[name].status,
                node.priority,
                name in state.skipped or _caught(state, node),
            )
            for name, node in state.nodes.items()
        ],
        state.header.allow_partial_completion,
        cancelled=False,
    )


def _caught(state: RunState, node: StepNode) -> bool:
    """Whether a failure was dealt with by the step that was to catch it."""
    if node.handler is None or state.results[node.name].status not in graph.FAILURES:
        return False
    handler = state.names[node.handler]
    return state.results[handler].status is AgentStatus.COMPLETED


async def render_outputs(state: RunState) -> dict[str, Value]:
    """Return the run's outputs: the declared ones, else those of the steps that nobody reads."""
    if not state.header.has_outputs:
        return _leaves(state)
    completed = [n for n, r in state.results.items() if r.status is AgentStatus.COMPLETED]
    wanted = [name for name in completed if state.nodes[name].inline or name in _read(state)]
    call = RenderCall(
        plan=state.request.plan,
        bindings=await bindings_of(state, wanted, state.request.inputs),
    )
    return (await at_once(RunActivities.render, call, "outputs")).outputs


def _read(state: RunState) -> set[str]:
    return {state.names[index] for index in state.header.output_uses}


def _leaves(state: RunState) -> dict[str, Value]:
    needed = {
        name
        for node in state.nodes.values()
        for name in state.names_of((*node.dependencies, *node.optional_dependencies))
    }
    values = {name: state.value(name) for name in state.names if name not in needed}
    return {name: value for name, value in values.items() if value is not None}


async def store_record(state: RunState) -> ArtifactRef:
    """Store the run artifact: all of it at once, or fetched by the activity by query."""
    header = _record(state)
    if len(state.names) + len(state.attempts) > MOST_AT_ONCE:
        return await by_queue(RunActivities.store_record, header, "run artifact")
    page = records(state, RecordQuery(count=len(state.names)))
    whole = header.model_copy(
        update={name: getattr(page, name) for name in RecordPage.model_fields}
    )
    return await at_once(RunActivities.store_record, whole, "run artifact", otherwise=header)


def _record(state: RunState) -> RunRecord:
    """Return the run's record without what grows with the team."""
    ledger = state.ledger
    return RunRecord(
        run_id=state.request.run_id,
        team=state.header.team,
        status=state.status,
        plan=state.request.plan,
        budget=ledger.cap,
        cost=ledger.counted,
        served=ledger.served,
        uncertain=ledger.uncertain,
        tokens=state.tokens,
        error=state.error,
        started_at=state.started_at,
        completed_at=state.completed_at,
        steps=len(state.names),
    )


def _size(value: Frozen | dict[str, Value]) -> int:
    return len(pydantic_core.to_json(value))


def _small_outputs(state: RunState) -> dict[str, Value]:
    """Return the first outputs, as far as they are small."""
    small: dict[str, Value] = {}
    for name, value in state.outputs.items():
        if _size({**small, name: value}) > INLINE_BYTES:
            break
        small[name] = value
    return small


def close(state: RunState, artifact: ArtifactRef | None, now: datetime) -> RunResult:
    """Return the run's result, or raise the failure that the Temporal UI is to show."""
    result = RunResult(
        run_id=state.request.run_id,
        team=state.header.team,
        status=state.status,
        outputs=_small_outputs(state),
        cost=state.ledger.counted,
        tokens=state.tokens,
        error=state.error,
        artifact=artifact,
        uncertain=state.ledger.uncertain,
    )
    if state.status is WorkflowStatus.FAILED:
        why = state.error or _why_failed(state)
        if state.request.budget is not None:  # a step of another run, which has no more to show
            result = result.model_copy(update={"error": why})
        raise ApplicationError(why, result, type=RUN_FAILED, non_retryable=True)
    return result


def _why_failed(state: RunState) -> str:
    failed = [
        f"{name}: {result.error or result.status.value}"
        for name, result in state.results.items()
        if result.status
        in (AgentStatus.FAILED, AgentStatus.BUDGET_EXCEEDED, AgentStatus.RATE_LIMITED)
    ]
    return "; ".join(failed[:5])[:1000] or "the run failed"


async def archive(state: RunState) -> ArtifactRef | None:
    """Render and store, as well as that still goes: a run never hangs on its own archive."""
    try:
        succeeded = state.status in (WorkflowStatus.COMPLETED, WorkflowStatus.PARTIALLY_COMPLETED)
        if succeeded or state.request.shape >= 3:
            state.outputs = await render_outputs(state)
        else:
            state.outputs = _leaves(state)
        return await store_record(state)
    except ActivityError as error:
        state.error = state.error or f"the run's record could not be stored: {error.cause}"
        return None
