"""An expression that only names a value gives what CEL would."""

import pytest

from contracts.base import Json
from rules import conditions, plainpaths

pytestmark = pytest.mark.unit

INPUTS: dict[str, Json] = {"items": [1, "a", None], "deep": {"er": {"it": [True]}}, "none": None}
AGENTS = {"a": {"status": "completed", "output": {"list": [{"n": 1}]}, "cost": 0.0, "attempts": 1}}


@pytest.mark.parametrize(
    "source",
    [
        "inputs.items",
        "inputs.deep.er.it",
        "inputs.none",
        "agents.a.output",
        " agents.a .output.list",
    ],
)
def test_a_path_is_read_as_CEL_reads_it(source: str) -> None:
    found, value = plainpaths.lookup(source, INPUTS, AGENTS)
    assert found
    assert value == conditions.evaluate(source, conditions.context(INPUTS, AGENTS, {}))


@pytest.mark.parametrize(
    "source",
    [
        *("inputs", "inputs.other", "inputs.items.size", "inputs.items[0]", "inputs.none.x"),
        *("agents.a", "agents.a.status", "run.cost"),
        *("inputs.items + inputs.items", "size(inputs.items)"),
    ],
)
def test_anything_else_is_left_to_CEL(source: str) -> None:
    assert plainpaths.lookup(source, INPUTS, AGENTS) == (False, None)
