"""Reservations: nothing is scheduled before its worst case is held.

A reservation that does not fit waits, first in first out, while outstanding ones could make
room. Where the full answer can never be paid, `max_tokens` is lowered to what can, down to the
step's `min_output_tokens`: the cap on money becomes the cap on the wire.
"""

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, Self

from temporalio import workflow

from contracts.plans import Candidate, PlanHeader, StepNode
from contracts.runs import MoneyWanted
from rules import prices
from rules.ledger import ZERO, Granted, Ledger, Refused, Scope, Waiting
from workflows.money_waits import MoneyWaits

COUNT_MARGIN = 64
"""Tokens beyond the provider's own count of a prompt, in case it bills a few more."""

Count = Callable[[], Awaitable[int | None]]


class Budgeted(Protocol):
    """What was asked for, and with how much money of another run."""

    @property
    def budget(self) -> Decimal | None:
        """Return the grant of a child run."""
        ...


class Account(Protocol):
    """Whose money it is: a run's, or a conversation's."""

    ledger: Ledger
    money: MoneyWaits

    @property
    def header(self) -> PlanHeader:
        """Return what is done when the money is spent."""
        ...

    @property
    def request(self) -> Budgeted:
        """Return what was asked for."""
        ...


class Unaffordable(Exception):
    """The step cannot be paid: names the bound, the estimate and the key to raise."""


@dataclass(frozen=True)
class Grant:
    """A held reservation: dollars, and the tokens of prompt and answer that they pay for."""

    amount: Decimal
    max_tokens: int
    input_bound: int
    counted: bool = False


