"""What a cache of a name of its own costs a run: being written, and being kept for its time.

The worst case is held before it is made: all tokens that it may have, for as long as it may live.
It is settled when the cache is gone: what was written, and the time that it has lived.
A cache never waits for money. Those who would give some back may be waiting for it.
"""

from decimal import Decimal

from temporalio import workflow

from contracts.calls import CallFailure
from contracts.messages import Usage
from contracts.plans import Candidate
from contracts.runs import AttemptRecord
from contracts.sharing import SHARED_UNIT, MadeCache
from rules import prices
from workflows.reserving import Reserver
from workflows.state import RunState


class CacheMoney:
    """The entries of caches in a run's ledger and bill."""

    def __init__(self, state: RunState, reserver: Reserver) -> None:
        self._state, self._reserver = state, reserver

    def hold(self, candidate: Candidate, bound: int, ttl_s: float) -> str | None:
        """Hold a cache's worst case; return the attempt's id, or None where it does not fit."""
        state, price = self._state, candidate.price
        unit = f"{SHARED_UNIT}[{candidate.provider} {candidate.model}]"
        number = state.attempt_count(unit) + 1
        hours = prices.token_hours(bound, ttl_s)
        prompt = bound + candidate.overhead_tokens
        charged = (*prices.worst_charges(price, prompt, 0), *prices.storage(price, hours))
        amount = prices.dollars(price, charged)
        if state.ledger.affordable(unit) < amount:
            return None
        state.ledger.ask(f"{unit}#{number}", unit, amount)
        record = AttemptRecord(
            step=unit,
            number=number,
            provider=candidate.provider,
            model=candidate.model,
            state="reserved",
            reserved=amount,
            input_bound=bound,
            held_token_hours=hours,
            queued_at=workflow.now(),
            started_at=workflow.now(),
        )
        state.record(record)
        return record.id

    def release(self, paid_as: str, decision: str) -> None:
        """Give the reservation back: nothing was made."""
        self._reserver.release(paid_as)
        self._end(paid_as, state="released", outcome="completed", decision=decision)

    def failed(self, paid_as: str, failure: CallFailure) -> None:
        """End the entry of a cache that was not made, or of which that is not known."""
        told = {"outcome": failure.kind, "error": failure.message, "decision": "sent uncached"}
        if not failure.sent or (failure.status or 0) >= 400:
            self._reserver.release(paid_as)
            self._end(paid_as, state="released", **told)
            return
        self._reserver.settle_uncertain(paid_as, Decimal(0))
        held = self._state.attempts[paid_as].reserved
        self._end(paid_as, state="uncertain", cost=held, **told)

    def settle(self, made: MadeCache, *, gone: bool) -> None:
        """Count what a cache of ours cost: its life is over now, or goes on to its end."""
        record = self._state.attempts.get(made.paid_as)
        if record is None or record.state != "reserved" or not made.ours:
            return
        price = next(
            one.price
            for one in self._state.header.candidates
            if (one.provider, one.model) == (made.provider, made.model)
        )
        shared, tokens = self._state.header.shared, made.ref.tokens
        lives = shared.ttl if shared is not None else 0.0
        lived = min(lives, (workflow.now() - made.made_at).total_seconds())
        told = f"deleted after {lived:.0f} s" if gone else "kept for its time"
        hours, size = record.held_token_hours, record.input_bound
        if tokens is not None:
            hours, size = prices.token_hours(tokens, lived if gone else lives), tokens
        usage = Usage(size, 0, cache_write_tokens=size, estimated=tokens is None)
        charged = (*prices.charges(price, usage), *prices.storage(price, hours))
        seen = prices.dollars(price, charged)
        if tokens is None:
            seen = min(seen, record.reserved)
            self._reserver.settle_uncertain(record.id, seen)
            entry = {"state": "uncertain", "cost": record.reserved, "served": seen}
        else:
            self._reserver.settle(record.id, seen)
            over = seen > record.reserved
            entry = {"state": "settled", "cost": seen, "served": seen, "over_bound": over}
        self._end(
            record.id,
            **entry,
            usage=usage,
            stored_token_hours=hours,
            outcome="completed",
            decision=told,
        )

    def settle_rest(self) -> None:
        """End what is open still: a cache that was being made when the run was stopped."""
        for record in self._state.attempts_of(SHARED_UNIT):
            if record.state == "reserved":
                self._reserver.settle_uncertain(record.id, Decimal(0))
                self._end(record.id, state="uncertain", cost=record.reserved, outcome="Stopped")

    def _end(self, paid_as: str, **update: object) -> None:
        record = self._state.attempts[paid_as]
        self._state.record(record.model_copy(update={"ended_at": workflow.now(), **update}))
