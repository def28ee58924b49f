"""Money: exact, equal to the price table's own calculation, and never above the worst case."""

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import Usage
from contracts.prices import Price, Rate
from providers.pricing import quote
from rules.bounds import MESSAGE_TOKENS, input_bound, text_bytes
from rules.prices import UNLIMITED, affordable_output, cost, worst_case
from tests.support.cases import cases

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4.1"),
    ("openai", "gpt-5"),
    ("openai", "o3"),
    ("openai", "gpt-3.5-turbo"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-opus-4-1"),
    ("anthropic", "claude-3-5-haiku-latest"),
    ("google", "gemini-2.5-pro"),
    ("google", "gemini-2.5-flash"),
    ("google", "gemini-2.0-flash"),
    ("mistral", "mistral-large-latest"),
    ("deepseek", "deepseek-chat"),
    ("groq", "llama-3.3-70b-versatile"),
]
USAGES = [
    Usage(1_000, 500),
    Usage(150_000, 1_000, cached_tokens=100_000),
    Usage(200_000, 7),
    Usage(200_001, 7),
    Usage(250_003, 4_001, cached_tokens=50_001, reasoning_tokens=3_000),
    Usage(9, 0),
    Usage(0, 11),
]


def flat(input_: str, output: str, **rates: object) -> Price:
    return Price(
        model="m",
        input=Rate(base=Decimal(input_)),
        output=Rate(base=Decimal(output)),
        source="test",
        version="1",
        **rates,  # type: ignore[arg-type]
    )


def rate(base: str, *tiers: tuple[int, str]) -> Rate:
    return Rate(base=Decimal(base), tiers=tuple((start, Decimal(at)) for start, at in tiers))


@pytest.mark.parametrize(("vendor", "model"), MODELS)
def test_cost_is_that_of_the_price_table(vendor: str, model: str) -> None:
    price = quote(vendor, model, NOW.date())
    usages = list(USAGES)
    if price.cache_write is not None:
        usages += [Usage(300_000, 10, cached_tokens=1_000, cache_write_tokens=90_000)]
    for usage in usages:
        theirs = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage.prompt_tokens,
                output_tokens=usage.completion_tokens,
                cache_read_tokens=usage.cached_tokens,
                cache_write_tokens=usage.cache_write_tokens,
            ),
            model,
            provider_id=vendor,
            genai_request_timestamp=NOW,
        )
        assert cost(price, usage) == theirs.total_price


def test_models_of_several_vendors_have_tiers_and_cache_rates() -> None:
    """The comparison above means something only if the interesting rates occur in it."""
    prices = [quote(vendor, model, NOW.date()) for vendor, model in MODELS]
    assert any(price.input.tiers for price in prices)
    assert any(price.cached_input for price in prices)
    assert any(price.cache_write for price in prices)


def test_each_kind_of_token_has_its_rate() -> None:
    price = flat(
        "3",
        "15",
        cached_input=rate("0.3"),
        cache_write=rate("3.75"),
        reasoning=rate("20"),
        per_request=Decimal("0.01"),
    )
    usage = Usage(
        1_000, 100, cached_tokens=200, cache_write_tokens=300, reasoning_tokens=40
    )  # 500 plain, 60 answer
    expected = (500 * 3 + 200 * Decimal("0.3") + 300 * Decimal("3.75") + 60 * 15 + 40 * 20) / 10**6
    assert cost(price, usage) == expected + Decimal("0.01")


def test_kinds_without_a_rate_are_plain_input_and_output() -> None:
    usage = Usage(10, 10, cached_tokens=4, cache_write_tokens=3, reasoning_tokens=5)
    assert cost(flat("2", "4"), usage) == cost(flat("2", "4"), Usage(10, 10))


def test_a_tier_begins_at_its_number_and_holds_for_all_tokens() -> None:
    price = flat("0", "0").model_copy(
        update={"input": rate("1", (100, "2")), "output": rate("10", (100, "20"))}
    )
    assert cost(price, Usage(99, 1)) == Decimal("0.000109")
    assert cost(price, Usage(100, 1)) == Decimal("0.000220")


def test_parts_larger_than_their_whole_never_lower_the_bill() -> None:
    price = flat("3", "15", cached_input=rate("1"))
    assert cost(price, Usage(10, 0, cached_tokens=30)) == Decimal("0.00003")
    assert cost(price, Usage(0, 10, reasoning_tokens=30)) == Decimal("0.00045")


def test_money_is_exact_beyond_the_default_precision() -> None:
    price = flat("0.1234567890123456789012345678", "0")
    assert cost(price, Usage(10**9 + 1, 0)) == Decimal("123.4567891358024679135802467012345678")


