"""Prices: from the table by name, family and date, from overrides, or refused."""

import contextlib
from datetime import date, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import Usage
from providers.exceptions import RouterError
from providers.pricing import PriceOverride, UnknownPrice, quote
from rules.prices import cost

pytestmark = pytest.mark.unit

DAY = date(2026, 11, 21)


def test_a_known_model_has_exact_prices_with_source_and_version():
    price = quote("openai", "gpt-4o-mini", DAY)
    assert price.input.base == Decimal("0.15")
    assert price.output.base == Decimal("0.6")
    assert price.cached_input is not None
    assert price.cached_input.base == Decimal("0.075")
    assert price.source == "genai-prices"
    assert price.version.startswith("0.2.")
    assert not price.is_default


@pytest.mark.parametrize(
    ("provider", "model", "family"),
    [
        ("anthropic", "claude-3-opus-20240229", "claude-3-opus-latest"),
        ("openai", "gpt-4o-2027-01-01", "gpt-4o"),
        ("openai", "gpt-5.4-mini-2026-03-17", "gpt-5.4-mini"),
        ("gemini", "gemini-2.5-flash-002", "gemini-2.5-flash"),
        ("gemini", "models/gemini-2.5-flash", "gemini-2.5-flash"),
    ],
)
def test_D37_versioned_names_are_priced_by_family(provider, model, family):
    price = quote(provider, model, DAY)
    assert price.model == family
    assert not price.is_default


def test_a_longer_name_is_not_taken_for_its_shorter_relative():
    with pytest.raises(UnknownPrice):
        quote("openai", "gpt-4o-giant", DAY)


def test_claude_agent_costs_what_the_anthropic_model_does():
    assert quote("claude_agent", "claude-sonnet-5-5", DAY) == quote(
        "anthropic", "claude-sonnet-5-5", DAY
    )


@pytest.mark.parametrize(
    ("model", "provider"),
    [("gpt-4o-mini", "openai"), ("claude-haiku-4-5", "anthropic"), ("gemini-3.8-flash", "gemini")],
)
def test_simulated_costs_what_the_named_model_does(model, provider):
    assert quote("simulated", model, DAY) == quote(provider, model, DAY)


def test_tiers_apply_from_the_first_token_above_the_tables_threshold():
    price = quote("gemini", "gemini-2.5-pro", DAY)
    assert price.input.tiers == ((200_001, Decimal("2.5")),)
    assert price.output.tiers == ((200_001, Decimal(15)),)


def test_prices_follow_the_day():
    before = quote("gemini", "gemini-4-argon", date(2026, 11, 30))
    after = quote("gemini", "gemini-4-argon", date(2026, 12, 1))
    assert (before.input.base, after.input.base) == (Decimal(2), Decimal(4))


def test_a_price_that_changes_within_the_day_is_the_dearest():
    prices = set()
    for hour in (0, 2, 12, 17, 23):
        at = datetime(2026, 11, 21, hour, 45)
        usage = TheirUsage(input_tokens=1_000_000, output_tokens=0)
        found = calc_price(
            usage, "deepseek-chat", provider_id="deepseek", genai_request_timestamp=at
        )
        prices.add(found.total_price)
    assert len(prices) > 1, "the table's example is gone: choose another model"
    assert quote("deepseek", "deepseek-chat", DAY).input.base == max(prices)


def test_a_price_per_request_is_kept():
    assert quote("perplexity", "sonar", DAY).per_request == Decimal("0.012")


def test_an_unknown_model_is_refused_with_the_override_to_write():
    with pytest.raises(UnknownPrice) as raised:
        quote("openai", "llama-9", DAY)
    assert isinstance(raised.value, RouterError)
    assert "llama-9" in str(raised.value)
    assert 'prices: {"openai/llama-9": {input:' in str(raised.value)


@pytest.mark.parametrize("model", ["gemma-4-31b-it", "text-embedding-3-small", "whisper-1"])
def test_a_model_without_both_token_prices_is_unknown_not_free(model):
    with pytest.raises(UnknownPrice):
        quote("gemini" if "gemma" in model else "openai", model, DAY)


def test_an_override_of_zero_is_accepted_and_marked_as_stated():
    free = PriceOverride(input=Decimal(0), output=Decimal(0))
    price = quote("openai", "llama-9", DAY, {"openai/llama-9": free})
    assert (price.input.base, price.output.base, price.source) == (0, 0, "override")
    assert not price.is_default


