"""What the artifact of a run that has ended says of it. Needs the store alone, and no Temporal."""

import contextlib
from collections.abc import Iterator, Sequence

from contracts.plans import Plan
from contracts.runs import (
    AttemptRecord,
    RunRecord,
    RunResult,
    RunStatus,
    StepResult,
    StepStatus,
    attempt_shown,
    step_of,
)
from contracts.teams import AgentStatus
from rules import step_notes
from rules.ledger import last_mark
from stores.artifacts import ArtifactStore
from stores.exceptions import ArtifactLost


async def run_record(store: ArtifactStore, run_id: str) -> RunRecord | None:
    """Return the run artifact, or None while the run goes on or was lost. Raises StoreError."""
    with needed_by(run_id):
        ref = await store.lookup(f"runs/{run_id}")
        return await store.get_model(ref, RunRecord) if ref else None


@contextlib.contextmanager
def needed_by(run_id: str) -> Iterator[None]:
    """Let errors about artifacts that the store has lost name this run."""
    try:
        yield
    except ArtifactLost as error:
        error.needed_by(f"run {run_id}")
        raise


def recorded_result(run_id: str, record: RunRecord) -> RunResult:
    """Return the result that a run's artifact holds."""
    return RunResult(
        run_id=run_id,
        team=record.team,
        status=record.status,
        outputs=record.outputs,
        cost=record.cost,
        tokens=record.tokens,
        error=record.error,
        uncertain=record.uncertain,
    )


async def recorded_status(store: ArtifactStore, run_id: str, record: RunRecord) -> RunStatus:
    """Return every step's state at the end. Raises StoreError."""
    with needed_by(run_id):
        plan = await store.get_model(record.plan, Plan)
    kinds = {step.name: step.kind for step in plan.team.agents}
    steps = tuple(
        _step_status(result, kinds.get(result.agent_id, "model"), record.attempts)
        for result in record.results
    )
    return outlined(record).model_copy(update={"run_id": run_id, "steps": steps})


def outlined(record: RunRecord) -> RunStatus:
    """Return how a run ended, without its steps: nothing but its record is read."""
    return RunStatus(
        run_id=record.run_id,
        team=record.team,
        status=record.status,
        cost=record.cost,
        budget=record.budget,
        tokens=record.tokens,
        started_at=record.started_at,
        completed_at=record.completed_at,
        error=record.error,
        budget_used=last_mark(record.cost, record.budget),
        uncertain=record.uncertain,
    )


def _step_status(result: StepResult, kind: str, attempts: Sequence[AttemptRecord]) -> StepStatus:
    own = [attempt for attempt in attempts if step_of(attempt.step) == result.agent_id]
    last = own[-1] if own else None
    return StepStatus(
        name=result.agent_id,
        status=AgentStatus(result.status),
        kind=kind,
        provider=last.provider if last else None,
        model=last.model if last else None,
        attempt=attempt_shown(kind, own),
        tokens=result.tokens_used,
        cost=result.cost,
        started_at=result.started_at,
        completed_at=result.completed_at,
        note=step_notes.note(result),
        items=step_notes.item_count(result),
        failed_items=step_notes.failed_items(result),
    )