def test_the_worst_case_expects_a_cache_write_and_reasoning() -> None:
    price = flat("3", "15", cache_write=rate("3.75"), reasoning=rate("20"))
    assert worst_case(price, 1_000, 100) == Decimal("0.00575")


def test_the_worst_case_may_be_just_below_a_cheaper_tier() -> None:
    price = flat("0", "0").model_copy(update={"input": rate("10", (100, "1"))})
    assert worst_case(price, 120, 0) == Decimal("0.00099")
    assert worst_case(price, 2_000, 0) == Decimal("0.002")


def test_affordable_output_is_negative_where_the_prompt_is_too_dear() -> None:
    assert affordable_output(flat("3", "15"), 1_000, Decimal("0.003")) == 0
    assert affordable_output(flat("3", "15"), 1_000, Decimal("0.0029")) == -7
    assert affordable_output(flat("3", "0"), 1_000, Decimal("0.0029")) == -1


def test_free_answers_are_unlimited() -> None:
    assert affordable_output(flat("0", "0"), 10**6, Decimal(0)) == UNLIMITED


rates = st.decimals(min_value=0, max_value=200, places=6)
tiered = st.builds(
    lambda base, tiers: Rate(base=base, tiers=tuple(sorted(tiers.items()))),
    rates,
    st.dictionaries(st.integers(0, 3_000), rates, max_size=3),
)
prices = st.builds(
    Price,
    model=st.just("m"),
    input=tiered,
    output=tiered,
    cached_input=st.none() | tiered,
    cache_write=st.none() | tiered,
    cache_write_1h=st.none() | tiered,
    reasoning=st.none() | tiered,
    per_request=st.decimals(min_value=0, max_value=1, places=6),
    source=st.just("test"),
    version=st.just("1"),
)


@st.composite
def usages(draw: st.DrawFn, input_bound: int, max_tokens: int) -> Usage:
    prompt = draw(st.integers(0, input_bound))
    cached = draw(st.integers(0, prompt))
    answer = draw(st.integers(0, max_tokens))
    written = draw(st.integers(0, prompt - cached))
    return Usage(
        prompt,
        answer,
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=draw(st.integers(0, written)),
        reasoning_tokens=draw(st.integers(0, answer)),
    )


@cases(200)
@given(st.data(), prices, st.integers(0, 4_000), st.integers(0, 500))
def test_no_usage_within_the_bounds_costs_more_than_the_worst_case(
    data: st.DataObject, price: Price, input_bound: int, max_tokens: int
) -> None:
    usage = data.draw(usages(input_bound, max_tokens))
    assert cost(price, usage) <= worst_case(price, input_bound, max_tokens)


@cases(60)
@given(prices, st.integers(0, 40), st.integers(0, 5))
def test_the_worst_case_is_reached_by_some_usage(
    price: Price, input_bound: int, max_tokens: int
) -> None:
    shrunk = price.model_copy(
        update={
            kind: Rate(base=r.base, tiers=tuple((start // 100, at) for start, at in r.tiers))
            for kind in (
                *("input", "output", "reasoning"),
                *("cached_input", "cache_write", "cache_write_1h"),
            )
            if (r := getattr(price, kind)) is not None
        }
    )
    dearest = max(
        cost(
            shrunk,
            Usage(
                p,
                max_tokens,
                cached_tokens=c,
                cache_write_tokens=w,
                cache_write_1h_tokens=long,
                reasoning_tokens=r,
            ),
        )
        for p in range(input_bound + 1)
        for c, w, long in ((0, 0, 0), (p, 0, 0), (0, p, 0), (0, p, p))
        for r in (0, max_tokens)
    )
    assert worst_case(shrunk, input_bound, max_tokens) == dearest


@cases(200)
@given(prices, st.integers(0, 4_000), st.decimals(min_value=0, max_value=3, places=7))
def test_affordable_output_is_the_largest_that_fits(
    price: Price, input_bound: int, dollars: Decimal
) -> None:
    tokens = affordable_output(price, input_bound, dollars)
    if tokens >= 0:
        assert worst_case(price, input_bound, tokens) <= dollars
    if 0 <= tokens + 1 < UNLIMITED:
        assert worst_case(price, input_bound, tokens + 1) > dollars


@cases(60)
@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=5))
def test_the_bound_of_a_prompt_covers_a_token_for_each_byte(fixed: str, values: list[str]) -> None:
    sizes = [len(value.encode()) for value in values]
    bytes_of_all = len((fixed + "".join(values)).encode())
    assert input_bound(len(fixed.encode()), sizes) == bytes_of_all + MESSAGE_TOKENS


def test_text_bytes_grow_with_the_tokens() -> None:
    assert text_bytes(0) == 0
    assert text_bytes(4_096) >= 4_096 * 4
