"""What the loader says of a team file that is wrong: the field, the line, what is accepted."""

from pathlib import Path

import pytest

from tests.support.teamtexts import agents, said, step

pytestmark = pytest.mark.unit


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_errors_look_as_the_specification_shows() -> None:
    found = said(
        """\
        name: contract-review
        inputs:
          contract: {type: text}
        agents:
          - name: clauses
            prompt_template: "{contract}"
          - name: risk
            dependencies: [clause]
            prompt_template: x
          - name: severe
            set: "agent.risk.output"
          - name: memo
            prompt_template: |
              As JSON:
              {"kind"}
        """
    )
    assert found == [
        't.yaml:8: agents[1].dependencies: no step named "clause". Did you mean "clauses"?',
        't.yaml:11: agents[2].set: CEL: undeclared reference to "agent"'
        " (have: inputs, agents, run)",
        't.yaml:15: agents[3].prompt_template: unknown name in {"kind"}:'
        ' write {{"kind"}} for literal braces',
    ]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (step("prompt_template: x, module: Sales"), '3: agents[0].module: must be "HR"'),
        (step("prompt_template: x, max_retries: -1"), "3: agents[0].max_retries: must be"),
        (step("prompt_template: x, timeout: 0"), "3: agents[0].timeout: must be greater than 0"),
        (step("prompt_template: x, cost_limit: 0"), "3: agents[0].cost_limit: must be greater"),
        ("name: t\nagents: []", '2: agents: "agents" must be a list of steps: one step at least'),
        ("name: t", '1: "agents" is missing: one step at least'),
        (step("set: '1'", "max_parallel_agents: 0\n"), "2: max_parallel_agents: must be greater"),
        (step("set: '1'", "cost_budget: 0\n"), "2: cost_budget: must be greater than 0, not 0"),
        (step("set: '1'", "timeout: 0\n"), "2: timeout: must be greater than 0, not 0"),
    ],
)
def test_D4_values_out_of_range_name_the_field(text: str, problem: str) -> None:
    (found,) = said(text)
    assert found.startswith(f"t.yaml:{problem}")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            agents("name: a, set: '1', dependencies: [z]"),
            '3: agents[0].dependencies: no step named "z".',
        ),
        (
            agents("name: a, set: '1', dependencies: [b]", "name: b, set: '1', dependencies: [a]"),
            "3: agents[0].dependencies: steps wait in a circle: a → b → a",
        ),
        (
            agents("name: a, set: '1', dependencies: [a]"),
            '3: agents[0].dependencies: "a" cannot wait for itself',
        ),
        (
            agents("name: a, set: '1'", "name: a, set: '2'"),
            '4: agents[1].name: there is already a step "a" (agents[0])',
        ),
        (step("set: '1', priority: 0"), "3: agents[0].priority: must be greater than or equal"),
        (step("set: '1', priority: 11"), "3: agents[0].priority: must be less than or equal"),
    ],
)
def test_D5_graphs_that_cannot_run(text: str, problem: str) -> None:
    (found,) = said(text)
    assert found.startswith(f"t.yaml:{problem}")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            step("promt_template: x"),
            '3: agents[0].promt_template: unknown key. Did you mean "prompt_template"?',
        ),
        (step("description: x"), "3: agents[0]: does nothing: a step has exactly one of prompt_"),
        (step("set: '1', gate: '2'"), "3: agents[0]: has set and gate: a step has exactly one of"),
        (
            step("prompt_template: x, prompt_file: y"),
            "3: agents[0]: has prompt_template and prompt_file: a step has exactly one of",
        ),
        (
            step("set: '1', persona: x"),
            '3: agents[0].persona: "persona" does not apply to a step with set. Accepted: name, ',
        ),
        (
            step("prompt_template: x, llm_config: {modle: x}"),
            '3: agents[0].llm_config.modle: unknown key. Did you mean "model"?',
        ),
        (
            step("set: '1'", "cost_budgt: 3\n"),
            '2: cost_budgt: unknown key. Did you mean "cost_budget"?',
        ),
        (
            step("set: '1'", "defaults: {retries: 3}\n"),
            '2: defaults.retries: unknown key. Did you mean "max_retries"?',
        ),
        (
            step("prompt_template: x, tools: [{name: a}, {nam: b}]"),
            "3: agents[0].tools[1]: a tool needs a name",
        ),
        (
            step("prompt_template: x, tools: [{name: a}, {name: a}]"),
            '3: agents[0].tools: there are two tools "a"',
        ),
        (
            step("prompt_template: x, output: jsn"),
            '3: agents[0].output: must be "text" or "json", not "jsn". Did you mean "json"?',
        ),
        (
            step("prompt_template: x, output: {fields: {a: int}}"),
            '3: agents[0].output.fields.a: must be "string", "integer", "number", "boolean",',
        ),
        (
            step("prompt_template: x, output: {repairs: 2}"),
            "3: agents[0].output: give either fields or schema",
        ),
        (
            step("prompt_template: x, output: {schema: {type: objekt}}"),
            "3: agents[0].output.schema: is no JSON Schema: type: 'objekt'",
        ),
        (
            step("prompt_template: x, fallback: [{persona: a, model: b}]"),
            "3: agents[0].fallback[0]: give either persona, or provider and model",
        ),
        (step("prompt_template: ' '"), "3: agents[0].prompt_template: must not be empty"),
        (step("prompt_template: x, timeout: '5'"), "3: agents[0].timeout: must be a number, not"),
        (step("prompt_template: x, max_retries: 1.0"), "3: agents[0].max_retries: must be a whole"),
        (step("prompt_template: x, cost_limit: '1'"), "3: agents[0].cost_limit: must be a number"),
        (
            step("set: '1'", "allow_partial_completion: yes\n"),
            '2: allow_partial_completion: must be true or false, not "yes"',
        ),
        (step("set: '1'", "inputs: {i: {type: strin}}\n"), '2: inputs.i.type: must be "text"'),
        (
            step("set: '1'", "inputs: {a b: {type: string}}\n"),
            '2: inputs.a b: "a b" is no name: use letters',
        ),
        (
            step("set: '1'", "inputs: {n: {type: number, default: x}}\n"),
            "2: inputs.n.default: must be a number",
        ),
        (
            step("set: '1'", "inputs: {n: {enum: [a, b], default: c}}\n"),
            '2: inputs.n.default: must be one of "a", "b".',
        ),
        (
            step("set: '1'", "inputs: {n: {type: number, enum: [1, b]}}\n"),
            "2: inputs.n.enum[1]: must be a number, as the type is number",
        ),
        (
            step("set: '1'", "inputs: {f: {type: file, default: a.txt}}\n"),
            "2: inputs.f.default: a file has no default but null",
        ),
        (
            step("approval: {ask: x, on_timeout: go, timeout: 1}"),
            '3: agents[0].approval: on_timeout "go" is none of the choices',
        ),
        (
            step("approval: {ask: x, on_timeout: approve}"),
            "3: agents[0].approval: on_timeout needs a timeout",
        ),
        (step("end: {status: done}"), '3: agents[0].end.status: must be "completed", "failed"'),
        (step("set: '1', dependencies: a"), '3: agents[0].dependencies: must be a list, not "a"'),
        (step("set: null"), "3: agents[0].set: must be a text, but nothing stands there"),
        ("name: t\nagents: [3]", "2: agents[0]: a step is a mapping with a name and what it does"),
        ("- a\n", "1: a team is a mapping with name and agents"),
        ("", "1: a team is a mapping with name and agents"),
        ("agents: [{name: a, set: '1'}]", '1: "name" is missing'),
        (agents("set: '1'"), '3: agents[0]: "name" is missing'),
        (agents("name: a-b, set: '1'"), '3: agents[0].name: "a-b" is no name: use letters'),
        (agents("name: in, set: '1'"), '3: agents[0].name: "in" is a word of the condition'),
        (agents("name: 'true', set: '1'"), '3: agents[0].name: "true" is a word of the cond'),
        (agents(f"name: {'a' * 65}, set: '1'"), "3: agents[0].name: "),
    ],
)
def test_a_wrong_value_has_its_line_and_says_what_is_accepted(text: str, problem: str) -> None:
    (found,) = said(text)
    assert found.startswith(f"t.yaml:{problem}")


