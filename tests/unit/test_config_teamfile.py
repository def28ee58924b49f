"""The team file: what it accepts, what it becomes, and what it says when it is wrong."""

from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import pytest

from config.teamfile import NOT_YET, LoadedTeam, TeamFileError, load_team
from contracts.teams import (
    AgentStep,
    ApprovalStep,
    EndStep,
    ForEachSpec,
    GateStep,
    ModelStep,
    RepeatSpec,
    SetStep,
    TeamStep,
    WaitStep,
)

pytestmark = pytest.mark.unit

CONTRACT_REVIEW = Path(__file__).parent / "data" / "contract-review.yaml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str, allow: frozenset[str] = NOT_YET, **env: str) -> LoadedTeam:
    Path("t.yaml").write_text(dedent(text))
    return load_team(Path("t.yaml"), env, allow)


def said(text: str, allow: frozenset[str] = NOT_YET, **env: str) -> list[str]:
    with pytest.raises(TeamFileError) as error:
        load(text, allow, **env)
    assert str(error.value).splitlines() == [str(p) for p in error.value.problems]
    return str(error.value).splitlines()


def step(body: str, before: str = "") -> str:
    """Return a team of one step `s`, whose body is given in flow style."""
    return f"name: t\n{before}agents:\n  - {{name: s, {body}}}\n"


def agents(*bodies: str) -> str:
    return "name: t\nagents:\n" + "".join(f"  - {{{body}}}\n" for body in bodies)


def test_the_specification_s_example_loads() -> None:
    team = load_team(CONTRACT_REVIEW, {}, NOT_YET).team
    clauses, risk, severe, sign_off, memo, judge, good_enough = team.agents
    assert (team.cost_budget, team.on_budget, team.timeout) == (Decimal("2.5"), "pause", 1800)
    assert not team.inputs["side"].required
    assert isinstance(clauses, ModelStep)
    assert (clauses.module, clauses.persona, clauses.max_retries, clauses.timeout) == (
        "Compliance",
        "architect",
        2,
        120,
    )
    assert (clauses.output.kind, clauses.output.repairs) == ("json", 2)
    assert isinstance(risk, ModelStep)
    assert risk.persona == "reviewer"
    assert risk.for_each == ForEachSpec(
        item="clause", in_="agents.clauses.output", max_parallel=4, min_success=0.8
    )
    assert [entry.model_dump(exclude_none=True) for entry in risk.fallback] == [
        {"provider": "anthropic", "model": "claude-sonnet-4-5"},
        {"persona": "reviewer_openai"},
    ]
    assert risk.cost_limit == Decimal("0.05")
    assert isinstance(severe, SetStep)
    assert isinstance(sign_off, ApprovalStep)
    assert (sign_off.choices, sign_off.on_timeout) == (("go", "stop"), "stop")
    assert isinstance(memo, ModelStep)
    assert (memo.dependencies, memo.optional_dependencies) == (("severe",), ("sign_off",))
    assert memo.repeat == RepeatSpec(
        until="agents.judge.output.score >= 8", max=3, with_=("judge",)
    )
    assert memo.priority == 9
    assert isinstance(judge, ModelStep)
    assert judge.output.schema_ == {
        "type": "object",
        "properties": {"score": {"type": "number"}, "critique": {"type": "string"}},
        "required": ["score", "critique"],
        "additionalProperties": False,
    }
    assert isinstance(good_enough, GateStep)
    assert team.outputs == {"memo": "{memo}", "risks": "{risk}"}


