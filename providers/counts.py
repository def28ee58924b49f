"""Numbers of tokens as vendors write them."""

import math
from typing import Any


def count(value: Any) -> int:
    """Return a number of tokens; null, negative, and whatever is no number count as 0."""
    if type(value) is int:
        return max(0, value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0
    return max(0, int(value))
