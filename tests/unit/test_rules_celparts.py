"""Which part of which value an expression picks; whatever builds something new is none."""

import pytest

from rules.celparts import Part, part_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("inputs.things", Part("inputs", "things")),
        (" inputs.a.b.c ", Part("inputs", "a", ("b", "c"))),
        ("agents.risk.output", Part("agents", "risk")),
        ("agents.risk.output.levels", Part("agents", "risk", ("levels",))),
        ("agents.a.output.filter(r, r.level > 3)", Part("agents", "a")),
        ("agents.a.output.x.filter(r, r.s == ')' || f(r))", Part("agents", "a", ("x",))),
        ("inputs.a.filter(r, r.ok).map(r, r.name)", Part("inputs", "a")),
        ("inputs.a.map(r, r)", Part("inputs", "a")),
        ("inputs.a[0].name", Part("inputs", "a", (), False)),
        ("inputs.a.filter(r, true)[0]", Part("inputs", "a", (), False)),
        ("inputs.a.b['x(']", Part("inputs", "a", ("b",), False)),
    ],
)
def test_a_part(source: str, part: Part) -> None:
    assert part_of(source) == part


@pytest.mark.parametrize(
    "source",
    [
        "inputs.a + inputs.a",
        "inputs.a.filter(r, true) + inputs.a.filter(r, true)",
        "inputs.a.map(r, r.b + r.c)",
        "inputs.a.map(r, [r, r])",
        "inputs.a.map(r, inputs.a)",
        "inputs.a.map(r, r.b.map(x, x))",
        "inputs.a.map(r, r.ok, r.name)",
        "inputs.a.size()",
        "size(inputs.a)",
        "[1, 2]",
        "agents.a.status",
        "agents.a.cost",
        "run.cost",
        "inputs.a ? 1 : 2",
        "inputs.a == 1",
        "true",
        "inputs",
        "",
    ],
)
def test_no_part(source: str) -> None:
    assert part_of(source) is None