def test_what_runs_cannot_do_yet_is_refused_once_each() -> None:
    with pytest.raises(TeamFileError) as error:
        load_team(CONTRACT_REVIEW, {})
    assert [problem.path for problem in error.value.problems] == [
        "agents[1].for_each",
        "agents[3].approval",
        "agents[4].repeat",
    ]
    assert {problem.message for problem in error.value.problems} == {
        "not supported yet by this version"
    }


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "body",
    [
        "team: other.yaml",
        "agent: agent.yaml",
        "wait: 3600",
        "approval: {ask: Go on?}",
        "set: '1', catch: other",
    ],
)
def test_each_kind_that_is_refused_loads_when_allowed(body: str) -> None:
    text = agents(f"name: s, {body}", "name: other, set: '1'")
    key = next(key for key in NOT_YET if f"{key}:" in body)
    assert load(text).team.agents[0].name == "s"
    assert said(text, frozenset()) == [
        f"t.yaml:3: agents[0].{key}: not supported yet by this version"
    ]


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
            "3: agents[0].dependencies: steps wait in a circle: a -> b -> a",
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
            '3: agents[0].promt_template: unknown key. Did you mean "prompt_template"? Accepted:',
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
            '3: agents[0].llm_config.modle: unknown key. Did you mean "model"? Accepted: model, ',
        ),
        (
            step("set: '1'", "cost_budgt: 3\n"),
            '2: cost_budgt: unknown key. Did you mean "cost_budget"? Accepted: name, description, ',
        ),
        (
            step("set: '1'", "defaults: {retries: 3}\n"),
            '2: defaults.retries: unknown key. Did you mean "max_retries"? Accepted: module, ',
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
def test_defaults_go_under_each_step_that_has_the_key() -> None:
    team = load(
        """\
        name: t
        defaults: {timeout: 7, priority: 2, llm_config: {model: m, seed: 1}, output: json}
        agents:
          - {name: a, prompt_template: x}
          - {name: b, prompt_template: x, timeout: 8, llm_config: {seed: 2}, output: text}
          - {name: c, set: "1"}
          - {name: d, approval: {ask: x}}
        """
    ).team
    a, b, c, d = team.agents
    assert isinstance(a, ModelStep)
    assert isinstance(b, ModelStep)
    assert isinstance(d, ApprovalStep)
    assert (a.timeout, a.llm_config.model, a.llm_config.seed, a.output.kind) == (7, "m", 1, "json")
    assert (b.timeout, b.llm_config.model, b.llm_config.seed, b.output.kind) == (8, "m", 2, "text")
    assert c.priority == 2
    assert d.timeout is None


@pytest.mark.usefixtures("folder")
def test_a_wrong_default_is_reported_once() -> None:
    found = said(
        "name: t\ndefaults: {timeout: 0}\nagents:\n"
        "  - {name: a, prompt_template: x}\n  - {name: b, prompt_template: x}\n"
    )
    assert found == ["t.yaml:2: defaults.timeout: must be greater than 0, not 0"]


@pytest.mark.usefixtures("folder")
def test_D3_a_step_and_a_team_have_the_seed_s_defaults() -> None:
    team = load(step("prompt_template: x")).team
    (only,) = team.agents
    assert isinstance(only, ModelStep)
    assert only == ModelStep(name="s", prompt_template="x")
    assert (only.max_retries, only.timeout, only.cost_limit, only.priority) == (3, 300, 1, 5)
    assert (team.max_parallel_agents, team.cost_budget, team.timeout) == (10, 100, 3600)
    assert team.allow_partial_completion


@pytest.mark.usefixtures("folder")
def test_every_kind_of_step() -> None:
    team = load(
        """\
        name: t
        inputs: {x: {}}
        agents:
          - {name: a, set: "1"}
          - {name: b, gate: "true", dependencies: [a]}
          - {name: c, wait: 2.5}
          - {name: d, end: {status: failed, because: no {braces}}}
          - {name: e, team: other.yaml, inputs: {y: "{x}", n: 3}, cost_limit: 0.2}
          - {name: f, agent: agent.yaml}
          - {name: g, end: {}}
        """.replace("no {braces}", '"no {braces}"')
    ).team
    assert team.agents == (
        SetStep(name="a", expression="1"),
        GateStep(name="b", expression="true", dependencies=("a",)),
        WaitStep(name="c", seconds=2.5),
        EndStep(name="d", status="failed", because="no {braces}"),
        TeamStep(
            name="e", file="other.yaml", inputs={"y": "{x}", "n": 3}, cost_limit=Decimal("0.2")
        ),
        AgentStep(name="f", file="agent.yaml"),
        EndStep(name="g"),
    )


@pytest.mark.usefixtures("folder")
def test_output_has_five_spellings() -> None:
    def output(spelling: str) -> tuple[str, object, int]:
        (only,) = load(step(f"prompt_template: x, output: {spelling}")).team.agents
        assert isinstance(only, ModelStep)
        return only.output.kind, only.output.schema_, only.output.repairs

    assert output("text") == ("text", None, 1)
    assert output("json") == ("json", None, 1)
    assert output("{schema: {type: array}, repairs: 0}") == ("json", {"type": "array"}, 0)
    assert output("{fields: {a: integer, b: {type: string, minLength: 1}}, repairs: 3}") == (
        "json",
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "string", "minLength": 1}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
        3,
    )


@pytest.mark.usefixtures("folder")
def test_money_is_exact() -> None:
    team = load(step("prompt_template: x, cost_limit: 0.1", "cost_budget: 2.30\n")).team
    (only,) = team.agents
    assert isinstance(only, ModelStep)
    assert (only.cost_limit, team.cost_budget) == (Decimal("0.1"), Decimal("2.3"))