class Reserver:
    """A ledger as those who spend use it."""

    def __init__(self, state: Account) -> None:
        self._state = state
        self._granted: set[str] = set()
        self._refused: set[str] = set()
        self._limit_key: str | None = None
        self._around: tuple[tuple[Scope, str], ...] = ()

    def inside(self, unit: str, node: StepNode, key: str) -> Self:
        """Return the same ledger for what spends within `unit`, which answers for it.

        `key` is what would have to be raised where the spender's own limit binds.
        """
        inner = copy.copy(self)
        scope = Scope(step=unit, limit=node.cost_limit)
        inner._around = (*self._around, (scope, self._key(node)))
        inner._limit_key = key
        return inner

    @property
    def _within(self) -> tuple[Scope, ...]:
        return tuple(scope for scope, _ in self._around)

    def _key(self, node: StepNode) -> str:
        """Return the key of a file that has a step's limit."""
        return self._limit_key or f"agents.{node.name}.cost_limit"

    async def reserve(
        self,
        unit: str,
        number: int,
        node: StepNode,
        candidate: Candidate,
        input_bound: int,
        count: Count,
    ) -> Grant:
        """Hold an attempt's worst case. Raises Unaffordable; may wait, and be cancelled then.

        `unit` is the step or the item that `cost_limit` holds for, `number` its attempt's.
        Before an attempt is refused, a provider that counts prompts without charge is asked by
        `count`: its number may be far below the bound by bytes.
        """
        ledger = self._state.ledger
        attempt_id = f"{unit}#{number}"
        wanted = min(node.max_tokens, candidate.max_output_tokens or node.max_tokens)
        bound, counted = input_bound, False
        while True:
            prompt = bound + candidate.overhead_tokens
            await self._make_room(unit, node, candidate, prompt, wanted)
            room = ledger.affordable_eventually(unit, node.cost_limit, self._within)
            tokens = min(wanted, prices.affordable_output(candidate.price, prompt, room))
            enough = tokens >= min(node.min_output_tokens, wanted)
            if enough:
                amount = prices.worst_case(candidate.price, prompt, tokens)
                answer = ledger.ask(attempt_id, unit, amount, node.cost_limit, self._within)
                if isinstance(answer, Granted):
                    return Grant(amount, tokens, bound, counted)
                if not isinstance(answer, Refused):
                    if await self._wait(attempt_id):
                        return Grant(amount, tokens, bound, counted)
                    continue
            if candidate.counts_tokens and not counted:
                exact = await count()
                counted = exact is not None
                bound = min(bound, exact + COUNT_MARGIN) if exact is not None else bound
                candidate = candidate.model_copy(update={"counts_tokens": False})
                continue
            await self._unaffordable(unit, node, candidate, prompt, wanted)

    async def _make_room(
        self, unit: str, node: StepNode, candidate: Candidate, prompt: int, wanted: int
    ) -> None:
        """Get more money before an attempt is made to fit; here there is none to get."""

    async def hold(self, attempt_id: str, step: str, amount: Decimal) -> bool:
        """Hold an amount, in turn; False where it can never be held. Settle or release it."""
        answer = self._state.ledger.ask(attempt_id, step, amount)
        if isinstance(answer, Waiting):
            return await self._wait(attempt_id)
        return isinstance(answer, Granted)

    async def _wait(self, attempt_id: str) -> bool:
        """Wait for room; False where none can come any more."""
        try:
            await workflow.wait_condition(
                lambda: attempt_id in self._granted or attempt_id in self._refused
            )
        except BaseException:
            if attempt_id in self._granted:
                self.release(attempt_id)
            elif attempt_id not in self._refused:
                self._state.ledger.withdraw(attempt_id)
                self._admit()
            raise
        finally:
            granted = attempt_id in self._granted
            self._granted.discard(attempt_id)
            self._refused.discard(attempt_id)
        return granted

    async def _unaffordable(
        self, unit: str, node: StepNode, candidate: Candidate, bound: int, wanted: int
    ) -> None:
        """Raise, or pause the run until its cap was raised, where that is what binds."""
        least = prices.worst_case(candidate.price, bound, min(node.min_output_tokens, wanted))
        needs = f"{candidate.model} may cost {least} (at most {bound:,} input tokens)"
        own = (Scope(step=unit, limit=node.cost_limit), self._key(node))
        for scope, key in (own, *self._around):
            spent = self._state.ledger.spent_by(scope.step)
            if spent + least > scope.limit:
                raise Unaffordable(self._over_limit(scope, spent, needs, key))
        full = prices.worst_case(candidate.price, bound, wanted)
        room = self._state.ledger.affordable_eventually(unit)
        await self.out_of_money(self._over_budget(unit, needs), least - room, full - room)

    def _over_limit(self, scope: Scope, spent: Decimal, needs: str, key: str) -> str:
        """Say that a step's own limit does not allow another call."""
        return (
            f"cost_limit {scope.limit} of {scope.step}: {spent} is spent, the next call on "
            f"{needs}; raise {key}"
        )

    def _over_budget(self, unit: str, needs: str) -> str:
        """Say that the budget does not allow another call."""
        ledger = self._state.ledger
        return (
            f"cost_budget {ledger.cap}: {ledger.counted} is spent, {unit} on {needs}; "
            "raise cost_budget"
        )

    async def out_of_money(
        self,
        message: str,
        least: Decimal = ZERO,
        need: Decimal = ZERO,
        enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Raise Unaffordable, or pause the run until its cap was raised, as the team says.

        `least` and `need` are what is missing beside the cap, for a short answer and a full one;
        `enough` is whether there is room meanwhile all the same.
        """
        state, ledger = self._state, self._state.ledger
        if state.header.on_budget == "fail" or state.request.budget is not None:
            raise Unaffordable(message)
        cap = ledger.cap
        with state.money.waited_for(message):
            await workflow.wait_condition(lambda: ledger.cap > cap or enough())

    async def grant(
        self, name: str, limit: Decimal, number: int = 1, *, may_pause: bool = True
    ) -> Decimal:
        """Hold a child run's share: its limit, or what is left. Raises Unaffordable.

        Where nothing is left, the run pauses for more if its team says so and it `may_pause`.
        """
        ledger = self._state.ledger
        while True:
            amount = min(limit, ledger.affordable_eventually(name, limit))
            if amount <= 0:
                message = (
                    f"cost_budget {ledger.cap}: {ledger.counted} is spent, nothing is left for "
                    f"the team {name}; raise cost_budget"
                )
                if not may_pause or ledger.spent_by(name) >= limit:
                    raise Unaffordable(message)
                await self.out_of_money(message, need=limit)
                continue
            answer = ledger.ask(f"{name}#{number}", name, amount, limit)
            if isinstance(answer, Granted) or (
                not isinstance(answer, Refused) and await self._wait(f"{name}#{number}")
            ):
                return amount

    async def extend(
        self, name: str, limit: Decimal, attempt_id: str, held: Decimal, wanted: MoneyWanted
    ) -> Decimal:
        """Hold more for a child run that holds an amount; return all of it. Raises Unaffordable.

        It gets what it needs, less only where that is all that there is. Where that is not even
        the least, the run pauses for more.
        """
        ledger = self._state.ledger

        def room() -> Decimal:
            return min(ledger.extendable(name, limit), wanted.need)

        def enough() -> bool:
            return room() >= wanted.least and room() > 0

        while not enough():
            left = limit - ledger.spent_by(name) - held
            if left <= 0 or left < wanted.least:
                raise Unaffordable(f"cost_limit {limit} of {name} is given to it; {wanted.why}")
            await self.out_of_money(
                f"cost_budget {ledger.cap}: {ledger.counted} is spent and {ledger.reserved} held, "
                f"the team {name} needs {wanted.least} more; raise cost_budget",
                wanted.least,
                wanted.need,
                enough,
            )
        more = room()
        ledger.extend(attempt_id, more)
        return held + more

    def settle(self, attempt_id: str, actual: Decimal) -> None:
        """Count what an attempt cost."""
        self._state.ledger.settle(attempt_id, actual)
        self._admit()

    def settle_uncertain(self, attempt_id: str, seen: Decimal) -> None:
        """Count an attempt whose cost is not known at its whole reservation."""
        self._state.ledger.settle_uncertain(attempt_id, seen)
        self._admit()

    def settle_child(self, attempt_id: str, counted: Decimal, served: Decimal) -> None:
        """Count what a child run counted under a grant."""
        self._state.ledger.settle_child(attempt_id, counted, served)
        self._admit()

    def release(self, attempt_id: str) -> None:
        """Give back the reservation of an attempt that was never sent."""
        self._state.ledger.release(attempt_id)
        self._admit()

    def raise_cap(self, cap: Decimal) -> None:
        """Raise the run's budget."""
        self._state.ledger.raise_cap(cap)
        self._admit()

    def _admit(self) -> None:
        """Let the queue move on: only here, never inside a wait condition."""
        self._granted.update(self._state.ledger.granted())
        self._refused.update(self._state.ledger.refused())
