"""No mistake in a file hides another, and none is told for another's sake."""

from pathlib import Path
from textwrap import dedent

import pytest

from client.cli.preparing import Wanted, make_plan, prepare
from client.planning import PlanError
from config.agentfile import AgentFileError, load_agent
from config.keys import unknown_key
from config.problems import ACCEPTED, ConfigError, Problem
from config.settings import Settings
from config.teammodel import LlmConfigFile, ModelStepFile, TeamFile
from contracts.teams import ModelStep
from providers.exceptions import RouterError
from providers.policy import load_policy
from rules.jsonanswers import read_json
from rules.nearest import suggestion
from tests.support.teamtexts import agents, load, said, step

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def places(text: str) -> list[str]:
    """Return line and path of each problem of a team file."""
    return [" ".join(line.removeprefix("t.yaml:").split(": ")[:2]) for line in said(text)]


def test_wrong_values_and_a_wrong_graph_are_told_at_once() -> None:
    found = said(
        """\
        name: t
        agents:
          - name: draft
            prompt_template: x
            timeout: -1
          - name: review
            dependencies: [drafts]
            prompt_template: "{draft} {nothing}"
            max_retries: many
          - name: a
            dependencies:
              - review
              - b
            set: "1"
            prority: 3
          - name: b
            dependencies: [a?]
            wait: soon
        """
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["t.yaml:5", "agents[0].timeout"],
        ["t.yaml:7", "agents[1].dependencies"],
        ["t.yaml:8", "agents[1].prompt_template"],
        ["t.yaml:9", "agents[1].max_retries"],
        ["t.yaml:13", "agents[2].dependencies"],
        ["t.yaml:15", "agents[2].prority"],
        ["t.yaml:18", "agents[3].wait"],
    ]
    assert found[1].endswith('no step named "drafts". Did you mean "draft"?')
    assert found[4].endswith("steps wait in a circle: a → b → a")
    assert found[5].endswith('unknown key. Did you mean "priority"?')


def test_misspelt_keys_of_the_graph_are_read_as_they_were_meant() -> None:
    found = said(
        """\
        name: t
        steps:
          - nmae: draft
            prompt: "{wrong}"
          - id: review
            depends_on:
              - drafts
            prompt_template: "{draft}"
        output: {memo: "{reviw}"}
        """
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["t.yaml:2", "steps"],
        ["t.yaml:3", "agents[0].nmae"],
        ["t.yaml:4", "agents[0].prompt"],
        ["t.yaml:4", "agents[0].prompt_template"],
        ["t.yaml:5", "agents[1].id"],
        ["t.yaml:6", "agents[1].depends_on"],
        ["t.yaml:7", "agents[1].dependencies"],
        ["t.yaml:9", "output"],
        ["t.yaml:9", "outputs.memo"],
    ]
    assert found[0].endswith('unknown key. Did you mean "agents"?')


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # what an output is cannot be known, so neither its fields
        (
            agents("name: a, prompt_template: x, output: {feilds: {n: integer}}", "name: b, "
            "dependencies: [a], prompt_template: '{a.n}', when: 'agents.a.output.n > 1'"),
            ["3 agents[0].output.feilds"],
        ),
        # nor the name of an item
        (
            agents("name: a, set: '[1]'", "name: b, dependencies: [a], for_each: {item: x, "
            "in: agents.a.output, max_parallel: 0}, prompt_template: '{x} {y}'"),
            ["4 agents[1].for_each.max_parallel"],
        ),
        # nor which rounds there are
        (
            agents("name: a, prompt_template: '{b?}', repeat: {until: 'true', with: [b]}",
            "name: b, dependencies: [a], prompt_template: '{a}'"),
            ["3 agents[0].repeat"],
        ),
        # nor what a step waits for
        (
            agents("name: a, set: '1'", "name: b, dependencies: a, prompt_template: '{a}'"),
            ["4 agents[1].dependencies"],
        ),
        # what was probably meant is taken to be waited for, and what comes before it
        (
            agents("name: a, set: '1'", "name: long, dependencies: [a], set: '1'",
            "name: c, dependencies: [lonng], prompt_template: '{a} {long}'"),
            ["5 agents[2].dependencies"],
        ),
        # a step that takes care of another's failure may read it
        (
            agents("name: a, set: '1', catch: recver", "name: recover, prompt_template: '{a?}'"),
            ["3 agents[0].catch"],
        ),
        (
            agents("name: a, set: '1', catch: 3", "name: recover, prompt_template: '{a?}'"),
            ["3 agents[0].catch"],
        ),
    ],
)  # fmt: skip
def test_what_rests_on_something_unread_is_not_judged(text: str, wanted: list[str]) -> None:
    assert places(text) == wanted


