"""How often and how long to try again (seed 004)."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Frozen


class RetryStrategy(StrEnum):
    """How the delay grows from attempt to attempt."""

    EXPONENTIAL_BACKOFF = "exponential_backoff"
    LINEAR_BACKOFF = "linear_backoff"
    CONSTANT_DELAY = "constant_delay"
    IMMEDIATE = "immediate"


class RetryRule(Frozen):
    """Seed 004's RetryPolicy as a value. Delays in seconds.

    `jitter_range` scales each delay by a random factor from it, where `jitter` is on.
    """

    max_retries: Annotated[int, Field(ge=0)] = 3
    strategy: RetryStrategy = RetryStrategy.EXPONENTIAL_BACKOFF
    base_delay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    max_delay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0
    exponential_base: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    jitter: bool = True
    jitter_range: tuple[float, float] = (0.5, 1.0)
