"""Patterns that people write: found as the standard library finds them, never for ever."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.agent_cases import ArgumentMatch, CaseMetric
from rules import patterns
from rules.jsonanswers import read_json
from rules.metrics import measure
from rules.tool_checks import fits
from rules.toolargs import misfits
from rules.verdicts import CannotEvaluate

pytestmark = pytest.mark.unit

ENDLESS = "^(a|aa)+$"
TEXT = "a" * 80 + "b"
"""On which the standard library would search for centuries."""


@pytest.mark.filterwarnings("ignore::FutureWarning")
@given(st.text("ab.*?[]()|+1", max_size=8), st.text("ab1", max_size=8))
def test_what_is_found_is_what_the_standard_library_finds(pattern: str, text: str) -> None:
    try:
        wanted = re.search(pattern, text) is not None
    except re.error:
        return
    assert patterns.occurs(pattern, text) == wanted


@pytest.mark.parametrize("pattern", ["(", "[", "a{2,1}", "(?<x", 7, None])
def test_what_is_no_pattern(pattern: Any) -> None:
    with pytest.raises(patterns.BadPattern, match="is no regular expression"):
        patterns.check(pattern)


def test_a_pattern_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(patterns.TooSlow, match=r"more than 0\.05 s on a text of 81 characters"):
        patterns.occurs(ENDLESS, TEXT, 0.05)


def test_whoever_asks_is_told() -> None:
    with pytest.raises(CannotEvaluate, match=r"takes more than"):
        measure(CaseMetric(metric="regex", value=ENDLESS), TEXT, None)
    with pytest.raises(CannotEvaluate, match=r"takes more than"):
        fits(ArgumentMatch(mode="regex", value=ENDLESS), TEXT)
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "pattern": ENDLESS}},
    }
    named = {"type": "object", "patternProperties": {ENDLESS: {"type": "integer"}}}
    assert any("takes more than" in said for said in misfits({TEXT: 1}, named))
    _, errors = read_json(f'{{"name": "{TEXT}"}}', schema)
    assert any("takes more than" in said for said in errors)


def test_patterns_of_schemas_judge_as_before() -> None:
    schema = {
        "type": "object",
        "properties": {"code": {"pattern": "^[A-Z]{2}$"}},
        "patternProperties": {"^n_": {"type": "integer"}},
        "additionalProperties": False,
    }
    assert misfits({"code": "DE", "n_a": 1}, schema) == ()
    assert misfits({"code": 7}, schema) == (), "patterns are for texts"
    assert misfits({"code": "De"}, schema) == ("code: 'De' does not match '^[A-Z]{2}$'",)
    assert misfits({"n_a": "x"}, schema) == ("n_a: 'x' is not of type 'integer'",)
    assert "Additional properties" in misfits({"m": 1}, schema)[0]
    assert (
        "is no regular expression"
        in misfits({"x": "y"}, {"properties": {"x": {"pattern": "("}}})[0]
    )
