"""The money of a run: reserve the worst case, then settle what it cost. No cent over.

At all times reserved + counted ≤ cap, in exact decimal dollars: an attempt may start only with
its worst case held. What is `counted` never goes down: what was paid, and the whole reservation
of an attempt whose usage nobody reported in full. `served` is what the vendors are known to have
served, so the truth lies between the two. Only a vendor that reports more than its bound can
push `counted` over the cap; such attempts are listed in `over_bound`.

Who does not fit but could, once others settle for less, waits in a queue: strictly first in,
first out, so that a dear attempt is not overtaken for ever. The caller asks `granted` and
`refused` after each event; whoever waits appears in exactly one of them, exactly once, unless it
withdraws, and nobody waits when nothing is outstanding.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from contracts.ledgers import ZERO as ZERO
from contracts.ledgers import Ask as Ask
from contracts.ledgers import LedgerState as LedgerState
from contracts.ledgers import Scope as Scope
from rules.prices import EXACT

THRESHOLDS = (50, 80, 100)
"""Percent of the cap at which people are told."""

Bound = Literal["cost_budget", "cost_limit"]


class LedgerError(ValueError):
    """An entry that cannot be: settled twice, never reserved, a negative amount."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The amount is held until it is settled or released."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The ask is in the queue until it is granted, refused or withdrawn."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The amount can never be held: `available` is the most that could, `need` what was asked.

    `bound` names what would have to be raised.
    """

    bound: Bound
    available: Decimal
    need: Decimal


class Ledger:
    """A run's account. Amounts are dollars; attempts are named by ids of the caller's choice."""

    def __init__(self, cap: Decimal) -> None:
        self._load(LedgerState(cap=_amount(cap)))

    @classmethod
    def from_state(cls, state: LedgerState) -> "Ledger":
        """Return the ledger that `to_state` described."""
        ledger = cls(state.cap)
        ledger._load(state)
        return ledger

    def _load(self, state: LedgerState) -> None:
        self._cap = state.cap
        self._counted = state.counted
        self._served = state.served
        self._by_step = defaultdict(Decimal, state.by_step)
        self._below = defaultdict(Decimal, state.below)
        self._held: dict[str, Ask] = {}
        self._reserved = ZERO
        self._reserved_by_step: defaultdict[str, Decimal] = defaultdict(Decimal)
        for ask in state.held:
            self._hold(ask)
        self._queue = {ask.attempt_id: ask for ask in state.queue}
        self._impossible = list(state.refused)
        self._over_bound = list(state.over_bound)

    def to_state(self) -> LedgerState:
        """Return all that there is to know."""
        return LedgerState(
            cap=self._cap,
            counted=self._counted,
            served=self._served,
            by_step=dict(self._by_step),
            below=dict(self._below),
            held=tuple(self._held.values()),
            queue=tuple(self._queue.values()),
            refused=tuple(self._impossible),
            over_bound=tuple(self._over_bound),
        )

    @property
    def cap(self) -> Decimal:
        """What the run may spend."""
        return self._cap

    @property
    def counted(self) -> Decimal:
        """What counts as spent: settled costs, and uncertain ones at their whole reservation."""
        return self._counted

    @property
    def served(self) -> Decimal:
        """The price of the usage that vendors are known to have served."""
        return self._served

    @property
    def uncertain(self) -> Decimal:
        """The part of `counted` that may not have been spent: its "at most"."""
        return _shown(EXACT.subtract(self._counted, self._served))

    @property
    def reserved(self) -> Decimal:
        """What is held for attempts in flight."""
        return _shown(self._reserved)

    @property
    def available(self) -> Decimal:
        """What is neither counted nor held; negative after a vendor went over its bound."""
        return EXACT.subtract(self._room(), self._reserved)

    @property
    def by_step(self) -> Mapping[str, Decimal]:
        """What is counted, by step."""
        return MappingProxyType(self._by_step)

    @property
    def over_bound(self) -> tuple[str, ...]:
        """Attempts that cost more than was held for them, in the order of their ends."""
        return tuple(self._over_bound)

    @property
    def outstanding(self) -> tuple[str, ...]:
        """Attempts that hold a reservation, oldest first."""
        return tuple(self._held)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Attempts in the queue, first in first."""
        return tuple(self._queue)

    @property
    def crossed(self) -> int:
        """The highest of 50, 80 and 100 percent of the cap that is counted, or 0."""
        return last_mark(self._counted, self._cap)

    def affordable(self, step: str, step_limit: Decimal | None = None) -> Decimal:
        """Return the most that would be granted to a step right now; 0 while others wait."""
        return ZERO if self._queue else self.extendable(step, step_limit)

    def extendable(self, step: str, step_limit: Decimal | None = None) -> Decimal:
        """Return how much more what is in flight can hold, before any who wait for it to end."""
        return max(ZERO, min(self.available, self._step_room(step, step_limit)))

    def affordable_eventually(
        self, step: str, step_limit: Decimal | None = None, within: Iterable[Scope] = ()
    ) -> Decimal:
        """Return the most that could be granted to a step if all in flight cost nothing."""
        around = (self._step_room(scope.step, scope.limit) for scope in within)
        return max(ZERO, min(self._room(), self._step_room(step, step_limit), *around))

    def spent_by(self, step: str) -> Decimal:
        """Return what is counted of a step, and of what it answers for."""
        return EXACT.add(self._by_step.get(step, ZERO), self._below.get(step, ZERO))

    def ask(
        self,
        attempt_id: str,
        step: str,
        amount: Decimal,
        step_limit: Decimal | None = None,
        within: Iterable[Scope] = (),
    ) -> Granted | Waiting | Refused:
        """Ask for an attempt's worst case to be held.

        Refused where it does not fit even if all in flight cost nothing, or where it would lead
        the counted and held amounts of the step, or of one that answers for it (`within`), over
        their limits. A step answers for its own, and for all that ask within it.
        """
        if attempt_id in self._held or attempt_id in self._queue:
            raise LedgerError(f"{attempt_id} has asked already")
        ask = Ask(
            attempt_id=attempt_id,
            step=step,
            amount=_amount(amount),
            step_limit=step_limit,
            within=tuple(within),
        )
        refusal = self._refusal(ask)
        if refusal is not None:
            return refusal
        if not self._queue and self._fits(ask):
            self._hold(ask)
            return Granted()
        self._queue[attempt_id] = ask
        return Waiting()

    def extend(self, attempt_id: str, amount: Decimal) -> None:
        """Hold more under a reservation. Raises LedgerError where `extendable` says less.

        Whoever waits in the queue may wait for this very attempt to end: it goes first.
        """
        held = self._held.get(attempt_id)
        if held is None:
            raise LedgerError(f"{attempt_id} holds no reservation")
        more = held.model_copy(update={"amount": _amount(amount)})
        if not self._fits(more) or self._refusal(more) is not None:
            raise LedgerError(f"{amount} more does not fit beside {attempt_id}")
        self._free(attempt_id)
        self._hold(held.model_copy(update={"amount": EXACT.add(held.amount, more.amount)}))

    def granted(self) -> list[str]:
        """Hold what fits now, first come first, and return the ids of those that waited for it."""
        admitted: list[str] = []
        blocked = False
        for ask in list(self._queue.values()):
            if self._refusal(ask) is not None:
                del self._queue[ask.attempt_id]
                self._impossible.append(ask.attempt_id)
            elif not blocked and self._fits(ask):
                del self._queue[ask.attempt_id]
                self._hold(ask)
                admitted.append(ask.attempt_id)
            else:
                blocked = True
        return admitted

    def refused(self) -> list[str]:
        """Return the ids, once each, of those that `granted` found can never be held any more."""
        impossible, self._impossible = self._impossible, []
        return impossible

    def settle(self, attempt_id: str, actual: Decimal) -> None:
        """Count what an attempt cost, and give back the rest of its reservation."""
        self._count(attempt_id, _amount(actual), _amount(actual))

    def settle_uncertain(self, attempt_id: str, seen: Decimal) -> None:
        """Count an attempt of which only `seen` is known at its whole reservation."""
        held = self._held.get(attempt_id)
        at_most = max(held.amount, _amount(seen)) if held is not None else _amount(seen)
        self._count(attempt_id, at_most, _amount(seen))

    def settle_child(self, attempt_id: str, counted: Decimal, served: Decimal) -> None:
        """Count what another ledger counted under this one's reservation."""
        self._count(attempt_id, _amount(counted), _amount(served))

    def renew(self, amount: Decimal) -> None:
        """Put an amount in place of what is left, as the cap of a ledger that lives on grants.

        Only while nothing is held or waits: then no reservation relies on the old cap.
        """
        if self._held or self._queue:
            raise LedgerError("a grant cannot be renewed while money is held or asked for")
        self._cap = EXACT.add(self._counted, _amount(amount))

    def release(self, attempt_id: str) -> None:
        """Give back the reservation of an attempt that was never sent."""
        self._free(attempt_id)

    def withdraw(self, attempt_id: str) -> None:
        """Leave the queue."""
        if self._queue.pop(attempt_id, None) is None:
            raise LedgerError(f"{attempt_id} is not waiting")

    def raise_cap(self, cap: Decimal) -> None:
        """Raise what the run may spend. It never goes down: reservations rely on it."""
        if _amount(cap) < self._cap:
            raise LedgerError(f"the cap is {self._cap} already; it can only be raised")
        self._cap = cap

    def _room(self) -> Decimal:
        return EXACT.subtract(self._cap, self._counted)

    def _step_room(self, step: str, limit: Decimal | None) -> Decimal:
        if limit is None:
            return self._room()
        spent = EXACT.add(self.spent_by(step), self._reserved_by_step.get(step, ZERO))
        return EXACT.subtract(limit, spent)

    def _refusal(self, ask: Ask) -> Refused | None:
        """Say why an amount can never be held; what costs nothing always can."""
        room = max(ZERO, self._step_room(ask.step, ask.step_limit))
        if ask.step_limit is not None and ask.amount > room:
            return Refused("cost_limit", room, ask.amount)
        for scope in ask.within:
            room = max(ZERO, self._step_room(scope.step, scope.limit))
            if ask.amount > room:
                return Refused("cost_limit", room, ask.amount)
        room = max(ZERO, self._room())
        return Refused("cost_budget", room, ask.amount) if ask.amount > room else None

    def _fits(self, ask: Ask) -> bool:
        return ask.amount <= max(ZERO, self.available)

    def _hold(self, ask: Ask) -> None:
        self._held[ask.attempt_id] = ask
        self._reserved = EXACT.add(self._reserved, ask.amount)
        for step in (ask.step, *(scope.step for scope in ask.within)):
            self._reserved_by_step[step] = EXACT.add(self._reserved_by_step[step], ask.amount)

    def _free(self, attempt_id: str) -> Ask:
        ask = self._held.pop(attempt_id, None)
        if ask is None:
            raise LedgerError(f"{attempt_id} holds no reservation")
        self._reserved = EXACT.subtract(self._reserved, ask.amount)
        for step in (ask.step, *(scope.step for scope in ask.within)):
            left = EXACT.subtract(self._reserved_by_step[step], ask.amount)
            self._reserved_by_step[step] = left
        return ask

    def _count(self, attempt_id: str, counted: Decimal, served: Decimal) -> None:
        ask = self._free(attempt_id)
        self._counted = EXACT.add(self._counted, counted)
        self._served = EXACT.add(self._served, served)
        self._by_step[ask.step] = EXACT.add(self._by_step[ask.step], counted)
        for scope in ask.within:
            self._below[scope.step] = EXACT.add(self._below[scope.step], counted)
        if served > ask.amount:
            self._over_bound.append(attempt_id)


def last_mark(counted: Decimal, cap: Decimal) -> int:
    """Return the highest of 50, 80 and 100 percent of a cap that an amount has reached, or 0."""
    share = EXACT.multiply(counted, Decimal(100))
    reached = [p for p in THRESHOLDS if share >= EXACT.multiply(cap, Decimal(p))]
    return max(reached, default=0)


def _amount(value: Decimal) -> Decimal:
    if not (value.is_finite() and value >= 0):
        raise LedgerError(f"{value} is no amount of money")
    return value


def _shown(amount: Decimal) -> Decimal:
    """Return an amount without the decimals that exact sums leave of nothing: 0, not 0E-7."""
    return amount or ZERO
