"""What a list is made of that a `for_each` goes over: refused where it is known to be none."""

import pytest

from rules.listcheck import why_no_list

pytestmark = pytest.mark.unit

INPUTS = {"text": {"type": "string"}, "items": {"type": "array"}, "count": {"type": "number"}}
OUTPUTS = {
    "said": {"type": "string"},
    "found": {
        "type": "object",
        "properties": {"all": {"type": "array"}, "best": {"type": "object"}, "any": {}},
    },
    "either": {"type": ["array", "null"]},
    "free": {},
}


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("inputs.text", "inputs.text is a text"),
        (" inputs . count ", "inputs.count is a number"),
        ("'5'", "'5' is a text"),
        (" 1 + 1 ", "1 + 1 is a number"),
        ("true", "true is true or false"),
        ("{'a': [1]}", "is an object"),
        ("agents.said.output", "agents.said.output is a text"),
        ("agents.found.output", "agents.found.output is an object"),
        ("agents.found.output.best", "agents.found.output.best is an object"),
    ],
)
def test_what_is_known_to_be_no_list_is_refused(source: str, what: str) -> None:
    assert what in str(why_no_list(source, INPUTS, OUTPUTS))


@pytest.mark.parametrize(
    "source",
    [
        "inputs.items",
        "agents.found.output.all",
        "agents.found.output.any",
        "agents.found.output.best.deep",
        "agents.either.output",
        "agents.free.output",
        "agents.nobody.output",
        "agents.said.status",
        "inputs.text.split(',')",
        "[inputs.text]",
        "['a', 'b']",
        "run.cost",
        "nobody",
    ],
)
def test_what_may_be_one_is_not(source: str) -> None:
    assert why_no_list(source, INPUTS, OUTPUTS) is None


def test_of_an_input_the_way_out_is_told() -> None:
    assert "declare the input {type: list}" in str(why_no_list("inputs.text", INPUTS, OUTPUTS))
