"""CEL as team files use it: what is checked when a file is loaded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.celtokens import tokens
from rules.conditions import ConditionError, check, problems
from tests.support.cases import cases

pytestmark = pytest.mark.unit

INPUTS = ("contract", "side")
AGENTS = ("clauses", "risk", "severe", "sign_off", "judge")
RISKS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"level": {"type": "integer"}, "tags": {"type": "array"}},
    },
}


def said(source: str, **schemas: object) -> list[str]:
    return [str(problem) for problem in problems(source, INPUTS, AGENTS, schemas)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "source",
    [
        "agents.risk.output.filter(r, r.level >= 4)",
        "size(agents.severe.output) > 0",
        "agents.sign_off.status != 'completed' || agents.sign_off.output == 'go'",
        "agents.judge.output.score >= 8",
        "agents.clauses.output",
    ],
)
def test_the_expressions_of_the_team_file_are_accepted(source: str) -> None:
    assert said(source) == []


def test_names_are_found_once_each_and_strings_and_comments_are_not_read() -> None:
    found = check(
        "agents.risk.output == 'agents.judge.output' // agents.clauses.output\n"
        ' && agents["severe"].cost + agents.risk.cost < run.cost && inputs.side == r"\\inputs.x"',
        INPUTS,
        AGENTS,
    )
    assert found.agents == ("risk", "severe")
    assert found.inputs == ("side",)
    assert found.reads_run


def test_an_expression_without_run_says_so() -> None:
    assert not check("inputs.side == 'run.cost'", INPUTS, AGENTS).reads_run


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("agent.x", 'CEL: undeclared reference to "agent" (have: inputs, agents, run)'),
        ("agents.clause.output", 'no step named "clause". Did you mean "clauses"?'),
        ("agents['clause'].output", 'no step named "clause". Did you mean "clauses"?'),
        ("agents.zzz.output", 'no step named "zzz"'),
        ("inputs.sid", 'no input named "sid". Did you mean "side"?'),
        ("size(agents)", 'CEL: "agents" is not a value: name the step, as agents.NAME.output'),
        (
            "agents[inputs.side].output",
            'CEL: "agents" is not a value: name the step, as agents.NAME.output',
        ),
        ("'side' in inputs", 'CEL: "inputs" is not a value: name the input, as inputs.NAME'),
        (
            "agents.risk == null",
            "CEL: write one of agents.risk.status, agents.risk.output, agents.risk.cost, "
            "agents.risk.attempts",
        ),
        (
            "agents.risk.outptu",
            'CEL: agents.risk has no "outptu" (have: status, output, cost, attempts). '
            'Did you mean "output"?',
        ),
        (
            "agents.risk.error",
            'CEL: agents.risk has no "error" (have: status, output, cost, attempts)',
        ),
        ("run.budget > 1.0", "CEL: write one of run.cost, run.elapsed"),
        (
            "agents.risk.output.exists(r, q.level > 1)",
            'CEL: undeclared reference to "q" (have: inputs, agents, run, r)',
        ),
        (
            "agents.risk.output.exists(r, r.level > 1) && r.level > 1",
            'CEL: undeclared reference to "r" (have: inputs, agents, run)',
        ),
        (
            "agents.risk.output.map(agents, agents.level)",
            'CEL: a comprehension variable cannot be called "agents"',
        ),
        ("sise(agents.risk.output)", 'CEL: no function named "sise". Did you mean "size"?'),
        ("contains(inputs.side, 'a')", "CEL: write x.contains(…)"),
        ("inputs.side.int()", "CEL: write int(x)"),
        ("Point{x: 1}", 'CEL: undeclared reference to "Point" (have: inputs, agents, run)'),
        (".agents.risk.output", "CEL: a name cannot begin with a dot: .agents"),
        ("1 +", "CEL: syntax error at column 4: unexpected end of the expression"),
        ("  ", "CEL: the expression is empty"),
        (
            "agents.risk.output.all(a, a.x.all(b, b.y.all(c, c > 0)))",
            "CEL: all is nested 3 deep: one comprehension inside another is the most",
        ),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_team_file(source: str, message: str) -> None:
    assert said(source) == [message]
    with pytest.raises(ConditionError) as caught:
        check(source, INPUTS, AGENTS)
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)


def test_all_problems_of_an_expression_are_reported_with_positions() -> None:
    found = problems("agents.a.output && foo && inputs.b", INPUTS, AGENTS)
    assert [problem.position for problem in found] == [0, 19, 26]


def test_syntax_errors_count_lines() -> None:
    with pytest.raises(ConditionError, match="line 2, column 5: unexpected end") as caught:
        check("1 +\n 2 +", INPUTS, AGENTS)
    assert caught.value.position == 7


def test_one_comprehension_may_be_nested_and_any_number_chained() -> None:
    assert said("agents.risk.output.all(a, a.x.all(b, b > 0))") == []
    assert said("agents.risk.output.filter(a, a.x > 0).map(b, b.x).exists(c, c > 1)") == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("agents.risk.output.level", "agents.risk.output is a list"),
        ("agents.risk.output[0].levle", 'agents.risk.output[0] has no field "levle"'),
        ("agents.risk.output[size(inputs.side)].levle", 'has no field "levle"'),
        ("agents.risk.output.exists(r, r.levle > 3)", 'r has no field "levle". Did you mean'),
        (
            "agents.risk.output.filter(r, r.level > 3).map(s, s.levle)",
            's has no field "levle"',
        ),
        (
            "has(agents.judge.output.score)",
            'output has no field "score" (have: mark)',
        ),
        ("agents.judge.output.mark.high", "agents.judge.output.mark is a number"),
    ],
)
def test_fields_are_checked_where_the_output_has_a_schema(source: str, message: str) -> None:
    judge = {"type": "object", "properties": {"mark": {"type": "number"}}}
    found = said(source, risk=RISKS, judge=judge)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {}}, "patternProperties": {"^s": {}}},
        {"anyOf": [{"type": "object", "properties": {"a": {}}}]},
        {"$ref": "#/$defs/x"},
        {"type": ["object", "string"], "properties": {"a": {}}},
        {},
    ],
)
def test_open_schemas_accept_any_field(schema: dict[str, object]) -> None:
    assert said("agents.risk.output.score > 1 && agents.risk.output[0].x == 1", risk=schema) == []


def test_a_nullable_object_is_still_checked() -> None:
    schema = {"type": ["object", "null"], "properties": {"a": {}}}
    assert len(said("agents.risk.output.b", risk=schema)) == 1


PIECES = (
    *("agents.a.output", "inputs.b", "run.cost", "foo", "size(", ".map(v, v)", ".exists(w, w.k)"),
    *("'agents.q'", '"x\\"inputs.z"', "r'\\'", "// agents.c\n", "'''it's\n'''", "b'x'", "true"),
    *("+", "(", ")", "[", "]", "{", "}", ":", ",", "1.5e3", "&&", "?", ".k"),
)


@cases(200)
@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_any_text_is_checked_and_the_parser_knows_no_name_that_was_not_seen(
    parts: list[str],
) -> None:
    source = " ".join(parts)
    found = problems(source, {"b"}, {"a"})
    assert "".join(t.text for t in tokens(source)).count("agents.c") == 0
    if found and "syntax error" in str(found[0]):
        return
    if not found and source.strip():
        read = check(source, {"b"}, {"a"})
        assert set(read.agents) <= {"a"}
        assert set(read.inputs) <= {"b"}
        assert ("agents.a.output" in parts) == (read.agents == ("a",))
        assert ("inputs.b" in parts) == (read.inputs == ("b",))
