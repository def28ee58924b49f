"""A model step: reserve, attempt, settle, decide; until there is an answer or a reason to stop.

All decisions are the rules': `rules.ledger` whether an attempt may start and with how many
tokens, `rules.attempts` what follows a failure. This module only waits and writes down.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from temporalio import workflow

from contracts.artifacts import Bindings, Value
from contracts.base import Json
from contracts.calls import (
    CallFailure,
    Continuation,
    ItemBinding,
    ModelCall,
    ModelReply,
    Repair,
)
from contracts.failures import FailureKind
from contracts.messages import Usage
from contracts.plans import Candidate, StepNode
from contracts.runs import AttemptRecord, StepResult
from contracts.teams import AgentStatus
from rules import attempts, bounds, prices
from rules.attempts import Attempted
from workflows.outcome import attempt, count_tokens
from workflows.reading import bindings_of, prompt_sizes
from workflows.reserving import Reserver, Unaffordable
from workflows.state import RunState


@dataclass(frozen=True)
class Item:
    """One item of a `for_each`: its name among the run's attempts, and where its value is."""

    unit: str
    size_bytes: int
    inline: Value | None = None
    stored: ItemBinding | None = None


class ModelStepRun:
    """One model step, or one item of it, from its first reservation to its result.

    `bindings` are the values that its prompt reads, where they were gathered before.
    """

    def __init__(
        self,
        state: RunState,
        node: StepNode,
        reserver: Reserver,
        item: Item | None = None,
        bindings: Bindings | None = None,
    ) -> None:
        self._bindings = bindings
        self._state = state
        self._node = node
        self._reserver = reserver
        self._item = item
        self._unit = item.unit if item else node.name
        self._history: list[Attempted] = []
        self._candidate = 0
        self._number = state.attempt_count(self._unit)
        self._first = self._number
        self._repairs = node.repairs if node.structured else 0
        self._repair: Repair | None = None
        self._continuation: Continuation | None = None
        self._partial_bytes = 0
        self._partial_preview = ""

    async def run(self) -> StepResult:
        """Return the step's result. Cancelled, it settles what is in flight and returns too."""
        node, state = self._node, self._state
        bindings = self._bindings
        if bindings is None:
            bindings = await bindings_of(state, state.names_of(node.uses), node.uses_inputs)
        if self._item is not None and self._item.inline is not None and node.item:
            values = {**bindings.values, node.item: self._item.inline}
            bindings = bindings.model_copy(update={"values": values})
        avoided = self._avoided()
        self._candidate = next((n for n in range(len(node.candidates)) if n not in avoided), 0)
        while True:
            try:
                outcome = await self._attempt(bindings)
            except Unaffordable as error:
                return self._ended(AgentStatus.BUDGET_EXCEEDED, str(error))
            if isinstance(outcome, ModelReply):
                return self._completed(outcome)
            decision = self._decide(outcome)
            if isinstance(decision, StepResult):
                return decision
            if decision > 0:
                try:
                    await workflow.sleep(decision)
                except asyncio.CancelledError:
                    return self._ended(AgentStatus.CANCELLED, "cancelled")

    async def _attempt(self, bindings: Bindings) -> ModelReply | CallFailure:
        """Reserve, call and settle once."""
        node = self._node
        candidate = self._state.header.candidates[node.candidates[self._candidate]]
        self._number += 1
        bound = self._input_bound()
        try:
            grant = await self._reserver.reserve(
                self._unit, self._number, node, candidate, bound, self._count(bindings, bound)
            )
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
        self._state.record(record)
        call = self._call(bindings, grant.max_tokens, grant.input_bound)
        call = call.model_copy(update={"counted": grant.counted})
        has_next = self._candidate + 1 < len(node.candidates)
        outcome = await attempt(call, candidate, node.priority, has_next)
        self._settle(record, candidate, outcome)
        return outcome

    def _count(self, bindings: Bindings, bound: int) -> Callable[[], Awaitable[int | None]]:
        """Return the question that the provider is asked before an attempt is refused."""
        call = self._call(bindings, self._node.max_tokens, bound)
        candidate = self._state.header.candidates[call.candidate]
        return lambda: count_tokens(call, candidate)

    def _input_bound(self) -> int:
        """Bound the tokens of the next prompt: a token is at least one byte."""
        sizes = prompt_sizes(self._state, self._node)
        if self._item is not None:
            sizes += [self._item.size_bytes] * self._node.item_uses
        if self._repair is not None:
            sizes += [self._repair.answer.size_bytes, bounds.REPAIR_BYTES]
            sizes += [len(error.encode()) + 3 for error in self._repair.errors]
        if self._continuation is not None:
            sizes += [self._partial_bytes, bounds.CONTINUE_BYTES]
        return bounds.input_bound(self._node.prompt_bytes, sizes)

    def _call(self, bindings: Bindings, max_tokens: int, bound: int) -> ModelCall:
        node, request = self._node, self._state.request
        return ModelCall(
            run_id=request.run_id,
            plan=request.plan,
            step=node.name,
            unit=self._unit,
            attempt=self._number,
            candidate=node.candidates[self._candidate],
            bindings=bindings,
            item=self._item.stored if self._item else None,
            max_tokens=max_tokens,
            input_bound=bound,
            timeout=node.timeout,
            first_token_timeout=node.first_token_timeout,
            idle_timeout=node.idle_timeout,
            want_inline=node.inline or node.structured,
            prompt=self._state.prompts.get(node.name),
            continuation=self._continuation,
            repair=self._repair,
        )

    def _settle(
        self, record: AttemptRecord, candidate: Candidate, outcome: ModelReply | CallFailure
    ) -> None:
        """Account for an attempt exactly once, and write down how it ended."""
        failure = outcome if isinstance(outcome, CallFailure) else None
        kind = failure.kind if failure else None
        self._state.note_ending(candidate.provider, kind, workflow.now())
        self._state.record(
            record.model_copy(
                update={
                    **self._counted(record, candidate, outcome),
                    "outcome": kind or "completed",
                    "error": failure.message if failure else None,
                    "started_at": outcome.started_at,
                    "first_token_at": outcome.first_token_at,
                    "ended_at": outcome.ended_at or workflow.now(),
                    "response_id": outcome.response_id,
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

    def _decide(self, failure: CallFailure) -> float | StepResult:
        """Return the seconds to wait before the next attempt, or the step's result."""
        if failure.kind == FailureKind.STOPPED or self._state.stopping:
            return self._ended(AgentStatus.CANCELLED, failure.message)
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
            self._state.header.retry,
            self._node.max_retries,
            len(self._node.candidates),
            self._history,
            workflow.random().random(),
            provider=self._provider(self._candidate),
            avoid=self._avoided(),
        )
        self._note_decision(decision.reason)
        if isinstance(decision, attempts.GiveUp):
            return self._ended(decision.status, f"{failure.kind}: {failure.message}")
        self._candidate = decision.candidate
        self._repair = None
        self._go_on_from(failure)
        return decision.delay

    def _provider(self, candidate: int) -> str:
        return self._state.header.candidates[self._node.candidates[candidate]].provider

    def _avoided(self) -> list[int]:
        """Return the candidates whose provider keeps failing in this run."""
        failing = self._state.failing_providers(workflow.now())
        return [n for n in range(len(self._node.candidates)) if self._provider(n) in failing]

    def _go_on_from(self, failure: CallFailure) -> None:
        """Keep the partial text for the next attempt where the step says so."""
        self._partial_preview = failure.partial_preview or self._partial_preview
        if self._node.on_interrupt != "continue" or self._node.structured:
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

    def _attempt_tokens(self) -> int:
        return self._state.attempts[f"{self._unit}#{self._number}"].max_tokens

    def _note_decision(self, reason: str) -> None:
        record = self._state.attempts[f"{self._unit}#{self._number}"]
        self._state.record(record.model_copy(update={"decision": reason}))

    def _completed(self, reply: ModelReply) -> StepResult:
        candidate = self._state.header.candidates[self._node.candidates[self._candidate]]
        metadata: dict[str, Json] = {
            "provider": candidate.provider,
            "model": reply.model or candidate.model,
            "finish_reason": reply.finish_reason,
        }
        if reply.notes:
            metadata["notes"] = list(reply.notes)
        return StepResult(
            agent_id=self._unit,
            status=AgentStatus.COMPLETED,
            output=reply.output,
            retry_count=max(self._number - self._first - 1, 0),
            metadata=metadata,
        )

    def _ended(self, status: AgentStatus, error: str) -> StepResult:
        metadata: dict[str, Json] = {"reason": error}
        if self._partial_preview:
            metadata["partial_text"] = self._partial_preview
        return StepResult(
            agent_id=self._unit,
            status=status,
            error=error,
            retry_count=max(self._number - self._first - 1, 0),
            metadata=metadata,
        )
