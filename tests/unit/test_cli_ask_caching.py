"""How long `ask` keeps its files cached: --ttl and --keep, what is said of it, what it costs."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from client.cli.asked import Asked, Question, describe, prepare_question
from client.cli.console import Refusal
from client.execution import CachePlan, ExecutionOptions, plan_execution
from client.execution.money import money_of
from client.execution.planning import OptionsError
from config.settings import Settings
from contracts.prices import Price, Rate

pytestmark = pytest.mark.unit


@pytest.fixture
def book(tmp_path: Path) -> Path:
    file = tmp_path / "book.txt"
    file.write_text("Bees make honey. " * 3_000)
    return file


def asked(*files: Path, prompts: int = 2, **more: Any) -> Asked:
    """Prepare a question to the simulator, at the price of a model of Anthropic's."""
    question = Question(
        prompts=["What do bees make?"] * prompts,
        files=files,
        provider="simulated",
        model=more.pop("model", "claude-sonnet-5-5"),
        max_tokens=30,
        **more,
    )
    return prepare_question(Settings(), question, describe(question))


def cache_of(one: Asked) -> CachePlan:
    assert one.plan.cache is not None
    return one.plan.cache


def test_without_a_word_a_prefix_lasts_as_long_as_vendors_keep_one(book: Path) -> None:
    plain = asked(book)
    assert cache_of(plain).lasts_s is None
    assert plain.caching.startswith("cached for five minutes from its last use on: about ")
    assert asked(book, prompts=1).plan.cache is None
    assert asked(book, prompts=1).caching == ""


@pytest.mark.parametrize(
    ("given", "lasts", "ttl"),
    [({"keep": True}, 3600.0, 3600.0), ({"ttl_s": 600.0}, 600.0, 600.0),
     ({"keep": True, "ttl_s": 900.0}, 900.0, 900.0)],
)  # fmt: skip
def test_keep_and_ttl_take_the_hour_and_its_price(
    book: Path, given: dict[str, Any], lasts: float, ttl: float
) -> None:
    plain, long = asked(book), asked(book, prompts=1, **given)
    cache = cache_of(long)
    assert (cache.lasts_s, cache.ttl_s, cache.keep) == (lasts, ttl, "keep" in given)
    assert long.candidate.price.cache_write_1h is not None
    assert plain.candidate.price.cache_write_1h is None
    assert long.caching.startswith("cached for an hour from its last use on: about ")
    assert asked(book, **given).worst > plain.worst, "an hour is dearer to write, and held"


def test_a_short_ttl_stays_with_the_five_minutes(book: Path) -> None:
    short = asked(book, keep=True, ttl_s=60.0)
    assert short.candidate.price.cache_write_1h is None
    assert "five minutes" in short.caching
    assert short.worst == asked(book).worst


def test_a_vendor_without_a_choice_is_not_asked_for_one(book: Path) -> None:
    other = asked(book, keep=True, model="gpt-4o-mini")
    assert cache_of(other).lasts_s is None
    assert other.caching.startswith("cached for as long as the vendor likes: about ")


def test_a_small_file_and_none(tmp_path: Path) -> None:
    small = tmp_path / "small.txt"
    small.write_text("Bees.")
    assert "the provider caches from 1,024 on" in asked(small).caching
    with pytest.raises(Refusal, match="--ttl: there are no files to cache"):
        asked(ttl_s=600.0)


def test_an_hour_without_a_known_rate_is_refused(book: Path) -> None:
    price = Price(
        model="m",
        input=Rate(base=Decimal(3)),
        output=Rate(base=Decimal(15)),
        cache_write=Rate(base=Decimal(3)),
        source="own",
        version="1",
    )
    options = ExecutionOptions(model="m", cache=CachePlan(lasts_s=3600.0), budget=Decimal(1))
    plan = plan_execution([book], "What?", options)
    with pytest.raises(OptionsError, match=r"cache\.lasts_s"):
        money_of(plan, "p", lambda *_: price)
    known = price.model_copy(update={"cache_write_1h": Rate(base=Decimal(6))})
    assert money_of(plan, "p", lambda *_: known) is not None