@pytest.mark.usefixtures("folder")
def test_a_budget_stands_in_only_where_the_file_has_none() -> None:
    Path("a.yaml").write_text(step("set: '1'"))
    Path("b.yaml").write_text(step("set: '1'", "cost_budget: 3\n"))
    assert load_team(Path("a.yaml"), {}, cost_budget=Decimal("7.5")).team.cost_budget == Decimal(
        "7.5"
    )
    assert load_team(Path("b.yaml"), {}, cost_budget=Decimal("7.5")).team.cost_budget == 3


@pytest.mark.usefixtures("folder")
def test_variables_are_filled_in_and_secrets_are_not() -> None:
    text = step('prompt_template: "${P:-x}", max_retries: "${N}", llm_config: {model: "${M}"}')
    (found,) = said(text, N="4", M="m")
    assert found == 't.yaml:3: agents[0].max_retries: must be a whole number, not "4"'
    text = text.replace('"${N}"', "$N").replace("$N", "${N}")
    (problem,) = said(step('prompt_template: "${OPENAI_API_KEY}"'), OPENAI_API_KEY="k-123")
    assert "looks like a secret" in problem
    assert "k-123" not in problem


@pytest.mark.usefixtures("folder")
def test_unused_inputs_are_noted() -> None:
    loaded = load(
        step(
            'prompt_template: "{a}", when: inputs.b > 1',
            "inputs: {a: {}, b: {type: number}, c: {}, d: {}}\n",
        )
        + "outputs: {x: '{d}'}\n"
    )
    assert loaded.notes == ('input "c" is never used',)
    assert loaded.lines["agents", 0, "when"] == 4


def test_files_that_cannot_be_read_are_team_file_errors(folder: Path) -> None:
    with pytest.raises(TeamFileError, match=r"^none\.yaml: no such file$"):
        load_team(Path("none.yaml"), {})
    (folder / "bad.yaml").write_text("a: [")
    with pytest.raises(TeamFileError, match=r"^bad\.yaml:\d: not YAML: "):
        load_team(Path("bad.yaml"), {})


# prompt files


def with_prompt(folder: Path, prompt: str, more: str = "") -> str:
    (folder / "prompts").mkdir(exist_ok=True)
    (folder / "prompts" / "p.md").write_text(prompt)
    return step(f"prompt_file: prompts/p.md{more}", "inputs: {x: {}}\n")


def test_a_prompt_file_becomes_a_strict_template(folder: Path) -> None:
    (only,) = load(with_prompt(folder, 'A {x} and {"k": {y}} {}\n')).team.agents
    assert isinstance(only, ModelStep)
    assert only.prompt_template == 'A {x} and {{"k": {{y}}}} {{}}\n'


def test_a_prompt_file_s_mistake_has_the_prompt_s_line(folder: Path) -> None:
    text = with_prompt(folder, "first {\n{x}\n{s}\n") + "  - {name: o, set: '1'}\n"
    assert said(text) == ["prompts/p.md:3: agents[0].prompt_file: {s}: a step cannot read itself"]
    text = with_prompt(folder, "first\n{x.y.}\n")
    (found,) = said(text)
    assert found.startswith("prompts/p.md:2: agents[0].prompt_file: malformed reference {x.y.}")


def test_prompt_files_that_cannot_be_used(folder: Path) -> None:
    (folder / "inside").mkdir()
    (folder / "secret.md").write_text("x")
    (folder / "inside" / "latin.md").write_bytes(b"a\n\xe9")
    (folder / "inside" / "empty.md").write_text("\n")
    (folder / "inside" / "link.md").symlink_to(folder / "secret.md")
    team = folder / "inside" / "t.yaml"

    def refusal(name: str) -> str:
        team.write_text(step(f"prompt_file: {name}"))
        with pytest.raises(TeamFileError) as error:
            load_team(Path("inside/t.yaml"), {})
        return str(error.value)

    outside = "must lie in the team file's folder or below"
    at = "inside/t.yaml:3: agents[0].prompt_file:"
    assert refusal("../secret.md") == f"{at} ../secret.md: {outside}"
    assert refusal("link.md") == f"{at} link.md: {outside}"
    assert refusal(str(folder / "inside" / "empty.md")).endswith(outside)
    assert refusal("none.md") == f"{at} inside/none.md: no such file"
    assert refusal("empty.md") == f"{at} inside/empty.md: is empty"
    assert refusal("latin.md") == (
        "inside/latin.md:2: agents[0].prompt_file: is not UTF-8: bad byte at offset 2"
    )


# the whole


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
