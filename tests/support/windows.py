"""What any sliding window of a vendor's would have seen: brute force, for properties."""

from collections.abc import Sequence
from dataclasses import dataclass

from providers.policy import Limits


@dataclass(frozen=True)
class Made:
    """A call that was made: when (seconds), and its tokens."""

    at: float
    tokens: int


def most_in_a_window(calls: Sequence[Made], seconds: float, tokens: bool) -> int:
    """Return the largest sum over the calls of any stretch [t, t + seconds)."""
    ordered = sorted(calls, key=lambda call: call.at)
    return max(
        (
            sum(
                call.tokens if tokens else 1
                for call in ordered
                if first.at <= call.at < first.at + seconds
            )
            for first in ordered
        ),
        default=0,
    )


def broken(calls: Sequence[Made], limits: Limits) -> list[str]:
    """Return the limits that some window of the vendor's would have seen passed."""
    tiers = (
        ("requests_per_minute", limits.requests_per_minute, 60.0, False),
        ("requests_per_hour", limits.requests_per_hour, 3600.0, False),
        ("requests_per_day", limits.requests_per_day, 86400.0, False),
        ("tokens_per_minute", limits.tokens_per_minute, 60.0, True),
    )
    return [
        name
        for name, limit, seconds, tokens in tiers
        if limit is not None and most_in_a_window(calls, seconds, tokens) > limit
    ]
