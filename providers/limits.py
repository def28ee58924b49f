"""An account's limits, kept before a request: booked ahead, with the exact wait.

Promises: whoever books learns at once when the call may be made, and is not asked again; what can
never pass is refused at once and takes nothing; a booking that is given back makes room for later
ones. First booked, first served. No clock but the given one, no I/O, no waiting here.

Strategy: a token bucket for each limit, full at rest, so that a minute's requests may come at
once and the next ones as the minute passes. The arithmetic is pyrate-limiter's GCRA, which is
exact, pure and takes any time as now: a booking is an arrival at the first moment at which every
bucket lets it through. Bookings in the future are kept in order, so that one can be taken out
again.
"""

import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from pyrate_limiter import GCRA, Duration, Rate

from providers.exceptions import RouterError
from providers.policy import Limits

_UNBOUNDED = 10**12
_FORGET_MS = 600_000
"""A booking that nobody used ten minutes after it was due is forgotten: its caller is gone."""

_GCRA = GCRA()


class NeverAdmitted(RouterError, ValueError):
    """The call is larger than a limit: no wait would help."""


@dataclass(frozen=True)
class _Tier:
    """One limit. `booked` is the same rate without its bound: it only counts."""

    name: str
    rate: Rate
    booked: Rate
    per_token: bool

    @classmethod
    def of(cls, name: str, limit: int, interval: Duration) -> "_Tier":
        rates = Rate(limit, interval), Rate(limit, interval, burst=_UNBOUNDED)
        return cls(name, *rates, per_token=name.startswith("tokens"))

    def weight(self, tokens: int) -> int:
        return tokens if self.per_token else 1

    def wait_ms(self, level: int, at: int, tokens: int) -> int:
        """Return how much later than `at` the call would pass."""
        _, decision = _GCRA.step([self.rate], (level,), at, self.weight(tokens))
        return decision.retry_after_ms or 0

    def after(self, level: int, at: int, tokens: int) -> int:
        """Return the level with the call counted."""
        state, _ = _GCRA.step([self.booked], (level,), at, self.weight(tokens))
        return int(state[0])


@dataclass(frozen=True)
class _Booking:
    at: int
    tokens: int
    since: int


class Limiter:
    """The limits of one account in this process. Times in seconds, of `clock`.

    `limits.concurrency` is not its business: open requests are bounded by whoever makes them.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        named = (
            ("requests_per_minute", limits.requests_per_minute, Duration.MINUTE),
            ("requests_per_hour", limits.requests_per_hour, Duration.HOUR),
            ("requests_per_day", limits.requests_per_day, Duration.DAY),
            ("tokens_per_minute", limits.tokens_per_minute, Duration.MINUTE),
        )
        self._tiers = [_Tier.of(name, limit, per) for name, limit, per in named if limit]
        self._levels = [0] * len(self._tiers)
        self._due_levels = list(self._levels)
        self._ahead: deque[_Booking] = deque()
        self._bookings: dict[Hashable, _Booking] = {}

    def check(self, tokens: int) -> None:
        """Raise NeverAdmitted for a call of so many tokens that no wait would help."""
        for tier in self._tiers:
            if tier.weight(tokens) > tier.rate.limit:
                raise NeverAdmitted(
                    f"a call of about {tokens:,} tokens can never pass: {tier.name} is "
                    f"{tier.rate.limit:,}; lower its max_tokens or raise {tier.name}"
                )

    def wait(self, tokens: int) -> float:
        """Return the seconds that a call booked now would wait. Takes nothing."""
        self.check(tokens)
        now = self._now()
        return (self._earliest(now, tokens) - now) / 1000

    def book(self, key: Hashable, tokens: int) -> float:
        """Book a call, and return the seconds until it may be made.

        The same key asks for its booking again and takes nothing more. Raises NeverAdmitted.
        """
        self.check(tokens)
        now = self._now()
        booking = self._bookings.get(key)
        if booking is None:
            booking = _Booking(self._earliest(now, tokens), tokens, now)
            self._bookings[key] = booking
            self._ahead.append(booking)
            self._levels = self._counted(self._levels, booking)
            self._settle_past(now)
        return max(0, booking.at - now) / 1000

    def known(self, key: Hashable) -> bool:
        """Tell whether the key holds a booking."""
        return key in self._bookings

    def use(self, key: Hashable) -> float:
        """Say that a booked call is made now; return how long ago it was booked.

        Its key may book again.
        """
        booking = self._bookings.pop(key, None)
        return (self._now() - booking.since) / 1000 if booking else 0.0

    def cancel(self, key: Hashable) -> None:
        """Give a booking back. One that was due already stays counted; unknown keys are ignored."""
        booking = self._bookings.pop(key, None)
        self._settle_past(self._now())
        if booking is None or booking not in self._ahead:
            return
        self._ahead.remove(booking)
        self._levels = list(self._due_levels)
        for other in self._ahead:
            self._levels = self._counted(self._levels, other)

    def correct(self, booked: int, used: int) -> None:
        """Count the tokens that a call used instead of those it had booked."""
        now = self._now()
        for number, tier in enumerate(self._tiers):
            if not tier.per_token or booked == used:
                continue
            for levels in (self._levels, self._due_levels):
                if used > booked:
                    levels[number] = tier.after(levels[number], now, used - booked)
                else:
                    levels[number] -= tier.after(0, 0, booked - used)

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _earliest(self, now: int, tokens: int) -> int:
        """Return the first moment, in milliseconds, at which every tier lets the call through."""
        at = now
        while wait := max(
            (
                tier.wait_ms(level, at, tokens)
                for tier, level in zip(self._tiers, self._levels, strict=True)
            ),
            default=0,
        ):
            at += wait
        return at

    def _counted(self, levels: list[int], booking: _Booking) -> list[int]:
        return [
            tier.after(level, booking.at, booking.tokens)
            for tier, level in zip(self._tiers, levels, strict=True)
        ]

    def _settle_past(self, now: int) -> None:
        """Count for good what is due; forget what was booked and never used."""
        while self._ahead and self._ahead[0].at <= now:
            self._due_levels = self._counted(self._due_levels, self._ahead.popleft())
        while self._bookings:
            key, oldest = next(iter(self._bookings.items()))
            if oldest.at + _FORGET_MS > now:
                break
            del self._bookings[key]