def test_a_step_without_a_kind_still_has_its_place_in_the_graph() -> None:
    text = agents(
        "name: a, dependencies: [zzz], priority: 11, persna: x",
        "name: b, set: '1', gate: '1', when: 'agents.c.output'",
    )
    assert places(text) == [
        "3 agents[0]",
        "3 agents[0].dependencies",
        "3 agents[0].persna",
        "3 agents[0].priority",
        "4 agents[1]",
        "4 agents[1].when",
    ]


def test_of_dependencies_only_the_wrong_one_is_left_out() -> None:
    text = agents(
        "name: a, dependencies: [c, 'x y'], set: '1'",
        "name: b, dependencies: [a], set: '1'",
        "name: c, dependencies: [a], set: '1'",
    )
    assert places(text) == ["3 agents[0].dependencies", "3 agents[0].dependencies[1]"]
    assert "a → c → a" in said(text)[0]


def test_a_circle_has_the_line_of_one_of_its_steps() -> None:
    found = said(
        """\
        name: t
        agents:
          - name: a
            set: "1"
            dependencies:
              - other
              - b
          - {name: other, set: "1"}
          - {name: b, set: "1", dependencies: [a]}
        """
    )
    assert found == ["t.yaml:7: agents[0].dependencies: steps wait in a circle: a → b → a"]
    caught = agents("name: a, dependencies: [h], set: '1', catch: h", "name: h, set: '1'")
    assert said(caught)[0].startswith("t.yaml:3: agents[0].dependencies: steps wait in a circle")


def test_a_key_that_belongs_elsewhere_is_sent_there() -> None:
    (found,) = said(step("prompt_template: x, model: gpt-4o"))
    assert found == 't.yaml:3: agents[0].model: unknown key. It belongs under "llm_config".'
    (found,) = said(step("prompt_template: x, provider: openai"))
    assert "The persona chooses the provider" in found
    (found,) = said(step("set: '1'", "persona: architect\n"))
    assert found == 't.yaml:2: persona: unknown key. It belongs under "defaults".'
    assert "inputs" not in unknown_key("type", ["name"], TeamFile)
    assert "llm_config" not in unknown_key("model", ["model"], LlmConfigFile)
    assert unknown_key("Persona", ["persona"], ModelStepFile).endswith('mean "persona"?')


def test_what_is_accepted_is_listed_once_and_only_where_nothing_is_near() -> None:
    first, second, third = said(
        agents("name: a, set: '1', qqq: 1", "name: b, set: '1', xxxx: 2, prioriti: 3")
    )
    assert first.endswith("agents[0].qqq: unknown key. Accepted: name, description,"
    " dependencies, when, priority, catch, set")  # fmt: skip
    assert second.endswith('agents[1].prioriti: unknown key. Did you mean "priority"?')
    assert third.endswith("agents[1].xxxx: unknown key. Accepted: as in line 3")


def test_lists_of_two_files_are_both_told() -> None:
    message = f"unknown key.{ACCEPTED}a, b"
    problems = [Problem(file, 1, "", message) for file in ("x.yaml", "y.yaml")]
    assert [p.message for p in ConfigError(problems).problems] == [message, message]


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("Draft", ["draft", "b"], ' Did you mean "draft"?'),
        ("budget", ["on_budget", "cost_budget"], ' Did you mean "on_budget" or "cost_budget"?'),
        ("budgt", ["on_budget", "budget"], ' Did you mean "budget"?'),
        ("file", ["a_file", "b_file", "c_file", "d_file"], ' Did you mean "d_file"?'),
        ("zzz", ["a", "b"], ""),
        ("", ["a"], ""),
        ("a", [], ""),
    ],
)
def test_the_word_that_was_meant(word: str, known: list[str], hint: str) -> None:
    assert suggestion(word, known) == hint


def test_an_agent_file_is_read_as_far_as_it_can_be() -> None:
    text = """\
        name: clerk
        modle: {provider: simulated, name: x, temprature: 1}
        instruction: {file: nope.md}
        tool:
          - {name: t, type: http, ur: "https://x.example"}
        test_cases:
          - {name: a, inputt: x}
          - {name: b, input: x, metrics: [{metric: regex, value: "("}]}
        temperature: 0.3
        """
    Path("a.yaml").write_text(dedent(text))
    with pytest.raises(AgentFileError) as error:
        load_agent(Path("a.yaml"), {}, user=Path("none.yaml"))
    assert [str(problem).removeprefix("a.yaml:") for problem in error.value.problems] == [
        '2: model.temprature: unknown key. Did you mean "temperature"?',
        '2: modle: unknown key. Did you mean "model"?',
        '3: instruction: unknown key. Did you mean "instructions"?',
        "3: instructions.file: nope.md: no such file",
        '4: tool: unknown key. Did you mean "tools"?',
        '5: tools[0].ur: t: unknown key. Did you mean "url"?',
        '7: test_cases[0].inputt: unknown key. Did you mean "input"?',
        "8: test_cases[1].metrics[0].value: '(' is no regular expression: missing ) at position 1",
        '9: temperature: unknown key. It belongs under "model".',
    ]


