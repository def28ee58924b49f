"""What a model costs: from genai-prices' bundled table (offline) or from the user's overrides.

`quote` is asked once, when a run is planned, and its answer travels with the run. Overrides come
first: an exact "provider/model", then an exact model, then the first glob that matches. Then the
table, by the name as given, and by its family where only the version is unknown
("gpt-4o-2027-01-01" costs what "gpt-4o" does). A model that nobody knows is refused with the
override to write: a price of zero is never assumed, only stated.

The table's standard tier applies: no batch or priority prices, cache writes at the short
lifetime unless a longer one is asked for, pictures at the price of text, a prompt with sound in it
at the price of sound. Prices that change within the day are quoted at the dearest of that day.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from contracts.prices import Price, Rate
from providers.exceptions import RouterError
from providers.prefixes import SHORT_LIFE_S

if TYPE_CHECKING:  # half a second of import, paid by the first quote only
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

SOURCE = "genai-prices"

TABLE_IDS: dict[str, tuple[str, ...]] = {
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "claude_agent": ("anthropic",),
    "gemini": ("google",),
    "simulated": ("openai", "anthropic", "google"),
}
"""Which of the table's providers price ours, in order. Other names are the table's own."""

HALF_PRICE_ENDS = date(2027, 1, 1)

CACHE_STORAGE: tuple[tuple[str, tuple[tuple[date, str], ...]], ...] = (
    ("gemini-2.5-pro*", ((date.min, "4.50"),)),
    ("gemini-3-pro*", ((date.min, "4.50"),)),
    ("gemini-3.1-pro*", ((date.min, "4.50"),)),
    ("gemini-2.5-flash*", ((date.min, "1.00"),)),
    ("gemini-3-flash*", ((date.min, "1.00"),)),
    ("gemini-3.1-flash-lite*", ((date.min, "1.00"),)),
    ("gemini-3.[678]-flash*", ((date.min, "0.50"), (HALF_PRICE_ENDS, "1.00"))),
)
"""Dollars for a million cached tokens kept for an hour, by name pattern, each from a day on; the
genai-prices table has none. "Context caching price … per 1,000,000 tokens per hour (storage
price)", standard tier, of https://ai.google.dev/gemini-api/docs/pricing as read on 2026-11-21."""

ASSUMED_STORAGE = ("gemini*", Decimal("4.50"))
"""For models of a vendor that takes money for storage whose own price is not known (gemini-3.5-*):
the dearest of the vendor's. A price that has it says so (`Price.assumed`)."""

_VERSION = re.compile(
    r"(?:-20\d{2}-\d{2}-\d{2}|-20\d{6}|-\d{3,4}|-latest|-preview(?:-[\d-]+)?|-exp(?:-[\d-]+)?)$"
)

Dollars = Annotated[Decimal, Field(ge=0)]


class UnknownPrice(RouterError):
    """No table and no override knows the model; the text has the override to write."""


