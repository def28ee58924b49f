"""What a call cost, by rates that a caller states per thousand tokens.

For callers in process. A run's bill is exact and knows caches, tiers and reasoning: `rules.prices`.
"""

from decimal import ROUND_HALF_EVEN, Decimal

from contracts.messages import Usage

_MILLIONTH = Decimal("0.000001")
_PER = 1000


def cost_usd(usage: Usage, input_per_1k: float | Decimal, output_per_1k: float | Decimal) -> float:
    """Return a call's cost in dollars, rounded to 6 decimals.

    `cost_usd(Usage(1000, 1000), 0.003, 0.015)` is 0.018. Computed in decimal, so that no binary
    fraction is rounded the wrong way. Raises `ValueError` for a rate that is no price.
    """
    inward, outward = _rate("input_per_1k", input_per_1k), _rate("output_per_1k", output_per_1k)
    dollars = (usage.prompt_tokens * inward + usage.completion_tokens * outward) / _PER
    return float(dollars.quantize(_MILLIONTH, ROUND_HALF_EVEN))


def _rate(name: str, value: float | Decimal) -> Decimal:
    rate = Decimal(str(value))
    if not rate.is_finite() or rate < 0:
        raise ValueError(f"{name} must be a price of 0 or more, not {value!r}")
    return rate
