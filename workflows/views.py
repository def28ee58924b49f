"""What a run answers when it is asked: how its steps are, what it cost, its record."""

from decimal import Decimal

from contracts.runs import (
    RecordPage,
    RecordQuery,
    RunCost,
    RunStatus,
    StepStatus,
    attempt_shown,
    step_of,
)
from contracts.sharing import SHARED_UNIT
from contracts.teams import AgentStatus
from rules import step_notes
from workflows.state import RunState, spent_on


def records(state: RunState, query: RecordQuery) -> RecordPage:
    """Answer the query `records`."""
    names = state.names[query.start : query.start + query.count]
    shared = () if query.start else state.attempts_of(SHARED_UNIT)
    return RecordPage(
        results=tuple(state.results[name] for name in names),
        attempts=(*shared, *(a for name in names for a in state.attempts_of(name))),
        inputs={} if query.start else state.request.inputs,
        outputs={} if query.start else state.outputs,
    )


def status_view(state: RunState, most: int | None = None) -> RunStatus:
    """Answer the query `status`; of the steps `most` at most."""
    at_work = _at_work(state)
    return RunStatus(
        run_id=state.request.run_id,
        team=state.header.team,
        status=state.status,
        steps=tuple(_step_view(state, name, name in at_work) for name in state.names[:most]),
        cost=state.ledger.counted,
        reserved=state.ledger.reserved,
        budget=state.ledger.cap,
        tokens=state.tokens,
        started_at=state.started_at,
        completed_at=state.completed_at,
        error=state.error or state.paused_for,
        paused_for=_waits_for(state),
        budget_used=state.ledger.crossed,
        questions=tuple(state.questions.values()),
        uncertain=state.ledger.uncertain,
    )


def _waits_for(state: RunState) -> str | None:
    """Say what a person has to do before the run goes on, if anything."""
    if state.paused_for is not None:
        return state.paused_for
    if state.paused:
        return f"paused{f': {state.pause_reason}' if state.pause_reason else ''}; resume it"
    for question in state.questions.values():
        return f"{question.step} asks: {question.ask} ({' or '.join(question.choices)})"
    return None


def _at_work(state: RunState) -> set[str]:
    """Return the steps in flight, with those that have begun of what is repeated with them.

    Between rounds they hold the results of the last one, which others read.
    """
    pending = set(state.frontier.pending)
    found = set(state.frontier.running)
    queue = list(found)
    while queue:
        for name in state.names_of(state.nodes[queue.pop()].members):
            begun = state.results[name].status is not AgentStatus.PENDING
            begun = begun or name in state.questions or bool(state.attempts_of(name))
            if begun and name in pending and name not in found:
                found.add(name)
                queue.append(name)
    return found


def _step_view(state: RunState, name: str, at_work: bool) -> StepStatus:
    result = state.results[name]
    attempts = state.attempts_of(name)
    cost, tokens = spent_on(attempts)
    last = attempts[-1] if attempts else None
    return StepStatus(
        name=name,
        status=AgentStatus.RUNNING if at_work else result.status,
        kind=state.nodes[name].kind,
        provider=last.provider if last else None,
        model=last.model if last else None,
        attempt=attempt_shown(state.nodes[name].kind, attempts),
        tokens=tokens,
        cost=cost,
        started_at=result.started_at,
        completed_at=result.completed_at,
        note=_note(state, name, at_work),
        items=0 if at_work else step_notes.item_count(result),
        failed_items=0 if at_work else step_notes.failed_items(result),
    )


def _note(state: RunState, name: str, at_work: bool) -> str | None:
    asked = next((q for key, q in state.questions.items() if step_of(key) == name), None)
    if asked is not None:
        return f"waits for an answer: {' or '.join(asked.choices)}"
    return step_notes.note(state.results[name], at_work=at_work)


def cost_view(state: RunState) -> RunCost:
    """Answer the query `cost`."""
    ledger = state.ledger
    by_step: dict[str, Decimal] = {}
    for unit, spent in ledger.by_step.items():
        by_step[step_of(unit)] = by_step.get(step_of(unit), Decimal(0)) + spent
    return RunCost(
        run_id=state.request.run_id,
        budget=ledger.cap,
        cost=ledger.counted,
        served=ledger.served,
        uncertain=ledger.uncertain,
        reserved=ledger.reserved,
        by_step=by_step,
        attempts=tuple(state.attempts.values()),
    )
