"""A run that goes on in a new history: what it carries over, and when it is time to.

Time is at the first moment with nothing in flight after the server suggested it; from HARD_EVENTS
or HARD_BYTES on nothing further is started until that moment has come. Questions and waits are
not in flight: they go on where they were, with their deadlines; nor is an agent's turn between two
calls of its model (`workflows.parked`). A call in flight would be
orphaned and its answer lost, so it is never carried.

All that the run knows travels as one stored artifact, compressed, of which the new history reads
pieces: no payload grows with the run.
"""

import base64
import zlib
from datetime import datetime

from temporalio import workflow

from contracts.activities import CarriedState, RunActivities, StateRequest
from contracts.artifacts import ArtifactRef
from contracts.base import Frozen
from contracts.runs import AttemptRecord, Question, StepResult
from contracts.sharing import SharingState
from contracts.slices import AnsweredSlices
from contracts.teams import AgentStatus
from contracts.updates import Answer
from rules.graph import FrontierState
from rules.ledger import LedgerState
from workflows.light import at_once, by_queue
from workflows.parked import ParkedTurn
from workflows.state import RunState

HARD_EVENTS = 20_000
HARD_BYTES = 20_000_000
"""The server ends a history of 51,200 events or 50 MB."""

MOST_AT_ONCE = 1_500_000
"""Characters that are handed to a local activity; more are fetched by query."""

PARKED_KINDS = frozenset({"approval", "wait"})
"""Kinds of steps that only wait: they can go on in a new history."""


class Carried(Frozen):
    """A run's memory as data."""

    started_at: datetime
    ledger: LedgerState
    frontier: FrontierState
    results: tuple[StepResult, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    skipped: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    answers: tuple[Answer, ...] = ()
    prompts: dict[str, str] = {}
    answered_items: dict[str, dict[int, StepResult]] = {}
    answered_slices: dict[str, AnsweredSlices] = {}
    commands: tuple[str, ...] = ()
    endings: dict[str, tuple[tuple[float, str | None], ...]] = {}
    paused: bool = False
    pause_reason: str = ""
    at_vendors: SharingState = SharingState()
    turns: dict[str, ParkedTurn] = {}


def suggested() -> bool:
    """Whether the server would like a new history."""
    return workflow.info().is_continue_as_new_suggested()


def full() -> bool:
    """Whether nothing more may be started in this history."""
    info = workflow.info()
    size = info.get_current_history_size()
    return info.get_current_history_length() >= HARD_EVENTS or size >= HARD_BYTES


def dump(state: RunState) -> str:
    """Return all that a run knows, as text."""
    assert state.started_at is not None
    return Carried(
        started_at=state.started_at,
        ledger=state.ledger.to_state(),
        frontier=state.frontier.to_state(),
        results=tuple(r for r in state.results.values() if r.status is not AgentStatus.PENDING),
        attempts=tuple(state.attempts.values()),
        skipped=tuple(name for name in state.names if name in state.skipped),
        questions=tuple(state.questions.values()),
        answers=tuple(state.answers.values()),
        prompts=state.prompts,
        answered_items=state.answered_items | state.mapping,
        answered_slices=state.answered_slices,
        commands=state.commands,
        endings=state.endings,
        paused=state.paused,
        pause_reason=state.pause_reason,
        at_vendors=state.at_vendors,
        turns=state.parked,
    ).model_dump_json(exclude_defaults=True)


def restore(state: RunState, text: str) -> None:
    """Take over what `dump` wrote of the same run."""
    carried = Carried.model_validate_json(text)
    state.started_at = carried.started_at
    state.parked_before = dict(carried.turns)
    state.take_over(carried.ledger, carried.frontier)
    for result in carried.results:
        state.results[result.agent_id] = result
    for attempt in carried.attempts:
        state.record(attempt)
    state.skipped.update(carried.skipped)
    state.questions.update({question.step: question for question in carried.questions})
    state.answers.update({answer.step: answer for answer in carried.answers})
    for name, prompt in carried.prompts.items():
        state.edit_prompt(name, prompt)
    state.answered_items = carried.answered_items
    state.answered_slices = carried.answered_slices
    state.commands = carried.commands
    state.endings = carried.endings
    state.paused, state.pause_reason = carried.paused, carried.pause_reason
    state.at_vendors = carried.at_vendors


async def store(state: RunState, text: str) -> ArtifactRef:
    """Store what `dump` wrote."""
    run_id = state.request.run_id
    by_query = CarriedState(run_id=run_id)
    if len(text) > MOST_AT_ONCE:
        return await by_queue(RunActivities.store_state, by_query, "state for a new history")
    whole = CarriedState(run_id=run_id, text=text)
    return await at_once(
        RunActivities.store_state, whole, "state for a new history", otherwise=by_query
    )


async def load(ref: ArtifactRef) -> str:
    """Return what `store` stored."""
    pieces: list[str] = []
    count = 1
    while len(pieces) < count:
        asked = StateRequest(state=ref, number=len(pieces))
        piece = await at_once(RunActivities.load_state, asked, "state of the history before")
        pieces.append(piece.data)
        count = piece.pieces
    return zlib.decompress(base64.b64decode("".join(pieces))).decode()
