"""ResultBuilder: answers of batches, data and schemas, money."""

from decimal import Decimal
from typing import Any

import pytest

from client.execution import (
    APICall,
    CallResult,
    CallSettings,
    ExecutionPlan,
    ExecutionResult,
    FinalizedCommand,
    PlannedCommand,
    ResultBuilder,
    TextPart,
)
from contracts.artifacts import Value
from contracts.messages import Usage
from contracts.prices import Price, Rate
from rules.batches import answers_of

pytestmark = pytest.mark.unit

SCHEMA = {
    "type": "object",
    "properties": {"risks": {"type": "array", "items": {"type": "string"}}},
    "required": ["risks"],
}


def priced(_: str, model: str) -> Price | None:
    if model == "unknown":
        return None
    rate = Rate(base=Decimal(3)), Rate(base=Decimal(15))
    return Price(model=model, input=rate[0], output=rate[1], source="test", version="1")


def finalized(*texts: str, model: str = "m", questions: int = 1, **settings: Any) -> Any:
    call = APICall(
        model=model,
        parts=(TextPart(text="?"),),
        settings=CallSettings(**settings),
        questions=questions,
    )
    results = tuple(
        CallResult(
            index=index,
            output=Value(inline=text, has_inline=True),
            usage=Usage(1000, 1000, cached_tokens=200),
            provider="fake",
            model=model,
        )
        for index, text in enumerate(texts)
    )
    plan = ExecutionPlan(calls=(call,) * len(texts))
    return FinalizedCommand(planned=PlannedCommand(plan=plan), results=results)


def build(command: FinalizedCommand) -> ExecutionResult:
    return ResultBuilder(price=priced).handle(command)


@pytest.mark.parametrize(
    ("text", "count", "answers"),
    [
        ('["a", null, "c"]', 3, ("a", "", "c")),
        ('```json\n["a", "b"]\n```', 2, ("a", "b")),
        ("1. one\n2. two", 3, ("one", "two", "")),
        ("1) a\n2) b\n3) c\n4) d\n5) e", 3, ("a", "b", "c")),
        ('["a","b","c","d","e"]', 3, ("a", "b", "c")),
        ("Just a text.", 2, ("Just a text.", "")),
        ("[1, {}]", 2, ("1", "{}")),
        ('["a"]', 1, ('["a"]',)),
        ("Preface\n1. one\nmore\n\n2. two", 2, ("one\nmore", "two")),
    ],
)
def test_B27_answers_of_a_batch(text: str, count: int, answers: tuple[str, ...]) -> None:
    assert answers_of(text, count) == answers
    assert build(finalized(text, questions=count)).answers == answers


def test_data_that_fits_its_schema() -> None:
    result = build(finalized('```json\n{"risks": ["rain"]}\n```', response_schema=SCHEMA))
    assert (result.ok, result.data) == (True, ({"risks": ["rain"]},))


@pytest.mark.parametrize("text", ['{"risks": "rain"}', "no JSON at all", "{}"])
def test_data_that_does_not_fit_is_told_not_repaired(text: str) -> None:
    result = build(finalized("{}", text, response_schema=SCHEMA))
    assert not result.ok
    assert set(result.schema_errors) == {0, 1}
    assert result.answers[1] == text


def test_metrics_are_sums_and_money_is_exact() -> None:
    result = build(finalized("a", "b"))
    metrics = result.metrics
    assert (metrics.calls, metrics.failed, metrics.total_tokens) == (2, 0, 4000)
    assert metrics.cached_tokens == 400
    assert metrics.cost_usd == Decimal("0.036")
    assert build(finalized("a", model="unknown")).metrics.cost_usd is None


def test_the_first_answer() -> None:
    assert build(finalized("a", "b")).answer == "a"
