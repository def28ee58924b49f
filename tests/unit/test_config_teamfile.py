"""The team file: what it accepts, what it becomes, and what it says when it is wrong."""

from decimal import Decimal
from pathlib import Path

import pytest

from config.teamfile import TeamFileError, load_team
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
from tests.support.teamtexts import load, said, step

pytestmark = pytest.mark.unit

CONTRACT_REVIEW = Path(__file__).parent / "data" / "contract-review.yaml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_specification_s_example_loads() -> None:
    team = load_team(CONTRACT_REVIEW, {}).team
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


def test_the_specified_example_loads_as_it_is() -> None:
    assert load_team(CONTRACT_REVIEW, {}).team.name == "contract-review"


@pytest.mark.usefixtures("folder")
def test_an_agent_is_told_something_as_a_model_is() -> None:
    team = load(
        """\
        name: t
        inputs: {names: {type: list}}
        defaults: {cost_limit: 0.3, timeout: 9}
        agents:
          - name: who
            agent: agent.yaml
            prompt_template: "Find {name}"
            for_each: {item: name, in: inputs.names}
          - {name: more, agent: agent.yaml, prompt_template: "On {who}", dependencies: [who]}
        """
    ).team
    who, more = team.agents
    assert isinstance(who, AgentStep)
    assert isinstance(more, AgentStep)
    assert (who.file, who.prompt_template, who.cost_limit) == (
        "agent.yaml",
        "Find {name}",
        Decimal("0.3"),
    )
    assert who.for_each is not None
    assert who.for_each.item == "name"


@pytest.mark.usefixtures("folder")
def test_what_an_agent_is_told_is_checked() -> None:
    assert said(step("agent: agent.yaml")) == [
        "t.yaml:3: agents[0]: give either prompt_template or prompt_file: what the agent is told"
    ]
    assert "unknown name" in said(step('agent: agent.yaml, prompt_template: "{nobody}"'))[0]
    assert "agent and set" in said(step('agent: agent.yaml, set: "1", prompt_template: x'))[0]
    (line,) = said(step("agent: agent.yaml, prompt_template: x, persona: p"))
    assert '"persona" does not apply to a step with agent' in line


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
          - {name: f, agent: agent.yaml, prompt_template: go}
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
        AgentStep(name="f", file="agent.yaml", prompt_template="go"),
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