def test_a_policy_tells_all_that_is_wrong_with_it() -> None:
    text = """\
        personas:
          one: {provider_preferences: [a, simulatd]}
          two: {provider_preferences: [a], models: {b: [m]}}
        providers:
          a: {capabilities: [streaming]}
        """
    Path("p.yaml").write_text(dedent(text))
    with pytest.raises(RouterError) as error:
        load_policy("p.yaml")
    first, second = str(error.value).splitlines()
    assert first.startswith("p.yaml:2: personas.one.provider_preferences: persona 'one' names")
    assert second.startswith("p.yaml:3: personas.two.models: persona 'two' names provider 'b'")

    text = """\
        personas:
          one: {require: []}
          two: {models: {a: []}, zzz: 1}
        provider: {}
        """
    Path("p.yaml").write_text(dedent(text))
    with pytest.raises(RouterError) as error:
        load_policy("p.yaml")
    first, second, third = str(error.value).splitlines()
    assert first == 'p.yaml:2: personas.one.require: unknown key. Did you mean "requires"?'
    assert second.startswith("p.yaml:3: personas.two.zzz: unknown key. Accepted: requires, ")
    assert third == 'p.yaml:4: provider: unknown key. Did you mean "providers"?'


def test_personas_that_are_not_defined_have_the_lines_of_their_steps() -> None:
    text = """\
        name: t
        defaults: {persona: revewer}
        agents:
          - name: a
            prompt_template: x
            persona: architct
          - name: b
            prompt_template: x
        """
    Path("t.yaml").write_text(dedent(text))
    settings = Settings(home=Path())
    prepared = prepare(settings, Wanted(Path("t.yaml"), provider="simulated"))
    with pytest.raises(PlanError) as error:
        make_plan(settings, prepared)
    first, second = error.value.problems
    assert first.startswith("t.yaml:6: agent a: persona 'architct' is not defined")
    assert second.startswith("t.yaml:7: agent b: persona 'revewer' is not defined")


@pytest.mark.parametrize(
    ("schema", "wrong"),
    [
        ('{$ref: "#/$defs/tree"}', "refers to #/$defs/tree, which is not in it"),
        (
            '{type: object, properties: {a: {items: {$ref: "https://example.com/a.json"}}}}',
            "refers to https://example.com/a.json, which is not in it",
        ),
        (
            '{$ref: "#/$defs/a", $defs: {a: {items: {$ref: "#/$defs/b"}}}}',
            "refers to #/$defs/b, which is not in it",
        ),
        (
            '{$ref: "#/$defs/a", $defs: {a: {allOf: [{$ref: "#/$defs/a"}]}}}',
            "refers to itself for the same value: it would be judged without end",
        ),
    ],
)
def test_a_schema_that_no_answer_could_be_held_against_is_told_before_a_call(
    schema: str, wrong: str
) -> None:
    found = said(
        f"""\
        name: t
        agents:
          - name: a
            prompt_template: x
            output: {{schema: {schema}}}
        """
    )
    assert found == [f"t.yaml:5: agents[0].output: the schema {wrong}"]


@pytest.mark.parametrize(
    "output",
    [
        '{schema: {$ref: "#/$defs/n", $defs: {n: {items: {$ref: "#/$defs/n"}}}}}',
        '{schema: {$ref: "#/definitions/n", definitions: {n: {not: {const: {$ref: gone}}}}}}',
        '{schema: {properties: {$ref: {type: string}, a: {$ref: "#leaf"}, b: {$anchor: leaf}}}}',
        '{schema: {$ref: "https://json-schema.org/draft/2020-12/schema"}}',
        '{schema: {$id: "https://example.com/a", properties: {a: {$ref: "a"}}}}',
        '{fields: {a: {$ref: "#/properties/a/$defs/n", $defs: {n: {type: integer}}}}}',
    ],
)
def test_references_within_a_schema_are_sound(output: str) -> None:
    (agent,) = load(step(f"prompt_template: x, output: {output}")).team.agents
    assert isinstance(agent, ModelStep)
    assert read_json('{"a": 1}', agent.output.schema_) == ({"a": 1}, ())


def test_what_a_schema_refers_to_is_never_fetched() -> None:
    schema = {"$ref": "http://127.0.0.1:9/a.json"}
    wrong = "the schema refers to http://127.0.0.1:9/a.json, which is not in it"
    assert read_json("1", schema) == (1, (wrong,))
