"""An execution's budget: each request's worst case is held before it is made. No cent over.

Works as a run's ledger does (`rules.ledger`), for workflows and for executions in one process
alike: what does not fit waits until others have settled, first in first out; where the full
answer can never be paid, `max_tokens` is lowered to what can; what cannot be paid at all is
refused, naming the amounts. Without a budget nothing is held and nothing is counted.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from contracts.calls import CallFailure
from contracts.execution import CacheRef, ErrorInfo, Spent
from contracts.execution_calls import ExecutionMoney, GenerateReply, Tariff
from contracts.messages import Usage
from rules import prices
from rules.ledger import Granted, Ledger, Refused, Waiting
from workflows.refusals import Refused as CannotGoOn

MIN_OUTPUT_TOKENS = 256
"""`max_tokens` is never lowered below this, as in runs."""

BUDGET_EXCEEDED = "BudgetExceeded"

ZERO = Decimal(0)


@dataclass(frozen=True)
class CacheEntry:
    """What is held for a cache until it is gone."""

    entry: str
    tariff: Tariff
    ttl_s: float
    made_at: float = 0.0
    tokens: int | None = None


class Purse:
    """The account of one execution. `now` is its clock, in seconds."""

    def __init__(self, money: ExecutionMoney | None, now: Callable[[], float]) -> None:
        self._money, self._now = money, now
        self._ledger = Ledger(money.budget if money is not None else ZERO)
        self._waiting: dict[str, asyncio.Future[bool]] = {}
        self._held: dict[str, Tariff] = {}
        self._caches: dict[str, CacheEntry] = {}

    @property
    def spent(self) -> Spent | None:
        """What was spent so far; None without a budget."""
        if self._money is None:
            return None
        ledger = self._ledger
        return Spent(
            budget=ledger.cap,
            cost=ledger.counted,
            served=ledger.served,
            uncertain=ledger.uncertain,
        )

    def _tariff(self, *, fallback: bool) -> Tariff | None:
        if self._money is None:
            return None
        return self._money.fallback if fallback else self._money.primary

    async def hold(
        self, entry: str, call: int, max_tokens: int | None, *, fallback: bool
    ) -> int | None:
        """Hold a request's worst case; return the `max_tokens` that it pays for.

        Waits for others where they could make room. Raises `workflows.refusals.Refused`.
        """
        tariff = self._tariff(fallback=fallback)
        if tariff is None:
            return max_tokens
        wanted = max_tokens or tariff.max_tokens
        price, bound = tariff.price, tariff.bounds[call]
        while True:
            room = self._ledger.affordable_eventually(entry)
            tokens = min(wanted, prices.affordable_output(price, bound, room))
            if tokens < min(MIN_OUTPUT_TOKENS, wanted):
                raise CannotGoOn(self._too_dear(tariff, bound, min(MIN_OUTPUT_TOKENS, wanted)))
            amount = prices.worst_case(price, bound, tokens)
            if await self._asked(entry, amount):
                self._held[entry] = tariff
                return tokens

    def settle(self, entry: str, outcome: GenerateReply | CallFailure) -> None:
        """Count what a request cost: the vendor's usage, or all that was held for it."""
        tariff = self._held.pop(entry, None)
        if tariff is None:
            return
        usage = outcome.usage
        final = outcome.usage_final if isinstance(outcome, CallFailure) else usage is not None
        seen = prices.cost(tariff.price, usage) if usage and usage.total_tokens else ZERO
        if isinstance(outcome, CallFailure) and not outcome.sent:
            self._ledger.release(entry)
        elif final and (usage is None or not usage.estimated):
            self._ledger.settle(entry, seen)
        else:
            self._ledger.settle_uncertain(entry, seen)
        self._admit()

    # caches

    def hold_cache(self, entry: str, ttl_s: float, *, fallback: bool) -> bool:
        """Hold what a cache costs at most, if that fits at once; it never waits for money."""
        tariff = self._tariff(fallback=fallback)
        if tariff is None:
            return True
        bound, price = tariff.shared_bound, tariff.price
        stored = prices.storage(price, prices.token_hours(bound, ttl_s))
        amount = prices.dollars(price, (*prices.worst_charges(price, bound, 0), *stored))
        if self._ledger.affordable(entry) < amount:
            return False
        self._ledger.ask(entry, entry, amount)
        self._caches[entry] = CacheEntry(entry, tariff, ttl_s)
        return True

    def cache_made(self, entry: str, found: CacheRef | CallFailure) -> None:
        """Note what came of it: it is paid when it is gone, or here where none was made."""
        held = self._caches.get(entry)
        if held is None:
            return
        if isinstance(found, CallFailure):
            del self._caches[entry]
            if not found.sent or (found.status or 0) >= 400:
                self._ledger.release(entry)
            else:
                self._ledger.settle_uncertain(entry, ZERO)
        elif found.application != "created" or found.resends:
            del self._caches[entry]
            self._ledger.release(entry)
        else:
            self._caches[entry] = CacheEntry(
                entry, held.tariff, held.ttl_s, self._now(), found.tokens
            )
        self._admit()

    def close(self, kept: frozenset[str]) -> None:
        """Settle the caches: those of these entries live on to the end of their time."""
        for held in self._caches.values():
            lived = min(held.ttl_s, self._now() - held.made_at)
            seconds = held.ttl_s if held.entry in kept else lived
            size = held.tariff.shared_bound if held.tokens is None else held.tokens
            price, usage = held.tariff.price, Usage(size, 0, cache_write_tokens=size)
            stored = prices.storage(price, prices.token_hours(size, seconds))
            seen = prices.dollars(price, (*prices.charges(price, usage), *stored))
            if held.tokens is None:
                self._ledger.settle_uncertain(held.entry, ZERO)
            else:
                self._ledger.settle(held.entry, seen)
        self._caches.clear()

    # the queue

    async def _asked(self, entry: str, amount: Decimal) -> bool:
        """Hold an amount, in turn; False where the room has become smaller meanwhile."""
        answer = self._ledger.ask(entry, entry, amount)
        if isinstance(answer, Granted):
            return True
        if isinstance(answer, Refused):
            return False
        assert isinstance(answer, Waiting)
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[entry] = waiting
        try:
            return bool(await waiting)
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.result():
                self._ledger.release(entry)
            elif entry in self._ledger.waiting:
                self._ledger.withdraw(entry)
            self._admit()
            raise
        finally:
            self._waiting.pop(entry, None)

    def _admit(self) -> None:
        """Let the queue move on."""
        granted, refused = self._ledger.granted(), self._ledger.refused()
        for entry in (*granted, *refused):
            waiting = self._waiting.get(entry)
            if waiting is not None and not waiting.done():
                waiting.set_result(entry in granted)

    def _too_dear(self, tariff: Tariff, bound: int, least: int) -> ErrorInfo:
        ledger = self._ledger
        worst = prices.worst_case(tariff.price, bound, least)
        return ErrorInfo(
            kind=BUDGET_EXCEEDED,
            message=(
                f"budget {_plain(ledger.cap)}: {_plain(ledger.counted)} is spent, the next call on "
                f"{tariff.price.model} may cost {_plain(worst)} (at most {bound:,} input tokens); "
                "raise budget"
            ),
        )


def _plain(dollars: Decimal) -> str:
    return f"{dollars.normalize():f}"