@pytest.mark.usefixtures("folder")
def test_all_problems_come_at_once_sorted_by_line() -> None:
    found = said(
        """\
        name: t
        timeout: 0
        inputs: {side: {type: strin}}
        agents:
          - name: a
            timeout: -1
            prompt_template: "{side}"
          - name: b
            dependencies:
              - a
              - c
            prompt_template: "{a} {sid}"
            max_retries: ${NOT_SET}
        outputs: {x: "{nothing_like_it}"}
        """
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["t.yaml:2", "timeout"],
        ["t.yaml:3", "inputs.side.type"],
        ["t.yaml:6", "agents[0].timeout"],
        ["t.yaml:11", "agents[1].dependencies"],
        ["t.yaml:12", "agents[1].prompt_template"],
        ["t.yaml:13", "agents[1].max_retries"],
        ["t.yaml:14", "outputs.x"],
    ]


@pytest.mark.usefixtures("folder")
def test_a_broken_step_is_still_a_name_for_the_others() -> None:
    found = said(
        agents(
            "name: a, set: '1', priority: 99", "name: b, dependencies: [a], set: agents.a.output"
        )
    )
    assert len(found) == 1
    assert "priority" in found[0]


@pytest.mark.usefixtures("folder")
def test_a_step_larger_than_a_page_is_refused_at_its_line() -> None:
    bodies = [f"name: s{n}, set: '1'" for n in range(3000)]
    names = ", ".join(f"s{n}" for n in range(3000))
    (found,) = said(agents(*bodies, f"name: join, dependencies: [{names}], set: '1'"))
    assert found.startswith("t.yaml:3003: agents[3000]: this step needs ")


@pytest.mark.usefixtures("folder")
def test_a_template_in_a_block_text_has_the_line_within() -> None:
    found = said(
        """\
        name: t
        agents:
          - name: a
            prompt_template: |

              one
              {two}
        """
    )
    assert [line.split(":")[1] for line in found] == ["7"]
