"""What a limit allows, and when: the arithmetic of one tier, pure. Times in milliseconds.

Promises: whatever the order of bookings, no stretch of time as long as a tier's interval ever
holds more than its limit; a call larger than the burst passes too.

Strategy: two rules for each limit.

- The window, exact: calls are counted in parts of a sixtieth of the interval, and the parts of
  the whole interval hold no more than the limit. Every sliding window, fixed window or token
  bucket of a vendor's passes that. Bookings are counted over two parts more.
- The pace, for limits of a minute: vendors enforce those over shorter times as well. A token
  bucket of the burst's size, refilled at the window's pace; its arithmetic is pyrate-limiter's
  GCRA, which is exact, pure and takes any time as now.

`limits.lua` is the same arithmetic, for the store that processes share. The library brings stores
of its own, databases among them: it is imported by the first limit that needs it, not before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import TYPE_CHECKING

from providers.policy import Limits

if TYPE_CHECKING:
    from pyrate_limiter import GCRA

PARTS = 60
"""Of an interval; a call stops counting when so many parts have passed after its own."""

REACH = 62
"""The same for bookings: the slack is for calls that come a little later than their turn."""

LEAST_BURST = 10
"""Requests: small accounts are not slowed down to one at a time."""

_UNBOUNDED = 10**12
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000

Counts = Mapping[int, int]
"""What was booked, by part of the interval."""


@cache
def _gcra() -> "GCRA":
    from pyrate_limiter import GCRA

    return GCRA()


@dataclass(frozen=True)
class Tier:
    """One limit. `burst` None: no pace is kept; `window` False: the pace alone is the limit."""

    name: str
    limit: int
    interval: int
    burst: int | None
    window: bool = True

    @property
    def width(self) -> int:
        """The milliseconds of a part."""
        return self.interval // PARTS

    @property
    def pace_interval(self) -> int:
        """The milliseconds in which the pace lets the whole limit pass."""
        return self.width * REACH if self.window else self.interval

    @property
    def per_token(self) -> bool:
        return self.name.startswith("tokens")

    def weight(self, tokens: int) -> int:
        """Return what a call of so many tokens takes of this limit."""
        return tokens if self.per_token else 1

    def part(self, at: int) -> int:
        """Return the number of the part that a moment is in."""
        return at // self.width

    def paced(self, level: int, at: int, weight: int) -> int:
        """Return the first moment from `at` on at which the pace lets the call pass."""
        if self.burst is None or not weight:
            return at
        from pyrate_limiter import Rate

        rate = Rate(self.limit, self.pace_interval, burst=max(self.burst, weight))
        _, decision = _gcra().step([rate], (level,), at, weight)
        return at + (decision.retry_after_ms or 0)

    def level(self, level: int, at: int, weight: int) -> int:
        """Return the pace's level with the call counted: microseconds, GCRA's arrival time."""
        if self.burst is None or not weight:
            return level
        from pyrate_limiter import Rate

        rate = Rate(self.limit, self.pace_interval, burst=_UNBOUNDED)
        state, _ = _gcra().step([rate], (level,), at, weight)
        return int(state[0])

    def cost_us(self, weight: int) -> int:
        """Return the microseconds by which so much moves the level."""
        return weight * max(1, ceil(self.pace_interval * 1000 / self.limit))

    def clear(self, counts: Counts, at: int, weight: int, reach: int = REACH) -> int:
        """Return the first moment from `at` on at which the last `reach` parts have room.

        Nothing may be counted later than `at`.
        """
        if not self.window:
            return at
        last = self.part(at)
        parts = [n for n in range(last - reach, last + 1) if counts.get(n)]
        held = sum(counts[n] for n in parts)
        for part in parts:
            if held + weight <= self.limit:
                break
            held -= counts[part]
            at = max(at, (part + reach + 1) * self.width)
        return at


def vendor_tiers(limits: Limits) -> list[Tier]:
    """Return the tiers that keep a vendor content: windows, and an even pace within a minute."""

    def burst(limit: int, least: int) -> int:
        return min(limit, max(least, ceil(limit * limits.burst)))

    found = _tiers(limits)
    return [
        Tier(
            tier.name,
            tier.limit,
            tier.interval,
            burst(tier.limit, 1 if tier.per_token else LEAST_BURST)
            if tier.interval == _MINUTE
            else None,
        )
        for tier in found
    ]


def bucket_tiers(limits: Limits) -> list[Tier]:
    """Return token buckets, full at rest: up to twice a limit passes in the first interval."""
    return _tiers(limits)


def _tiers(limits: Limits) -> list[Tier]:
    named = (
        ("requests_per_minute", limits.requests_per_minute, _MINUTE),
        ("requests_per_hour", limits.requests_per_hour, _HOUR),
        ("requests_per_day", limits.requests_per_day, _DAY),
        ("tokens_per_minute", limits.tokens_per_minute, _MINUTE),
    )
    return [
        Tier(name, limit, interval, burst=limit, window=False)
        for name, limit, interval in named
        if limit
    ]
