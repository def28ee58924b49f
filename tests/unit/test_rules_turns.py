"""What follows a model's answer: every turn comes to an end, within its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.turns import (
    AskAgain,
    Called,
    CallTools,
    Finish,
    Limits,
    Progress,
    Stop,
    after_answer,
    after_tools,
    near_limit,
)

pytestmark = pytest.mark.unit

limits = st.builds(Limits, st.integers(1, 12), st.integers(0, 5))
called = st.builds(
    Called,
    st.sampled_from(["a", "b"]),
    failed=st.booleans(),
    misfit=st.booleans(),
    critical=st.booleans(),
    error=st.just("why"),
)
answers = st.lists(st.lists(called, max_size=4), min_size=30, max_size=40)


def follow(script: list[list[Called]], bounds: Limits) -> tuple[Finish | Stop, Progress]:
    """Play a model's answers to the turn's end."""
    progress = Progress()
    for tools in script:
        progress = Progress(progress.calls + 1, progress.repairs)
        decision = after_answer(len(tools), progress, bounds)
        if not isinstance(decision, CallTools):
            return decision, progress
        further = after_tools(tools, progress, bounds)
        if isinstance(further, Stop):
            return further, progress
        progress = further.progress
    raise AssertionError("the turn has no end")


@given(answers, limits)
def test_every_turn_ends_within_its_bounds(script: list[list[Called]], bounds: Limits) -> None:
    _, progress = follow(script, bounds)
    assert progress.calls <= bounds.max_calls
    assert progress.repairs <= bounds.argument_repairs


@given(answers, limits)
def test_a_turn_has_an_answer_only_where_no_tool_is_asked_for(
    script: list[list[Called]], bounds: Limits
) -> None:
    end, progress = follow(script, bounds)
    assert isinstance(end, Finish) == (script[progress.calls - 1] == [])


@given(st.lists(called, min_size=1), limits, st.integers(0, 5))
def test_C19_a_critical_failure_ends_the_turn_and_nothing_else_that_failed_does(
    tools: list[Called], bounds: Limits, repairs: int
) -> None:
    end = after_tools(tools, Progress(1, repairs), bounds)
    if any(one.failed and one.critical for one in tools):
        assert isinstance(end, Stop)
        assert end.kind == "ToolFailed"
    elif not any(one.misfit for one in tools):
        assert end == AskAgain(Progress(1, repairs))


def test_arguments_are_mended_as_often_as_allowed() -> None:
    bounds, misfit = Limits(10, 2), [Called("a", failed=True, misfit=True, error="no city")]
    progress = Progress(1)
    for repairs in (1, 2):
        again = after_tools(misfit, progress, bounds)
        assert isinstance(again, AskAgain)
        progress = again.progress
        assert progress.repairs == repairs
    end = after_tools(misfit, progress, bounds)
    assert isinstance(end, Stop)
    assert end.kind == "ToolArguments"
    assert "no city" in end.reason


def test_several_misfits_of_one_answer_are_one_repair() -> None:
    misfits = [Called(name, failed=True, misfit=True) for name in "abc"]
    assert after_tools(misfits, Progress(1), Limits(10, 1)) == AskAgain(Progress(1, 1))


def test_no_tool_is_called_whose_result_nobody_could_be_told() -> None:
    assert after_answer(1, Progress(9), Limits(10, 0)) == CallTools()
    end = after_answer(1, Progress(10), Limits(10, 0))
    assert isinstance(end, Stop)
    assert end.kind == "TurnLimit"
    assert "max_turns 10" in end.reason


@pytest.mark.parametrize(("most", "first"), [(50, 40), (100, 80), (10, 8), (3, 2)])
def test_C11_the_warning_comes_at_80_percent(most: int, first: int) -> None:
    assert [near_limit(n, most) for n in (first - 1, first, first + 1)] == [False, True, True]


def test_C12_nothing_said_is_no_reason_to_warn() -> None:
    assert near_limit(0, 1) is False
    assert near_limit(1, 1) is True
