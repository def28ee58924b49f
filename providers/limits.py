"""An account's limits in this process, kept before a request: booked ahead, with the exact wait.

Promises: whoever books learns at once when the call may be made, and is not asked again; what can
never pass is refused at once and takes nothing; a booking that is given back makes room for later
ones; first booked, first served; what a call really used counts instead of what it had booked. No
clock but the given one, no I/O, no waiting here.

Strategy: a booking is an arrival at the first moment at which every tier (`providers.limit_tiers`)
lets it through, never before a booking that was made earlier. Bookings that lie ahead are kept in
order, each with the pace's levels before it, so that one can be taken out and the rest counted
anew; their moments stay. A call counts when it is made. Where some come seconds later than their
turn, so that those after them would pass a limit, these wait once more: the one case of it.

Open requests end when they end, so theirs is the one wait that is an estimate: those who were
refused keep their place, and are asked back when about so many calls will have ended.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from providers.exceptions import RouterError
from providers.limit_tiers import PARTS, REACH, Tier, bucket_tiers, vendor_tiers
from providers.policy import Limits

GRACE_MS = 60_000
"""A booking that nobody used so long after it was due is given back: its caller is gone."""

BUCKET_GRACE_MS = 600_000
"""The same where there is nothing to give back: a bucket refills by itself."""

SOON_MS = 1_000
"""Who is about to ask within this has a right to an open request before later ones."""

LINE_GRACE_MS = 5_000
"""Who does not ask so long after that has left the line."""

FIRST_GUESS_MS = 1_000
"""How long a request is open, before one has ended."""

SHORTEST_MS, LONGEST_MS, LONGEST_MS_EACH = 100, 1_000, 20
"""Bounds of the estimated wait for an open request to end; the upper one grows with the line.

So a line that was told too long a wait still moves, and a long one does not ask all the time.
"""


class NeverAdmitted(RouterError, ValueError):
    """The call is larger than a limit: no wait would help."""


def refuse_larger(tiers: list[Tier], tokens: int) -> None:
    """Raise NeverAdmitted for a call of so many tokens that no wait would help."""
    for tier in tiers:
        if tier.weight(tokens) > tier.limit:
            raise NeverAdmitted(
                f"a call of about {tokens:,} tokens can never pass: {tier.name} is "
                f"{tier.limit:,}; lower its max_tokens or raise {tier.name}"
            )


@dataclass
class _Booking:
    """A turn: due at `at`; `before` are the pace's levels without it and what came after it."""

    at: int
    tokens: int
    since: int
    before: list[int]
    kept_until: int = 0


@dataclass
class _Count:
    """One tier with what was booked of it, and what of that was made, by part.

    `moved` is what corrections did to the level.
    """

    tier: Tier
    booked: dict[int, int] = field(default_factory=dict)
    made: dict[int, int] = field(default_factory=dict)
    level: int = 0
    moved: int = 0

    def add(self, counts: dict[int, int], at: int, weight: int) -> None:
        if not self.tier.window or not weight:
            return
        part = self.tier.part(at)
        counts[part] = max(0, counts.get(part, 0) + weight)

    def forget(self, now: int) -> None:
        oldest = self.tier.part(now) - 2 * REACH
        for counts in (self.booked, self.made):
            while counts and (part := next(iter(counts))) < oldest:
                del counts[part]


