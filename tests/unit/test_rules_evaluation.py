"""CEL as team files use it: what evaluation gives, and what it refuses because of its size."""

import subprocess
import sys
from decimal import Decimal
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.teams import AgentStatus
from rules import conditions
from rules.celcost import nodes
from rules.conditions import ConditionError, check, context, evaluate, is_light, truth
from tests.support.cases import cases

pytestmark = pytest.mark.unit


def over(output: object, **more: object) -> dict[str, object]:
    """A context in which step `x` gave `output`."""
    fact = {"status": "completed", "output": output, "cost": Decimal("0.5"), "attempts": 1}
    return context(more, {"x": fact}, {"cost": Decimal("1.25"), "elapsed": 2})


@pytest.mark.parametrize(
    ("source", "output", "expected"),
    [
        ("agents.x.output.score >= 8", {"score": 8.5}, True),
        ("agents.x.output.score >= 8.0", {"score": 8}, True),
        ("agents.x.output.score == 8", {"score": 8.0}, True),
        ("agents.x.output > 1", Decimal("1.5"), True),
        ("double(agents.x.output) + 1.0", 8, 9.0),
        ("agents.x.output + 1", 8, 9),
        ("agents.x.output == null", None, True),
        ("has(agents.x.output.a)", {"b": 1}, False),
        ("has(agents.x.output.a)", {"a": None}, True),
        ("agents.x.output.filter(r, r.level >= 4)", [{"level": 4}, {"level": 1.5}], [{"level": 4}]),
        ("agents.x.output.map(k, k)", {"a": 1}, ["a"]),
        ("size(agents.x.output)", [1, 2], 2),
        ("agents.x.output", (1, (2,)), [1, [2]]),
        ("agents.x.output", 2**70, float(2**70)),
        ("agents.x.status == 'completed'", None, True),
        ("agents.x.cost < 1 && agents.x.attempts == 1", None, True),
        ("run.cost + agents.x.cost", None, 1.75),
        ("run.elapsed >= 2", None, True),
        (
            "{2: 'a', true: b'x', 'd': duration('90s')}",
            None,
            {"2": "a", "true": "eA==", "d": "90s"},
        ),
        ("timestamp('2024-01-01T00:00:00.5+01:00')", None, "2023-12-31T23:00:00.500000Z"),
        ("[1u, 1.0, type(1)]", None, [1, 1.0, "int"]),
    ],
)
def test_values_go_in_and_come_out_as_json(source: str, output: object, expected: object) -> None:
    value = evaluate(source, over(output))
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("agents.x.output.a", {"b": 1}, 'CEL: no field "a" (has(…) asks whether there is one)'),
        ("agents.x.output.a", None, "is null"),
        ("has(agents.x.output.a)", None, "is null"),
        ("size(agents.x.output)", None, "CEL: size does not apply to this type of value"),
        ("agents.x.output[9]", [1], "index out of bounds: 9"),
        ("agents.x.output + 1", 1.5, "CEL: cannot compute float + int: convert both with double"),
        ("agents.x.output / 0", 1, "CEL: division by zero"),
        ("1.0 / 0.0", 1, "not a finite number"),
        ("agents.x.output + 1", 2**63 - 1, "overflow"),
        ("int(agents.x.output)", "x", "invalid digit"),
        ("agents.x.output ? 1 : 2", "x", "CEL: an operator"),
        ("optional.of(1)", None, "OptionalValue"),
        ("{1.5: 2}", None, "cannot be used as a map key"),
        ("nope", None, 'CEL: undeclared reference to "nope"'),
        ("1 +", None, "syntax error"),
        ("agents.x.output", float("nan"), "not a finite number"),
    ],
)
def test_every_failure_is_a_condition_error(source: str, output: object, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        evaluate(source, over(output))
    assert message in str(caught.value)


def test_values_that_are_not_json_are_refused() -> None:
    with pytest.raises(ConditionError, match="a set is not JSON"):
        evaluate("agents.x.output", {"agents": {"x": {"output": {1}}}})


def test_a_status_of_ours_compares_as_its_text() -> None:
    facts = {"x": {"status": AgentStatus.COMPLETED}}
    values = context({}, facts, {})
    assert values["agents"] == {
        "x": {"status": "completed", "output": None, "cost": 0.0, "attempts": 0}
    }
    assert evaluate("agents.x.status == 'completed'", values) is True


def test_context_holds_only_what_the_expression_reads() -> None:
    found = check(
        "agents.risk.cost > 0 && inputs.side == 'a'", ("contract", "side"), ("clauses", "risk")
    )
    values = context(
        {"side": "a", "contract": "long"},
        {"risk": {"cost": Decimal(1)}, "judge": {}},
        {},
        found,
    )
    assert list(values["inputs"]) == ["side"]
    assert list(values["agents"]) == ["risk"]
    assert evaluate(found.source, values) is True


@pytest.mark.parametrize("value", [True, False])
def test_truth_of_a_bool(value: bool) -> None:
    assert truth(value) is value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "the condition gave 3 (a number), not true or false"),
        ("yes", 'the condition gave "yes" (a text), not true or false'),
        (None, "the condition gave null (nothing), not true or false"),
        ([1], "the condition gave [1] (a list), not true or false"),
        ({}, "the condition gave {} (an object), not true or false"),
    ],
)
def test_truth_takes_nothing_else(value: object, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        truth(value)
    assert str(caught.value) == message


def test_truth_shortens_what_it_shows() -> None:
    with pytest.raises(ConditionError) as caught:
        truth("long " * 100)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("source", "size", "allowed"),
    [
        ("agents.x.output.exists(r, r.n < 0)", 5_000, True),
        ("agents.x.output.exists(r, r.n < 0)", 5_001, False),
        ("agents.x.output.exists(r, r.n < 0) || agents.x.output.all(r, r.n > 0)", 2_501, False),
        ("agents.x.output.exists(r, agents.x.output.exists(q, q.n < r.n - 9))", 70, True),
        ("agents.x.output.exists(r, agents.x.output.exists(q, q.n < r.n - 9))", 71, False),
        ("agents.x.output.exists(r, r.l.exists(q, q < 0))", 1_666, True),
        ("agents.x.output.exists(r, r.l.exists(q, q < 0))", 1_667, False),
        ("agents.x.output.filter(r, r.n < 0).exists(q, q.n > 0)", 2_500, True),
        ("agents.x.output.filter(r, r.n < 0).exists(q, q.n > 0)", 2_501, False),
        ("[agents.x.output, agents.x.output].exists(r, r == null)", 4_000, True),
    ],
)
def test_five_thousand_elements_are_the_most(source: str, size: int, allowed: bool) -> None:
    values = over([{"n": 1, "l": [1, 2]} for _ in range(size)])
    if allowed:
        assert evaluate(source, values) is False
    else:
        with pytest.raises(ConditionError, match="elements, 5,000 are the most"):
            evaluate(source, values)


