"""The three clocks of one call, and where their defaults come from."""

import math
import os

from pydantic.dataclasses import dataclass

DEFAULT_TIMEOUT = 300.0
"""Seconds that a whole call may take (`EP_TIMEOUT`)."""


@dataclass(frozen=True)
class Timeouts:
    """Three clocks of one call, in seconds: to the first chunk, between chunks, in all."""

    first_token: float
    idle: float
    total: float

    @classmethod
    def of(
        cls, total: float | None, first_token: float | None = None, idle: float | None = None
    ) -> "Timeouts":
        """Fill in the defaults: EP_TIMEOUT or 300 s in all, 120 s to the first, 60 s between.

        Raises `ValueError` for what is no positive number, naming the argument or the variable.
        """
        whole = _from_environment() if total is None else _positive("timeout", total)
        first = 120.0 if first_token is None else _positive("first_token", first_token)
        between = 60.0 if idle is None else _positive("idle", idle)
        return cls(first_token=min(whole, first), idle=min(whole, between), total=whole)


def _from_environment() -> float:
    return _positive("EP_TIMEOUT", os.environ.get("EP_TIMEOUT") or DEFAULT_TIMEOUT)


def _positive(name: str, value: object) -> float:
    try:
        seconds = float(value)  # type: ignore[arg-type]  # whatever is none raises
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"{name} must be a positive number of seconds, not {str(value)[:32]!r}")
    return seconds
