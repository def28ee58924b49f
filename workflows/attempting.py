"""Attempts at one answer: reserve, call, settle, decide; until there is one or a reason to stop.

All decisions are the rules': `rules.ledger` whether an attempt may start and with how many
tokens, `rules.attempts` what follows a failure. This module only waits and writes down. What is
asked, and by which activity, is its subclasses' business: a team's step, an agent's turn.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from temporalio import workflow

from contracts.calls import CallFailure, Continuation, ModelCall, ModelReply, Repair
from contracts.failures import FailureKind
from contracts.messages import Usage
from contracts.plans import Candidate, PlanHeader, StepNode
from contracts.runs import AttemptRecord
from contracts.teams import AgentStatus
from rules import attempts, bounds, prices
from rules.attempts import Attempted
from rules.ledger import Ledger
from workflows.pausing import held_unpaused
from workflows.reserving import Account, Grant, Reserver, Unaffordable


class Books(Account, Protocol):
    """What attempts are written down in: the memory of a run, or of a conversation."""

    ledger: Ledger
    attempts: dict[str, AttemptRecord]
    stopping: bool
    paused: bool

    @property
    def header(self) -> PlanHeader:
        """Return the candidates and the rule of retries."""
        ...

    def attempt_count(self, unit: str) -> int:
        """Return how many attempts a unit of work has had."""
        ...

    def record(self, attempt: AttemptRecord) -> None:
        """Add an attempt, or replace what was known of it."""
        ...

    def note_ending(self, provider: str, kind: str | None, now: datetime) -> None:
        """Remember how a call to a provider ended."""
        ...

    def failing_providers(self, now: datetime) -> frozenset[str]:
        """Return the providers that are to be passed over for a while."""
        ...


@dataclass(frozen=True)
class Ended:
    """There is no answer, and why. `kind` is the last failure's; None: nothing was tried."""

    status: AgentStatus
    error: str
    kind: str | None = None


