"""Expected tools against the calls that were made."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.agent_cases import ArgumentMatch, ExpectedTool
from rules.tool_checks import ORDER, check_tools, fits, likeness
from rules.verdicts import CannotEvaluate, ToolUse, same

pytestmark = pytest.mark.unit

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)
names = st.sampled_from("abc")
uses = st.lists(st.builds(ToolUse, names, st.dictionaries(names, json_values, max_size=2)))


def wanted(name: str, count: int | None = None, **arguments: ArgumentMatch) -> ExpectedTool:
    return ExpectedTool(name=name, count=count, arguments=arguments)


def passed(*args: Any, **more: Any) -> list[bool]:
    return [verdict.passed for verdict in check_tools(*args, **more)]


def test_a_tool_is_called_once_at_least() -> None:
    used = [ToolUse("a"), ToolUse("b"), ToolUse("a")]
    assert passed([wanted("a"), wanted("b"), wanted("c")], used) == [True, True, False]


def test_counts_are_exact_and_none_can_be_allowed() -> None:
    used = [ToolUse("a"), ToolUse("a")]
    expected = [wanted("a", 2), wanted("a", 1), wanted("a", 0), wanted("b", 0)]
    assert passed(expected, used) == [True, False, False, True]


def test_all_arguments_of_one_call_must_fit() -> None:
    both = wanted("go", x=ArgumentMatch(value=1), y=ArgumentMatch(value=2))
    apart = [ToolUse("go", {"x": 1, "y": 3}), ToolUse("go", {"x": 0, "y": 2})]
    assert passed([both], apart) == [False]
    assert passed([both], [ToolUse("go", {"x": 1, "y": 2, "z": 3})]) == [True]
    assert passed([both], [ToolUse("go", {"x": 1})]) == [False]


def test_only_calls_that_fit_are_counted() -> None:
    to_bonn = wanted("fly", 1, to=ArgumentMatch(mode="fuzzy", value="Bonn"))
    used = [ToolUse("fly", {"to": "bonn "}), ToolUse("fly", {"to": "Rome"})]
    assert passed([to_bonn], used) == [True]


@pytest.mark.parametrize(
    ("match", "given", "result"),
    [
        (ArgumentMatch(value=1), 1.0, True),
        (ArgumentMatch(value=1), True, False),
        (ArgumentMatch(value={"a": [1, None]}), {"a": [1, None]}, True),
        (ArgumentMatch(value="Bonn"), "bonn", False),
        (ArgumentMatch(mode="fuzzy", value="Bonn"), "  BONN", True),
        (ArgumentMatch(mode="fuzzy", value="Bonn", threshold=1.0), "Bon", False),
        (ArgumentMatch(mode="fuzzy", value="Bonn", threshold=0.8), "Bon", True),
        (ArgumentMatch(mode="regex", value=r"^\d{4}-\d\d$"), "2026-02", True),
        (ArgumentMatch(mode="regex", value=r"^\d{4}-\d\d$"), "2026-2", False),
        (ArgumentMatch(mode="regex", value="4"), 142, True),
    ],
)
def test_arguments_by_their_mode(match: ArgumentMatch, given: Any, result: bool) -> None:
    assert fits(match, given) is result


def test_a_pattern_that_is_none_is_no_verdict() -> None:
    broken = wanted("a", x=ArgumentMatch(mode="regex", value="("))
    with pytest.raises(CannotEvaluate, match="regular expression"):
        check_tools([broken], [ToolUse("a", {"x": "y"})])


def test_order_allows_others_between_and_takes_each_call_once() -> None:
    used = [ToolUse("a"), ToolUse("x"), ToolUse("b"), ToolUse("a")]
    assert passed([wanted("a"), wanted("b"), wanted("a")], used, in_order=True)[-1]
    assert not passed([wanted("b"), wanted("a", 2)], used, in_order=True)[-1]
    assert not passed([wanted("b"), wanted("x")], used, in_order=True)[-1]


def test_the_reason_tells_what_was_done_instead() -> None:
    late = check_tools([wanted("b"), wanted("a")], [ToolUse("a"), ToolUse("b")], in_order=True)
    assert late[-1].name == ORDER
    assert "a comes too early" in late[-1].reason
    (other,) = check_tools([wanted("go", x=ArgumentMatch(value=1))], [ToolUse("go", {"x": 2})])
    assert other.name == "go(x=1)"
    assert '{"x": 2}' in other.reason
    (none,) = check_tools([wanted("go")], [])
    assert none.reason == "not called; no tool was"


@given(uses, st.data())
def test_whatever_was_called_is_found_in_its_order(used: list[ToolUse], data: Any) -> None:
    """A part of the calls, in their order, is always expected rightly."""
    kept = [use for use in used if data.draw(st.booleans())]
    expected = [
        ExpectedTool(
            name=use.name,
            arguments={k: ArgumentMatch(value=v) for k, v in (use.arguments or {}).items()},  # type: ignore[union-attr]
        )
        for use in kept
    ]
    assert all(passed(expected, used, in_order=True))


@given(uses, names, st.integers(0, 4))
def test_a_count_holds_for_one_number_only(used: list[ToolUse], name: str, count: int) -> None:
    actual = sum(use.name == name for use in used)
    assert passed([wanted(name, count)], used) == [count == actual]


@given(st.text(), st.text())
def test_likeness_is_symmetric_and_a_share(one: str, other: str) -> None:
    assert 0 <= likeness(one, other) <= 1
    assert likeness(one, other) == pytest.approx(likeness(other, one))
    assert likeness(one, one) == 1


@given(json_values, json_values)
def test_sameness_is_reflexive_and_symmetric(one: Any, other: Any) -> None:
    assert same(one, one)
    assert same(one, other) is same(other, one)