class PriceOverride(BaseModel):
    """A price that the user states, in dollars per million tokens (`per_request` in dollars).

    `cache_storage` is for a million tokens in a cache of a name of its own, kept for an hour;
    `cache_write_1h` for writing a prefix that is to last an hour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Dollars
    output: Dollars
    cached_input: Dollars | None = None
    cache_write: Dollars | None = None
    reasoning: Dollars | None = None
    cache_storage: Dollars | None = None
    cache_write_1h: Dollars | None = None
    per_request: Dollars = Decimal(0)


Overrides = Mapping[str, PriceOverride]
"""By "provider/model", model, or a glob of either: "openai/llama-*", "*"."""


def quote(
    provider: str,
    model: str,
    at: date,
    overrides: Overrides | None = None,
    *,
    sound: bool = False,
    cache_lasts_s: float | None = None,
) -> Price:
    """Return the model's price on a day (UTC). Raises `UnknownPrice`.

    `sound`: prompts may hold sound, so all of them count as the dearer of sound and text.
    `cache_lasts_s`: requests ask for prefixes to be kept for so long, which may cost more.

    `Price.model` is the entry that was used: a family's for a versioned name. A price from a
    glob override stands in for many models and is marked `is_default`.
    """
    found = (
        _override(provider, model, overrides or {})
        or _from_table(provider, model, at, sound)
        or _refuse(provider, model)
    )
    if (cache_lasts_s or 0) > SHORT_LIFE_S:
        return found
    return found.model_copy(update={"cache_write_1h": None})


def _refuse(provider: str, model: str) -> Price:
    raise UnknownPrice(
        f"no price is known for model {model!r} of provider {provider!r} "
        f"({SOURCE} {version(SOURCE)}). State one in dollars per million tokens, in the "
        f'persona policy: prices: {{"{provider}/{model}": {{input: 0.50, output: 1.50}}}} '
        "(0 is accepted for a server of your own)"
    )


def _override(provider: str, model: str, overrides: Overrides) -> Price | None:
    name = f"{provider}/{model}"
    for key in (name, model):
        if key in overrides:
            return _stated(model, overrides[key], is_default=False)
    for pattern, override in overrides.items():
        if fnmatchcase(name, pattern) or fnmatchcase(model, pattern):
            return _stated(model, override, is_default=True)
    return None


def _stated(model: str, override: PriceOverride, *, is_default: bool) -> Price:
    def rate(value: Decimal | None) -> Rate | None:
        return None if value is None else Rate(base=value)

    return Price(
        model=model,
        input=Rate(base=override.input),
        output=Rate(base=override.output),
        cached_input=rate(override.cached_input),
        cache_write=rate(override.cache_write),
        reasoning=rate(override.reasoning),
        cache_storage=rate(override.cache_storage),
        cache_write_1h=rate(override.cache_write_1h),
        per_request=override.per_request,
        source="override",
        version="",
        is_default=is_default,
    )


@lru_cache(maxsize=4096)
def _from_table(provider: str, model: str, at: date, sound: bool) -> Price | None:
    found = _find(provider, model)
    if found is None:
        return None
    prices = _on_day(found, at)
    source, output = _rate(prices.input_mtok), _rate(prices.output_mtok)
    cached = _rate(prices.cache_read_mtok)
    if sound:
        source = _dearer(source, _rate(prices.input_audio_mtok))
        cached = _dearer(cached, _rate(prices.cache_audio_read_mtok))
    if source is None or output is None:  # a model billed by other units, or free of charge
        return None
    storage, assumed = _storage(found.id, at)
    return Price(
        model=found.id,
        input=source,
        output=output,
        cached_input=cached,
        cache_write=_rate(prices.cache_write_mtok),
        cache_storage=storage,
        cache_write_1h=_rate(prices.cache_write_1h_mtok),
        per_request=_plain(prices.requests_kcount) / 1000,
        source=SOURCE,
        version=version(SOURCE),
        assumed=("cache_storage",) if assumed else (),
    )


def family(model: str) -> Iterator[str]:
    """Yield a model's name, then the shorter ones that it is a version of."""
    while model:
        yield model
        shorter = _VERSION.sub("", model)
        if shorter == model:
            return
        model = shorter


def _find(provider: str, model: str) -> "ModelInfo | None":
    """Find the table's entry by name, then by name without its version."""
    from genai_prices.data_snapshot import get_snapshot

    table = get_snapshot()
    for name in family(model.removeprefix("models/")):
        for table_id in TABLE_IDS.get(provider, (provider,)):
            found = _lookup(table, table_id, name)
            if found is not None:
                return found
    return None


def _lookup(table: "DataSnapshot", table_id: str, name: str) -> "ModelInfo | None":
    try:
        return table.find_provider_model(name, None, table_id, None)[1]
    except LookupError:
        return None


def _on_day(model: "ModelInfo", at: date) -> "ModelPrice":
    """Return the prices of a day; where they change within it, the dearest."""
    from genai_prices.types import TimeOfDateConstraint

    moments = [time(12)]
    if isinstance(model.prices, list):
        for price in model.prices:
            if isinstance(price.constraint, TimeOfDateConstraint):
                moments += [price.constraint.start_time, price.constraint.end_time]
    days = [
        datetime.combine(at, moment, tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        for moment in moments
    ]
    return max(
        (model.get_prices(day) for day in days),
        key=lambda price: _plain(price.input_mtok) + _plain(price.output_mtok),
    )


def _dearer(text: Rate | None, sound: Rate | None) -> Rate | None:
    rates = [rate for rate in (text, sound) if rate is not None]
    return max(rates, key=lambda rate: rate.base, default=None)


def _storage(model: str, at: date) -> tuple[Rate | None, bool]:
    """Return what an hour of a cache costs, and whether that is assumed."""
    for pattern, days in CACHE_STORAGE:
        if fnmatchcase(model, pattern):
            dollars = [dollars for since, dollars in days if since <= at][-1]
            return Rate(base=Decimal(dollars)), False
    pattern, dearest = ASSUMED_STORAGE
    return (Rate(base=dearest), True) if fnmatchcase(model, pattern) else (None, False)


def _plain(price: "Decimal | TieredPrices | None") -> Decimal:
    if price is None:
        return Decimal(0)
    return price if isinstance(price, Decimal) else price.base


def _rate(price: "Decimal | TieredPrices | None") -> Rate | None:
    """Convert a table's rate. Its tiers apply above `start`, ours from their number on."""
    if price is None:
        return None
    if isinstance(price, Decimal):
        return Rate(base=price)
    return Rate(base=price.base, tiers=tuple((t.start + 1, t.price) for t in price.tiers))