class Limiter:
    """The limits of one account in this process. Times in seconds, of `clock`.

    `buckets`: token buckets that are full at rest, as seed 004 has them, instead of what keeps a
    vendor's sliding window.
    """

    def __init__(
        self, limits: Limits, clock: Callable[[], float] = time.monotonic, *, buckets: bool = False
    ) -> None:
        self._clock = clock
        self._tiers = bucket_tiers(limits) if buckets else vendor_tiers(limits)
        self._counts = [_Count(tier) for tier in self._tiers]
        self._most_open = limits.concurrency
        self._ahead: dict[Hashable, _Booking] = {}
        self._open: dict[Hashable, _Booking] = {}
        self._waiting: dict[Hashable, int] = {}
        self._open_ms = FIRST_GUESS_MS
        self._grace = BUCKET_GRACE_MS if buckets else GRACE_MS

    def check(self, tokens: int) -> None:
        """Raise NeverAdmitted for a call of so many tokens that no wait would help."""
        refuse_larger(self._tiers, tokens)

    def admit(self, key: Hashable, tokens: int) -> float:
        """Return the seconds until the call of this key may be made; 0.0: it is open from now.

        The first question books its turn. `ended` or `cancel` must follow. Raises NeverAdmitted.
        """
        self.check(tokens)
        now = self._now()
        self._forget(now)
        self._open.pop(key, None)  # asked again: whoever was let in before never made the call
        booking = self._ahead.get(key) or self._book(key, tokens, now)
        if booking.at > now:
            return (booking.at - now) / 1000
        wait = self._clear(booking, now) - now or self._wait_for_a_slot(key, now)
        if wait:
            booking.kept_until = now + wait + self._grace
            return wait / 1000
        self._waiting.pop(key, None)
        self._open[key] = self._used(key, now)
        return 0.0

    def ended(self, key: Hashable, used: int | None) -> None:
        """Say that an open call has ended; `used` tokens count where that is known."""
        booking = self._open.pop(key, None)
        if booking is None:
            return
        now = self._now()
        self._open_ms = (4 * self._open_ms + now - booking.at) // 5
        if used is not None:
            self._recount(booking, used, now)

    def wait(self, tokens: int) -> float:
        """Return the seconds that a call booked now would wait. Takes nothing."""
        self.check(tokens)
        now = self._now()
        self._forget(now)
        return (self._earliest(now, tokens) - now) / 1000

    def book(self, key: Hashable, tokens: int) -> float:
        """Book a call, and return the seconds until it may be made.

        The same key asks for its booking again and takes nothing more. Raises NeverAdmitted.
        """
        self.check(tokens)
        now = self._now()
        self._forget(now)
        booking = self._ahead.get(key) or self._book(key, tokens, now)
        return max(0, booking.at - now) / 1000

    def known(self, key: Hashable) -> bool:
        """Tell whether the key holds a booking."""
        return key in self._ahead

    def booked(self) -> list[Hashable]:
        """Return the keys that hold a booking, first come first."""
        return list(self._ahead)

    def use(self, key: Hashable) -> float:
        """Say that a booked call is made now; return how long ago it was booked.

        Its key may book again. Open requests are not counted by this.
        """
        now = self._now()
        return (now - self._used(key, now).since) / 1000 if key in self._ahead else 0.0

    def cancel(self, key: Hashable) -> None:
        """Give back a booking, or a call that was let in and not made. Unknown keys are ignored."""
        self._waiting.pop(key, None)
        if key in self._ahead:
            self._take_out(key, self._now())
        elif booking := self._open.pop(key, None):
            for count in self._counts:
                for counts in (count.booked, count.made):
                    count.add(counts, booking.at, -count.tier.weight(booking.tokens))

    def correct(self, booked: int, used: int) -> None:
        """Move the pace by the tokens that a call used instead of those it had booked."""
        now = self._now()
        for count in self._counts:
            if count.tier.per_token:
                self._move(count, used - booked, now)

    def _now(self) -> int:
        return int(self._clock() * 1000 + 0.001)  # a float that is a hair below its millisecond

    def _earliest(self, now: int, tokens: int) -> int:
        """Return the first moment, in milliseconds, at which every tier lets the call through."""
        at = max(now, next(reversed(self._ahead.values())).at) if self._ahead else now
        while True:
            before = at
            for count in self._counts:
                weight = count.tier.weight(tokens)
                at = count.tier.paced(count.level, at, weight)
                at = count.tier.clear(count.booked, at, weight)
            if at == before:
                return at

    def _book(self, key: Hashable, tokens: int, now: int) -> _Booking:
        at = self._earliest(now, tokens)
        booking = _Booking(at, tokens, now, [])
        self._ahead[key] = booking
        for count in self._counts:
            count.add(count.booked, at, count.tier.weight(tokens))
            count.forget(now)
        self._pass_pace(booking)
        return booking

    def _pass_pace(self, booking: _Booking) -> None:
        booking.before = [count.level - count.moved for count in self._counts]
        for count in self._counts:
            weight = count.tier.weight(booking.tokens)
            count.level = count.tier.level(count.level, booking.at, weight)

    def _take_out(self, key: Hashable, now: int) -> None:
        """Uncount a booking: the pace goes back to before it, and passes those after it again."""
        order = list(self._ahead)
        later = [self._ahead[other] for other in order[order.index(key) + 1 :]]
        booking = self._ahead.pop(key)
        for number, count in enumerate(self._counts):
            count.add(count.booked, booking.at, -count.tier.weight(booking.tokens))
            count.level = self._level_without(number, booking, later, now)
        for other in later:
            self._pass_pace(other)

    def _level_without(
        self, number: int, booking: _Booking, later: list[_Booking], now: int
    ) -> int:
        """Return a tier's level before `later`, without a booking that was before them.

        Calls that were booked after one that is due may have been made: what it took is taken
        off, unless the pace has given it back meanwhile.
        """
        count = self._counts[number]
        before = booking.before[number] + count.moved
        if booking.at > now:
            return before
        passed = later[0].before[number] + count.moved if later else count.level
        weight = count.tier.weight(booking.tokens)
        after = count.tier.level(before, booking.at, weight)
        taken = after > before and after > now * 1000
        return passed - count.tier.cost_us(weight) if taken else passed

    def _used(self, key: Hashable, now: int) -> _Booking:
        """Take a booking off the list; it counts when it is used."""
        booking = self._ahead.pop(key)
        for count in self._counts:
            weight = count.tier.weight(booking.tokens)
            count.add(count.made, now, weight)
            if count.tier.part(booking.at) != count.tier.part(now):
                count.add(count.booked, booking.at, -weight)
                count.add(count.booked, now, weight)
        booking.at = now
        return booking

    def _clear(self, booking: _Booking, now: int) -> int:
        """Return the first moment from now on at which the calls made leave room for this one."""
        return max(
            (
                count.tier.clear(count.made, now, count.tier.weight(booking.tokens), PARTS)
                for count in self._counts
            ),
            default=now,
        )

    def _recount(self, booking: _Booking, used: int, now: int) -> None:
        for count in self._counts:
            if count.tier.per_token:
                for counts in (count.booked, count.made):
                    count.add(counts, booking.at, used - booking.tokens)
                if now - booking.at < count.tier.interval:
                    self._move(count, used - booking.tokens, now)

    def _move(self, count: _Count, tokens: int, now: int) -> None:
        """Move a tier's level by so many tokens, more or fewer."""
        before = count.level
        if tokens > 0:
            count.level = count.tier.level(count.level, now, tokens)
        else:
            count.level -= count.tier.cost_us(-tokens)
        count.moved += count.level - before

    def _wait_for_a_slot(self, key: Hashable, now: int) -> int:
        """Return 0 where one more request may be open, else the milliseconds to ask again in.

        Those who were refused before come first, as far as they are about to ask.
        """
        if self._most_open is None:
            return 0
        before = 0
        coming = 0
        for other, due in self._waiting.items():
            if other == key:
                break
            before += 1
            coming += due <= now + SOON_MS
        if len(self._open) + coming < self._most_open:
            return 0
        guess = (before + 1) * self._open_ms // self._most_open
        longest = max(LONGEST_MS, LONGEST_MS_EACH * len(self._waiting))
        wait = min(max(guess, SHORTEST_MS), longest)
        self._waiting[key] = now + wait
        return wait

    def _forget(self, now: int) -> None:
        """Give back what was due and never used, and the places of those who do not come."""
        gone = []
        for key, booking in self._ahead.items():
            if booking.at + self._grace > now:
                break
            if booking.kept_until <= now:
                gone.append(key)
        for key in gone:
            booking = self._ahead.pop(key)
            for count in self._counts:
                count.add(count.booked, booking.at, -count.tier.weight(booking.tokens))
        for key in [key for key, due in self._waiting.items() if due + LINE_GRACE_MS <= now]:
            del self._waiting[key]
