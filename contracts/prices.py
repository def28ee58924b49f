"""A price as it was when the run started, whole enough to recompute a bill from.

All prices are US dollars per million tokens, exact decimals. `tiers` are (prompt tokens from
which it applies, price): a call whose whole prompt reaches a tier pays that tier's price for all
of its tokens of the kind (the rule of genai-prices, and of the vendors that have tiers).
"""

from decimal import Decimal

from contracts.base import Frozen


class Rate(Frozen):
    """Dollars per million tokens, with tiers by the size of the prompt."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()


class Price(Frozen):
    """What one model costs. A kind without a rate of its own is billed as plain input or output.

    `cache_storage` is for a million tokens that are kept for an hour, `per_request` in dollars.
    `cache_write_1h` is what a vendor with two lifetimes takes for writing at the longer one; a
    price has it only where requests ask for that. `source` and `version` name the table it came
    from; `is_default` marks a price that stands in for an unknown model, and `assumed` names the
    rates that stand in for one that no source tells.
    """

    model: str
    input: Rate
    output: Rate
    cached_input: Rate | None = None
    cache_write: Rate | None = None
    reasoning: Rate | None = None
    cache_storage: Rate | None = None
    cache_write_1h: Rate | None = None
    per_request: Decimal = Decimal(0)
    source: str
    version: str
    is_default: bool = False
    assumed: tuple[str, ...] = ()