def test_overrides_go_from_exact_to_glob_and_before_the_table():
    overrides = {
        "*": PriceOverride(input=Decimal(9), output=Decimal(9)),
        "gpt-*": PriceOverride(input=Decimal(3), output=Decimal(3)),
        "gpt-4o": PriceOverride(input=Decimal(2), output=Decimal(2)),
        "openai/gpt-4o": PriceOverride(input=Decimal(1), output=Decimal(1)),
    }
    assert quote("openai", "gpt-4o", DAY, overrides).input.base == 1
    assert quote("azure", "gpt-4o", DAY, overrides).input.base == 2
    default = quote("openai", "gpt-5", DAY, overrides)
    assert (default.input.base, default.is_default) == (9, True)


def test_negative_overrides_and_unknown_keys_are_refused():
    for wrong in ({"input": -1, "output": 1}, {"input": 1, "output": 1, "currency": "EUR"}):
        with pytest.raises(ValueError):
            PriceOverride.model_validate(wrong)


@pytest.mark.parametrize(
    ("provider", "table", "model"),
    [
        ("openai", "openai", "gpt-5.4-mini"),
        ("openai", "openai", "gpt-6.1-terra"),
        ("anthropic", "anthropic", "claude-haiku-5-5"),
        ("anthropic", "anthropic", "claude-sonnet-4-5"),
        ("gemini", "google", "gemini-2.5-pro"),
        ("gemini", "google", "gemini-3.8-flash"),
    ],
)
@given(
    prompt=st.one_of(
        st.integers(0, 2_000_000), st.sampled_from([100_000, 100_001, 200_000, 200_001, 272_001])
    ),
    cached=st.integers(0, 100),
    answer=st.integers(0, 200_000),
)
def test_bills_agree_with_the_tables_own_arithmetic(provider, table, model, prompt, cached, answer):
    share = prompt * cached // 100
    theirs = calc_price(
        TheirUsage(input_tokens=prompt, cache_read_tokens=share, output_tokens=answer),
        model,
        provider_id=table,
        genai_request_timestamp=datetime(DAY.year, DAY.month, DAY.day, 12),
    )
    ours = cost(quote(provider, model, DAY), Usage(prompt, answer, cached_tokens=share))
    assert ours == theirs.total_price


@given(st.text(min_size=1, max_size=40))
def test_quote_answers_or_refuses_whatever_the_name(model):
    with contextlib.suppress(UnknownPrice):
        assert quote("openai", model, DAY).input.base >= 0


@pytest.mark.parametrize(
    ("provider", "model", "rate"),
    [("openai", "gpt-audio", 32), ("gemini", "gemini-2.5-flash", 1), ("openai", "gpt-4o", None)],
)
def test_a_prompt_with_sound_costs_what_sound_does(provider, model, rate):
    plain, heard = quote(provider, model, DAY), quote(provider, model, DAY, sound=True)
    assert heard.input.base == (plain.input.base if rate is None else rate)
    assert heard.output == plain.output


@pytest.mark.parametrize(
    ("model", "at", "dollars", "assumed"),
    [
        ("gemini-2.5-flash", DAY, "1", False),
        ("gemini-2.5-pro", DAY, "4.5", False),
        ("gemini-3.1-pro-preview", DAY, "4.5", False),
        ("gemini-3.1-flash-lite", DAY, "1", False),
        ("gemini-3.8-flash", date(2026, 12, 31), "0.5", False),
        ("gemini-3.8-flash", date(2027, 1, 1), "1", False),
        ("gemini-3.5-flash", DAY, "4.5", True),
    ],
)
def test_what_keeping_a_cache_costs(model, at, dollars, assumed):
    price = quote("gemini", model, at)
    assert price.cache_storage.base == Decimal(dollars)
    assert price.assumed == (("cache_storage",) if assumed else ())


def test_vendors_that_take_nothing_for_keeping_and_stated_prices():
    assert quote("openai", "gpt-4o", DAY).cache_storage is None
    own = {"gemini/*": PriceOverride(input=1, output=1, cache_storage=2)}
    stated = quote("gemini", "gemini-9", DAY, own)
    assert (stated.cache_storage.base, stated.assumed) == (2, ())


@pytest.mark.parametrize("model", ["claude-haiku-5-5", "claude-sonnet-4-5", "claude-opus-5-5"])
@given(prompt=st.integers(0, 300_000), share=st.integers(0, 100))
def test_writing_for_an_hour_costs_what_the_table_says(model, prompt, share):
    written = prompt * share // 100
    theirs = calc_price(
        TheirUsage(
            input_tokens=prompt,
            cache_write_tokens=written,
            cache_write_1h_tokens=written,
            output_tokens=0,
        ),
        model,
        provider_id="anthropic",
        genai_request_timestamp=datetime(DAY.year, DAY.month, DAY.day, 12),
    )
    price = quote("anthropic", model, DAY, cache_lasts_s=3600)
    usage = Usage(prompt, 0, cache_write_tokens=written, cache_write_1h_tokens=written)
    assert cost(price, usage) == theirs.total_price