class Attempting(ABC):
    """The attempts at one answer. `node` says with which candidates, limits and clocks."""

    def __init__(self, books: Books, node: StepNode, reserver: Reserver, unit: str) -> None:
        self._books = books
        self._node = node
        self._reserver = reserver
        self._unit = unit
        self._history: list[Attempted] = []
        self._candidate = 0
        self._number = books.attempt_count(unit)
        self._first = self._number
        self._repairs = node.repairs if node.structured else 0
        self._repair: Repair | None = None
        self._continuation: Continuation | None = None
        self._partial_bytes = 0
        self._partial_preview = ""

    @abstractmethod
    def _fixed_bound(self) -> int:
        """Bound the tokens of the prompt, without what a repair or a continuation adds."""

    @abstractmethod
    def _call(self, max_tokens: int, bound: int) -> ModelCall:
        """Return what the next attempt asks for."""

    @abstractmethod
    async def _make(
        self, call: ModelCall, candidate: Candidate, has_next: bool
    ) -> ModelReply | CallFailure:
        """Make one attempt. Never raises: a cancellation is an outcome too."""

    @abstractmethod
    async def _count_tokens(self, call: ModelCall, candidate: Candidate) -> int | None:
        """Ask the provider for the size of a prompt; None where it cannot say."""

    async def _answer(self) -> ModelReply | Ended:
        """Attempt until there is an answer, or none can be had.

        Cancelled, it settles what is in flight and returns too.
        """
        node = self._node
        avoided = self._avoided()
        self._candidate = next((n for n in range(len(node.candidates)) if n not in avoided), 0)
        while True:
            try:
                outcome = await self._attempt()
            except Unaffordable as error:
                return Ended(AgentStatus.BUDGET_EXCEEDED, str(error))
            if isinstance(outcome, ModelReply):
                return outcome
            decision = self._decide(outcome)
            if isinstance(decision, Ended):
                return decision
            if decision > 0:
                try:
                    await workflow.sleep(decision)
                except asyncio.CancelledError:
                    return Ended(AgentStatus.CANCELLED, "cancelled")

    async def _attempt(self) -> ModelReply | CallFailure:
        """Reserve, call and settle once."""
        node = self._node
        candidate = self._books.header.candidates[node.candidates[self._candidate]]
        self._number += 1
        try:
            grant = await self._granted(candidate)
        except asyncio.CancelledError:
            self._number -= 1
            return CallFailure(
                kind=FailureKind.STOPPED, message="cancelled", retryable=False, sent=False
            )
        except Unaffordable:
            self._number -= 1
            raise
        record = AttemptRecord(
            step=self._unit,
            number=self._number,
            provider=candidate.provider,
            model=candidate.model,
            state="reserved",
            reserved=grant.amount,
            max_tokens=grant.max_tokens,
            input_bound=grant.input_bound,
            queued_at=workflow.now(),
        )
        self._books.record(record)
        call = self._call(grant.max_tokens, grant.input_bound)
        if grant.counted:
            call = call.model_copy(update={"counted": True})
        outcome = await self._make(call, candidate, self._candidate + 1 < len(node.candidates))
        self._settle(record, candidate, outcome)
        return outcome

    async def _granted(self, candidate: Candidate) -> Grant:
        """Hold the next attempt's worst case; return when it may be sent. Raises Unaffordable."""
        bound = self._input_bound()
        return await held_unpaused(
            self._books,
            lambda: self._reserver.reserve(
                self._unit, self._number, self._node, candidate, bound, self._count(bound)
            ),
            lambda: self._reserver.release(f"{self._unit}#{self._number}"),
        )

    def _count(self, bound: int) -> Callable[[], Awaitable[int | None]]:
        """Return the question that the provider is asked before an attempt is refused."""

        def count() -> Awaitable[int | None]:
            call = self._call(self._node.max_tokens, bound)
            return self._count_tokens(call, self._books.header.candidates[call.candidate])

        return count

    def _input_bound(self) -> int:
        """Bound the tokens of the next prompt: a token is at least one byte."""
        sizes = []
        if self._repair is not None:
            sizes += [self._repair.answer.size_bytes, bounds.REPAIR_BYTES]
            sizes += [len(error.encode()) + 3 for error in self._repair.errors]
        if self._continuation is not None:
            sizes += [self._partial_bytes, bounds.CONTINUE_BYTES]
        return self._fixed_bound() + sum(sizes)

    def _settle(
        self, record: AttemptRecord, candidate: Candidate, outcome: ModelReply | CallFailure
    ) -> None:
        """Account for an attempt exactly once, and write down how it ended."""
        failure = outcome if isinstance(outcome, CallFailure) else None
        kind = failure.kind if failure else None
        self._books.note_ending(candidate.provider, kind, workflow.now())
        self._books.record(
            record.model_copy(
                update={
                    **self._counted(record, candidate, outcome),
                    "outcome": kind or "completed",
                    "error": failure.message if failure else None,
                    "started_at": outcome.started_at,
                    "first_token_at": outcome.first_token_at,
                    "ended_at": outcome.ended_at or workflow.now(),
                    "response_id": outcome.response_id,
                    "reused_from": outcome.reused_from if isinstance(outcome, ModelReply) else None,
                }
            )
        )

    def _counted(
        self, record: AttemptRecord, candidate: Candidate, outcome: ModelReply | CallFailure
    ) -> dict[str, Any]:
        """End the reservation: released, settled with the vendor's usage, or uncertain."""
        if isinstance(outcome, CallFailure):
            if not outcome.sent:
                self._reserver.release(record.id)
                return {"state": "released"}
            usage, final = outcome.usage or Usage(), outcome.usage_final
        else:
            usage, final = outcome.usage, True
        seen = prices.cost(candidate.price, usage) if usage.total_tokens else Decimal(0)
        if final and not usage.estimated:
            self._reserver.settle(record.id, seen)
            over = seen > record.reserved
            entry = {"state": "settled", "cost": seen, "served": seen, "over_bound": over}
        else:
            seen = min(seen, record.reserved)
            self._reserver.settle_uncertain(record.id, seen)
            entry = {"state": "uncertain", "cost": record.reserved, "served": seen}
        return {**entry, "usage": usage}

    def _decide(self, failure: CallFailure) -> float | Ended:
        """Return the seconds to wait before the next attempt, or why there is none."""
        self._partial_preview = failure.partial_preview or self._partial_preview
        if failure.kind == FailureKind.STOPPED or self._books.stopping:
            return Ended(AgentStatus.CANCELLED, failure.message, failure.kind)
        if failure.invalid_output is not None and self._repairs > 0:
            self._repairs -= 1
            self._repair, self._continuation = failure.invalid_output, None
            self._note_decision(f"repair: {failure.message}")
            return 0.0
        self._history.append(
            Attempted(
                candidate=self._candidate,
                kind=failure.kind,
                retryable=failure.retryable,
                retry_after=failure.retry_after,
                counts=failure.kind != FailureKind.WORKER_STOPPING,
            )
        )
        decision = attempts.decide(
            self._books.header.retry,
            self._node.max_retries,
            len(self._node.candidates),
            self._history,
            workflow.random().random(),
            provider=self._provider(self._candidate),
            avoid=self._avoided(),
        )
        self._note_decision(decision.reason)
        if isinstance(decision, attempts.GiveUp):
            return Ended(decision.status, f"{failure.kind}: {failure.message}", failure.kind)
        self._candidate = decision.candidate
        self._repair = None
        self._go_on_from(failure)
        return decision.delay

    def _provider(self, candidate: int) -> str:
        return self._books.header.candidates[self._node.candidates[candidate]].provider

    def _avoided(self) -> list[int]:
        """Return the candidates whose provider keeps failing."""
        failing = self._books.failing_providers(workflow.now())
        return [n for n in range(len(self._node.candidates)) if self._provider(n) in failing]

    def _go_on_from(self, failure: CallFailure) -> None:
        """Keep the partial text for the next attempt where the step says so."""
        if self._node.on_interrupt != "continue" or self._node.structured or self._starts_over():
            return
        if failure.partial is not None:
            self._partial_bytes = failure.partial.size_bytes
            self._continuation = Continuation(
                partial=failure.partial, response_id=failure.response_id
            )
        elif failure.kind == FailureKind.WORKER_LOST and failure.usage is not None:
            # The text is in the spool only; no answer is larger than the tokens that were paid.
            self._partial_bytes = bounds.text_bytes(self._attempt_tokens())
            self._continuation = Continuation(spool_attempt=self._number)

    def _starts_over(self) -> bool:
        """Whether what is asked cannot be gone on with, whatever the step says."""
        return False

    def _attempt_tokens(self) -> int:
        return self._books.attempts[f"{self._unit}#{self._number}"].max_tokens

    def _note_decision(self, reason: str) -> None:
        record = self._books.attempts[f"{self._unit}#{self._number}"]
        self._books.record(record.model_copy(update={"decision": reason}))