def test_what_copies_without_end_is_refused_at_once() -> None:
    values = over(list(range(4_000)))
    with pytest.raises(ConditionError, match="may copy"):
        evaluate("agents.x.output.map(r, agents.x.output)", values)


def test_a_third_level_is_refused_without_a_check_before() -> None:
    source = "agents.x.output.all(a, [a].all(b, [b].all(c, c > 0)))"
    with pytest.raises(ConditionError, match="one comprehension inside another"):
        evaluate(source, over([1]))


def test_small_evaluations_are_light_and_large_ones_are_not() -> None:
    rated = "agents.x.output.filter(r, r.level >= 4)"
    few, many = ([{"level": n % 5} for n in range(size)] for size in (50, 600))
    assert is_light(rated, over(few))
    assert not is_light(rated, over(many))
    assert is_light("size(agents.x.output) > 0", over(many))
    assert not is_light("agents.x.output.map(r, agents.x.output)", over(list(range(400))))


@cases(25)
@given(
    st.sampled_from(
        [
            "agents.x.output.map(r, r)",
            "agents.x.output.filter(r, true)",
            "agents.x.output.map(r, agents.x.output)",
            "agents.x.output.map(r, [r, r])",
            "agents.x.output.map(r, agents.x.output.map(q, r))",
            "agents.x.output.map(r, r.l.map(q, q))",
            "agents.x.output.filter(r, true).map(q, [q, agents.x.output])",
            "agents.x.output.map(r, [agents.x.output]).map(q, q)",
        ]
    ),
    st.integers(1, 60),
)
def test_what_is_light_takes_little_time_and_gives_no_more_than_bounded(
    source: str, size: int
) -> None:
    values = over([{"l": [1, 2, 3]} for _ in range(size)])
    if not is_light(source, values):
        return
    begun = perf_counter()
    result = evaluate(source, values)
    assert perf_counter() - begun < 20
    assert nodes(result) <= conditions.LIGHT.copied


def test_long_chains_and_deep_values_are_refused_before_they_reach_the_library() -> None:
    for source in ("1" + "+1" * 600, "a" + ".b" * 600):
        with pytest.raises(ConditionError, match="1,000 are the most"):
            evaluate(source, {})
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(ConditionError, match="nested more than 100 deep"):
        evaluate("agents.x.output == 1", {"agents": {"x": {"output": deep}}})


def test_the_library_is_imported_when_it_is_needed_or_asked_for() -> None:
    program = (
        "import sys, rules.conditions as c; before = 'cel' in sys.modules; "
        "c.preload(); sys.exit(before or 'cel' not in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
