"""Answers measured from 0 to 1."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.agent_cases import AgentCase, CaseMetric
from rules.metrics import judged, measure, metrics_of, problems
from rules.verdicts import CannotEvaluate

pytestmark = pytest.mark.unit

figures = st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: round(x, 3))


def score(
    kind: Any, answer: Any, value: Any = None, truth: str | None = None, **more: Any
) -> float:
    return measure(CaseMetric(metric=kind, value=value, **more), answer, truth).score


@pytest.mark.parametrize(
    ("value", "answer", "wanted"),
    [
        ("Bonn", " Bonn\n", 1),
        ("Bonn", "bonn", 0),
        ({"a": 1}, '```json\n{"a": 1.0}\n```', 1),
        ('{"a": 1}', {"a": 1}, 1),
        ([1, 2], [2, 1], 0),
        (True, 1, 0),
    ],
)
def test_equality(value: Any, answer: Any, wanted: float) -> None:
    assert score("equality", answer, value) == wanted


def test_contains_takes_a_share_whatever_the_case() -> None:
    assert score("contains", "In BONN\n  it rains", "bonn it") == 1
    assert score("contains", "one and two", ["one", "two", "three", "four"]) == 0.5
    verdict = measure(CaseMetric(metric="contains", value=["one", "six"]), "one", None)
    assert not verdict.passed
    assert verdict.reason == "missing: six (the answer is one)"
    assert measure(
        CaseMetric(metric="contains", value=["one", "six"], threshold=0.5), "one", None
    ).passed


def test_the_ground_truth_stands_in_for_a_value() -> None:
    assert score("contains", "it is sunny", truth="Sunny") == 1
    assert score("equality", "sunny", truth="cloudy") == 0
    assert score("numeric", "about 12 degrees", truth="12") == 1
    assert score("regex", "on 2026-02-01", truth=r"\d{4}-\d\d-\d\d") == 1


@pytest.mark.parametrize(
    ("answer", "value", "tolerance", "wanted"),
    [
        ("17 + 25 = 42", 42, 0, 1),
        ("It is 41.9.", 42, 0.1, 1),
        ("It is 41.9.", 42, 0.05, 0),
        ("1,234,567.5 in all", "1234567.5", 0, 1),
        ("minus: −5", -5, 0, 1),
        ("1e3", 1000, 0, 1),
        ("10-12 of file5 and e5", 12, 0, 1),
        ("0.1 + 0.2", "0.2", 0, 1),
        (".5", 0.5, 0, 1),
        ("123456789012345678901", "123456789012345678901", 0, 1),
        (7, 7.0, 0, 1),
        (True, 1, 0, 0),
        ("none at all", 1, 100, 0),
    ],
)
def test_numeric(answer: Any, value: Any, tolerance: float, wanted: float) -> None:
    assert score("numeric", answer, value, tolerance=tolerance) == wanted


def test_json_fields_by_their_paths() -> None:
    answer = {"city": "Bonn", "days": [{"sky": "sunny", "t": 11.9}], "a.b": 1}
    fields = {"city": "Bonn", "days.0.sky": "rainy", "days.0.t": 12, "a.b": 1}
    assert score("json", answer, fields=fields) == 0.5
    assert score("json", orjson.dumps(answer).decode(), fields=fields, tolerance=0.2) == 0.75
    verdict = measure(CaseMetric(metric="json", fields={"days.3.sky": None}), answer, None)
    assert verdict.reason == "days.3.sky is missing, not null"
    assert score("json", "no JSON", fields=fields) == 0


def test_a_judges_word_is_taken_only_in_its_form() -> None:
    metric = CaseMetric(metric="judge", rubric="kind", threshold=0.7)
    assert judged(metric, {"score": 0.7, "reason": "kind"}).passed
    assert not judged(metric, {"score": 0.69, "reason": "less kind"}).passed
    for said in ({"score": 1.1}, {"score": "1"}, {"score": True}, {}, "1", None, {"score": -0.1}):
        with pytest.raises(CannotEvaluate, match="no score"):
            judged(metric, said)  # type: ignore[arg-type]


def test_what_cannot_be_measured_is_known_beforehand() -> None:
    metrics = (
        CaseMetric(metric="equality"),
        CaseMetric(metric="numeric", value="some"),
        CaseMetric(metric="regex", value="("),
        CaseMetric(metric="contains", value=[]),
        CaseMetric(metric="json", fields={"a": 1}),
        CaseMetric(metric="judge", rubric="kind"),
    )
    found = problems(AgentCase(name="c", turns=("hi",), metrics=metrics))
    assert [line.partition(":")[0] for line in found] == [
        "equality",
        "numeric",
        "regex",
        "contains",
    ]
    assert problems(AgentCase(name="c", turns=("hi",), metrics=metrics[:1], ground_truth="x")) == []


def test_a_truth_without_metrics_is_looked_for() -> None:
    case = AgentCase(name="c", turns=("hi",), ground_truth="sunny")
    assert [one.metric for one in metrics_of(case)] == ["contains"]
    assert metrics_of(AgentCase(name="c", turns=("hi",))) == ()


@given(figures, figures, st.floats(0, 100))
def test_a_number_passes_within_its_tolerance_only(one: float, other: float, tol: float) -> None:
    near = abs(one - other) <= tol or one == other
    if abs(abs(one - other) - tol) > 1e-6 * max(1, abs(one)):
        assert score("numeric", f"it is {one:.3f}", other, tolerance=tol) == float(near)


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5), st.text())
def test_scores_are_shares_and_more_text_never_hurts(texts: list[str], answer: str) -> None:
    first = score("contains", answer, texts)
    assert 0 <= first <= 1
    assert score("contains", f"{answer} {' '.join(texts)}", texts) == 1


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,3}", fullmatch=True), st.integers(-(2**53), 2**53), min_size=1
    )
)
def test_an_object_has_its_own_fields(value: dict[str, int]) -> None:
    assert score("json", orjson.dumps(value).decode(), fields=value) == 1
    other = {key: number + 1 for key, number in value.items()}
    assert score("json", value, fields=other) == 0
