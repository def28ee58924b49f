"""The ledger: reserve the worst case, then settle what it was. No cent over.

Exact decimals, in dollars. A reservation is held from `ask` (or from its turn in the queue) until
exactly one of `settle`, `settle_uncertain` and `release` ends it:

- settled: what the vendor reported counts, the rest of the reservation is free again;
- uncertain: nobody knows the whole cost, so the whole reservation goes on counting, of which
  `served` was seen;
- released: nothing was sent, nothing counts.

Held and counted money together never pass the cap, nor a step's own limit, whatever the order of
events. Only a vendor that charges more than the bound it was sent can break that; such an entry
is recorded as it is and flagged (`over_bound`). Who does not fit now, but might once others have
settled, waits: first in, first out.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from contracts.base import Frozen

ZERO = Decimal(0)
MARKS = (100, 80, 50)
"""Percent of the cap whose crossing is worth telling."""


class LedgerError(Exception):
    """A reservation was opened or ended twice, or never existed: a bug in the caller."""


@dataclass(frozen=True)
class Granted:
    """The reservation is held."""


@dataclass(frozen=True)
class Waiting:
    """It does not fit now; it is in the queue."""


@dataclass(frozen=True)
class Refused:
    """It can never fit: `bound` says which limit, of which `available` dollars are left."""

    bound: Literal["cost_budget", "cost_limit"]
    available: Decimal
    need: Decimal


Answer = Granted | Waiting | Refused


class Entry(Frozen):
    """One reservation: `counted` is what it holds against the caps now."""

    step: str
    reserved: Decimal
    step_limit: Decimal
    state: Literal["queued", "held", "settled", "uncertain", "released"] = "held"
    counted: Decimal = ZERO
    served: Decimal = ZERO
    over_bound: bool = False


class LedgerState(Frozen):
    """A ledger as a value, for continue-as-new."""

    cap: Decimal
    entries: Mapping[str, Entry] = {}
    queue: tuple[str, ...] = ()


class Ledger:
    """One run's money."""

    def __init__(self, cap: Decimal) -> None:
        self.cap = cap
        self.counted = ZERO
        self.served = ZERO
        self.uncertain = ZERO
        self.reserved = ZERO
        self.by_step: dict[str, Decimal] = {}
        self._held_by_step: dict[str, Decimal] = {}
        self._entries: dict[str, Entry] = {}
        self._queue: deque[str] = deque()
        self._refused: list[str] = []

    @property
    def available(self) -> Decimal:
        """Dollars that are neither spent nor held."""
        return self.cap - self.counted - self.reserved

    @property
    def crossed(self) -> int:
        """The highest of 50, 80 and 100 percent that the counted money has reached, or 0."""
        return next((mark for mark in MARKS if self.counted * 100 >= self.cap * mark), 0)

    def entry(self, attempt_id: str) -> Entry:
        """Return a reservation. Raises LedgerError for an unknown one."""
        try:
            return self._entries[attempt_id]
        except KeyError:
            raise LedgerError(f"no reservation {attempt_id}") from None

    def ask(self, attempt_id: str, step: str, amount: Decimal, step_limit: Decimal) -> Answer:
        """Reserve `amount` for an attempt, wait in line for it, or hear why never."""
        if attempt_id in self._entries:
            raise LedgerError(f"{attempt_id} was reserved already")
        entry = Entry(step=step, reserved=amount, step_limit=step_limit, state="queued")
        refusal = self._never(entry)
        if refusal is not None:
            return refusal
        self._entries[attempt_id] = entry
        if not self._queue and self._fits(entry):
            self._hold(attempt_id)
            return Granted()
        self._queue.append(attempt_id)
        return Waiting()

    def granted(self) -> list[str]:
        """Move the queue on: return those that are held now, in order."""
        held = []
        while self._queue:
            head = self._queue[0]
            entry = self._entries[head]
            if self._never(entry) is not None:
                self._queue.popleft()
                del self._entries[head]
                self._refused.append(head)
            elif self._fits(entry):
                self._queue.popleft()
                self._hold(head)
                held.append(head)
            else:
                break
        return held

    def refused(self) -> list[str]:
        """Return those whom `granted` had to turn away since the last call; they may ask anew."""
        refused, self._refused = self._refused, []
        return refused

    def settle(self, attempt_id: str, actual: Decimal) -> None:
        """End a reservation with what the vendor reported."""
        entry = self._end(attempt_id)
        over = actual > entry.reserved
        self._count(attempt_id, entry, actual, actual, "settled", over)

    def settle_uncertain(self, attempt_id: str, seen: Decimal) -> None:
        """End a reservation whose cost is unknown: it counts whole, `seen` of it was served."""
        entry = self._end(attempt_id)
        seen = min(seen, entry.reserved)
        self._count(attempt_id, entry, entry.reserved, seen, "uncertain", False)
        self.uncertain += entry.reserved

    def release(self, attempt_id: str) -> None:
        """End a reservation for which nothing was sent."""
        entry = self._end(attempt_id)
        self._count(attempt_id, entry, ZERO, ZERO, "released", False)

    def withdraw(self, attempt_id: str) -> None:
        """Leave the queue."""
        if self.entry(attempt_id).state != "queued":
            raise LedgerError(f"{attempt_id} does not wait")
        self._queue.remove(attempt_id)
        del self._entries[attempt_id]

    def raise_cap(self, cap: Decimal) -> None:
        """Raise the cap. Call `granted` afterwards."""
        if cap < self.cap:
            raise LedgerError("a cap can only be raised")
        self.cap = cap

    def affordable(self, step: str, step_limit: Decimal) -> Decimal:
        """Return the most that the step could be granted now."""
        return max(ZERO, min(self.available, self._step_room(step, step_limit)))

    def affordable_eventually(self, step: str, step_limit: Decimal) -> Decimal:
        """Return the most that the step could be granted if all that is held came back."""
        return max(ZERO, min(self.cap - self.counted, self._step_room(step, step_limit)))

    def to_state(self) -> LedgerState:
        """Return the ledger as a value."""
        return LedgerState(cap=self.cap, entries=dict(self._entries), queue=tuple(self._queue))

    @classmethod
    def from_state(cls, state: LedgerState) -> "Ledger":
        """Return the ledger that a value describes."""
        ledger = cls(state.cap)
        ledger._queue.extend(state.queue)
        for attempt_id, entry in state.entries.items():
            ledger._entries[attempt_id] = entry
            ledger._take_in(entry)
        return ledger

    def _take_in(self, entry: Entry) -> None:
        if entry.state == "held":
            self.reserved += entry.reserved
            self._held_by_step[entry.step] = self._held(entry.step) + entry.reserved
            return
        self.counted += entry.counted
        self.served += entry.served
        if entry.state == "uncertain":
            self.uncertain += entry.counted
        if entry.counted:
            self.by_step[entry.step] = self.by_step.get(entry.step, ZERO) + entry.counted

    def _held(self, step: str) -> Decimal:
        return self._held_by_step.get(step, ZERO)

    def _step_room(self, step: str, step_limit: Decimal) -> Decimal:
        return step_limit - self.by_step.get(step, ZERO) - self._held(step)

    def _never(self, entry: Entry) -> Refused | None:
        """Say whether an entry can never fit. A step's own reservations do not come back to it."""
        room = self._step_room(entry.step, entry.step_limit)
        if entry.reserved > room:
            return Refused("cost_limit", max(ZERO, room), entry.reserved)
        room = self.cap - self.counted
        if entry.reserved > room:
            return Refused("cost_budget", max(ZERO, room), entry.reserved)
        return None

    def _fits(self, entry: Entry) -> bool:
        return entry.reserved <= self.affordable(entry.step, entry.step_limit)

    def _hold(self, attempt_id: str) -> None:
        entry = self._entries[attempt_id]
        self._entries[attempt_id] = entry.model_copy(update={"state": "held"})
        self.reserved += entry.reserved
        self._held_by_step[entry.step] = self._held(entry.step) + entry.reserved

    def _end(self, attempt_id: str) -> Entry:
        entry = self.entry(attempt_id)
        if entry.state != "held":
            raise LedgerError(f"{attempt_id} is {entry.state}, not held")
        self.reserved -= entry.reserved
        self._held_by_step[entry.step] -= entry.reserved
        return entry

    def _count(
        self,
        attempt_id: str,
        entry: Entry,
        counted: Decimal,
        served: Decimal,
        state: Literal["settled", "uncertain", "released"],
        over_bound: bool,
    ) -> None:
        update = {"state": state, "counted": counted, "served": served, "over_bound": over_bound}
        self._entries[attempt_id] = entry.model_copy(update=update)
        self.counted += counted
        self.served += served
        if counted:
            self.by_step[entry.step] = self.by_step.get(entry.step, ZERO) + counted
