"""The agent file: what it means, what is wrong with it and where, and who wins over whom."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from config import agentlayers, schemas_gen
from config.agentfile import AgentFileError, LoadedAgent, load_agent
from config.yamlfile import load_yaml
from contracts.agents import AgentSpec
from contracts.tools import AgentTool, BuiltinTool, FunctionTool, HttpTool, McpTool, PromptTool

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
NOWHERE = Path("/nonexistent/callboard.yaml")

Load = Callable[..., LoadedAgent]
Said = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    (tmp_path / "tools.py").write_text("def find(city: str) -> str:\n    return city\n")

    def _load(text: str, **more: Any) -> LoadedAgent:
        path = tmp_path / "a.yaml"
        path.write_text(text)
        return load_agent(path, **{"env": {}, "project": NOWHERE, "user": NOWHERE, **more})

    return _load


@pytest.fixture
def said(load: Load, tmp_path: Path) -> Said:
    def _said(text: str, **more: Any) -> list[str]:
        with pytest.raises(AgentFileError) as caught:
            load(text, **more)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return _said


HEAD = "name: a\nmodel: {provider: openai, name: gpt-4o-mini}\ninstructions: Help.\n"


def with_tool(tool: str) -> str:
    return f"{HEAD}tools:\n  - {{{tool}}}\n"


def test_a_whole_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "system.md").write_text("Be {kind}.\n")
    agent = load(
        """\
        name: weather agent
        description: Knows the weather.
        author: Ada
        model: {persona: reviewer, temperature: 0.2, max_tokens: 500, top_p: 0.9,
                fallback: [{provider: anthropic, model: claude-sonnet-4-5}]}
        instructions: {file: system.md}
        response_format: {fields: {city: string}}
        tools:
          - {name: find, type: function, file: tools.py, function: find, secrets: [TOKEN]}
          - {name: fs, type: mcp, command: "npx -y 'a b'", args: [--x], effects: {ls: read}}
          - {name: web, type: mcp, url: "https://mcp.example.org", headers: {a: "Bearer {TOKEN}"}}
          - {name: sum, type: prompt, prompt: "Sum up: {text}", persona: writer}
          - {name: get, type: http, url: "https://api.example.org/o/{id}", query: {n: "{n?}"}}
          - {name: put, type: http, method: PUT, url: "https://api.example.org/o/{id}",
             body: {text: "{text}", n: "{n}"}, parameters: {id: string, text: string, n: integer}}
          - {name: read, type: builtin, builtin: read_file, root: ./data}
        execution: {max_turns: 4, turn_timeout: 30}
        budget: {session: 2.5, turn: 0.1}
        observability: {enabled: true}
        test_cases:
          - name: bonn
            input: [Hi, "Weather in ${CITY:-Bonn}?"]
            expected_tools: [find, {name: find, count: 1, arguments: {city: {fuzzy: bonn}}}]
            ground_truth: sunny
            metrics: [contains, {metric: judge, rubric: It names the city., threshold: 0.8}]
        """.replace("\n        ", "\n").removeprefix("        ")
    ).agent
    assert agent.name == "weather agent"
    assert (agent.model.persona, agent.model.params.temperature) == ("reviewer", 0.2)
    assert agent.instructions == "Be {kind}.\n"
    assert agent.response_format is not None
    find, fs, _web, summary, get, put, read = agent.tools
    assert isinstance(find, FunctionTool)
    assert find.file == str(tmp_path / "tools.py")
    assert (find.effect, find.approval, find.secrets) == ("unsafe", "never", ("TOKEN",))
    assert isinstance(fs, McpTool)
    assert fs.command == ("npx", "-y", "a b", "--x")
    assert isinstance(summary, PromptTool)
    assert summary.parameters is not None
    assert summary.parameters["required"] == ["text"]
    assert isinstance(get, HttpTool)
    assert get.parameters is not None
    assert (get.effect, get.parameters["required"]) == ("read", ["id"])
    assert isinstance(put, HttpTool)
    assert put.effect == "idempotent"
    assert isinstance(read, BuiltinTool)
    assert (read.effect, read.root) == ("read", str(tmp_path / "data"))
    assert agent.execution.max_turns == 4
    assert str(agent.budget.session) == "2.5"
    [case] = agent.test_cases
    assert case.turns == ("Hi", "Weather in Bonn?")
    assert case.expected_tools[1].arguments["city"].mode == "fuzzy"
    assert case.metrics[1].rubric == "It names the city."
    assert AgentSpec.model_validate_json(agent.model_dump_json()) == agent


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: a\nmodel: {provider: openai}\ninstructions: x", "a.yaml:2: model.name: is missing"),
        ("name: a\ninstructions: x", "a.yaml:1: model.name: is missing"),
        (
            "name: a\nmodel: {provider: o, name: m,\n temperature: 2.1}\ninstructions: x",
            "a.yaml:3: model.temperature: must be less than or equal to 2, not 2.1",
        ),
        (
            "name: a\nmodel: {persona: p}\ninstructions:\n  file: a.md\n  inline: x",
            "a.yaml:3: instructions: give either file or inline",
        ),
        (
            "name: a\nmodel: {persona: p}\ninstructions: ${NOBODY}",
            "a.yaml:3: instructions: the environment variable NOBODY is not set",
        ),
        (
            "name: a\nmodel: {persona: p}\ninstructions: x\ntool: []",
            "a.yaml:4: tool: unknown key. Did you mean \"tools\"?",
        ),
        (
            HEAD + "tools:\n" + "".join(
                f"  - {{name: t{n}, type: builtin, builtin: read_file, root: .}}\n"
                for n in range(51)
            ),
            "a.yaml:4: tools: has 51 tools: 50 at most",
        ),
    ],
)  # fmt: skip
def test_C27_each_mistake_names_its_field_and_line(said: Said, text: str, problem: str) -> None:
    found = said(text)
    assert len(found) == 1
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    ("tools", "problem"),
    [
        (
            "  - {name: f, type: function, file: tools.py, function: find}\n"
            "  - {name: f, type: function, file: tools.py, function: find}\n",
            'a.yaml:6: tools[1].name: there are two tools "f"',
        ),
        (
            "  - {name: f, type: function, file: tols.py, function: find}\n",
            "a.yaml:5: tools[0].file: f: tols.py: no such file",
        ),
        (
            "  - {name: f, type: function, file: tools.py, function: fnd}\n",
            'a.yaml:5: tools[0].function: f: tools.py has no function "fnd". Did you mean "find"?',
        ),
        (
            '  - {name: f, type: function, function: "tools:fnd"}\n',
            'a.yaml:5: tools[0].function: f: tools.py has no function "fnd". Did you mean "find"?',
        ),
    ],
)
def test_C18_tools_that_are_not_there_are_named(
    load: Load, said: Said, tools: str, problem: str
) -> None:
    assert said(f"{HEAD}tools:\n{tools}") == [problem]
    with pytest.raises(AgentFileError) as caught:
        load(f"{HEAD}tools:\n{tools}")
    assert caught.value.of_tools == caught.value.problems


@pytest.mark.parametrize(
    ("tool", "problem"),
    [
        ("name: f", '"type" is missing: one of function, mcp'),
        ("name: f, type: functoin", 'prompt, agent, http, builtin. Did you'),
        ("name: a b, type: http, url: 'http://x.org'", '"a b" is no name of a tool'),
        ("name: f, type: function, function: find", 'give function: "module:function", or file'),
        ("name: f, type: function, function: 'a b:c'", "is no function: write module:function"),
        ("name: f, type: function, file: ../x.py, function: g", "must lie in the agent file's"),
        ("name: f, type: mcp", "give either command or url"),
        ("name: f, type: mcp, url: 'ftp://x'", "must be a http or https URL"),
        ("name: f, type: mcp, command: c, headers: {a: b}", "headers are for a url"),
        ("name: f, type: http, url: 'http://{host}/x'", "never in its host"),
        ("name: f, type: http, url: 'http://u:p@x.org'", "must have no user and password"),
        ("name: f, type: http, url: 'http://x.org', allow: ['http://y']", "is no host"),
        ("name: f, type: builtin, builtin: read_file", "f: read_file needs a root"),
        ("name: f, type: builtin, builtin: fetch_url", "f: fetch_url needs allow"),
        ("name: f, type: builtin, builtin: rm, root: .", 'must be "read_file"'),
        ("name: f, type: prompt, prompt: 'x {a}', parameters: {b: string}", "unknown name in {a}"),
        ("name: f, type: prompt, prompt: x, schema: {type: array}", "must be of type: object"),
        ("name: f, type: prompt, prompt: x, secrets: ['sk-123']", "is no name of an environment"),
        ("name: f, type: prompt, prompt: x, effect: safe", 'must be "read", "idempotent" or'),
        ("name: f, type: prompt, prompt: x, timeout: 0", "must be greater than 0"),
        ("name: f, type: agent, agent: b.yaml", "f: b.yaml cannot be used"),
        ("name: f, type: agent, agent: a.yaml", "contain each other: a.yaml → a.yaml"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_tool(said: Said, tool: str, problem: str) -> None:
    found = said(with_tool(tool))
    assert problem in found[0]
    assert found[0].startswith("a.yaml:5: tools[0]")


def test_all_mistakes_are_told_at_once(said: Said) -> None:
    text = with_tool("name: f, type: mcp") + "colour: blue\nexecution: {max_turns: 0}\n"
    assert [entry.split(": ")[1] for entry in said(text)] == [
        "tools[0]",
        "colour",
        "execution.max_turns",
    ]


@pytest.mark.parametrize("text", ["", "- a", "name: [", "x", "\t"])
def test_what_is_no_agent_at_all(said: Said, text: str) -> None:
    assert said(text)


def test_a_secret_has_no_place_in_the_file(said: Said) -> None:
    found = said(HEAD + "author: ${MY_API_KEY}\n", env={"MY_API_KEY": "sk-1"})
    assert "looks like a secret" in found[0]
    assert "sk-1" not in found[0]


def test_functions_are_looked_for_without_running_anything(load: Load, tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom os import *\nraise SystemExit\n"
    )
    load(with_tool("name: f, type: function, file: tools.py, function: getcwd"))
    assert not (tmp_path / "ran").exists()


def test_agents_within_agents(load: Load, said: Said, tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(HEAD.replace("name: a", "name: b", 1))
    loaded = load(with_tool("name: help, type: agent, agent: b.yaml, description: Ask it."))
    [tool] = loaded.agent.tools
    assert isinstance(tool, AgentTool)
    assert tool.parameters is not None
    assert tool.parameters["required"] == ["message"]
    assert loaded.children["help"].agent.name == "b"
    (tmp_path / "b.yaml").write_text("name: b\ncolour: blue\n")
    found = said(with_tool("name: help, type: agent, agent: b.yaml"))
    assert found[0] == "a.yaml:5: tools[0].agent: help: b.yaml cannot be used"
    assert any(entry.startswith("b.yaml:2: colour: unknown key") for entry in found)


# who wins


def layer(path: Path, temperature: float) -> Path:
    path.write_text(f"agent: {{model: {{temperature: {temperature}}}}}\n")
    return path


ORDER = ["given", "file", "project", "user", "env", "default"]


@pytest.mark.parametrize(("upper", "lower"), list(itertools.pairwise(ORDER)))
def test_C28_each_layer_wins_over_the_next(
    load: Load, tmp_path: Path, upper: str, lower: str
) -> None:
    values = {name: round(0.1 * (n + 1), 1) for n, name in enumerate(ORDER[:-1])}
    there = {upper, lower}
    more: dict[str, Any] = {}
    if "given" in there:
        more["given"] = {"model.temperature": str(values["given"])}
    if "project" in there:
        more["project"] = layer(tmp_path / "project.yaml", values["project"])
    if "user" in there:
        more["user"] = layer(tmp_path / "user.yaml", values["user"])
    if "env" in there:
        more["env"] = {"CALLBOARD_AGENT_MODEL_TEMPERATURE": str(values["env"])}
    own = f", temperature: {values['file']}" if "file" in there else ""
    text = HEAD.replace("gpt-4o-mini}", f"gpt-4o-mini{own}}}")
    assert load(text, **more).agent.model.params.temperature == values[upper]
    if lower == "default":
        assert load(HEAD).agent.model.params.temperature is None


def test_who_answers_is_one_choice(load: Load, tmp_path: Path) -> None:
    project = tmp_path / "callboard.yaml"
    project.write_text("agent: {model: {persona: reviewer, max_tokens: 9}}\n")
    model = load(HEAD, project=project).agent.model
    assert (model.persona, model.provider, model.params.max_tokens) == (None, "openai", 9)
    model = load(HEAD, project=project, given={"model.persona": "writer"}).agent.model
    assert (model.persona, model.provider, model.params.model) == ("writer", None, None)
    assert load("name: a\ninstructions: x", project=project).agent.model.persona == "reviewer"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"given": {"model.temprature": 1}}, 'model.temprature: is no setting of agents. Did'),
        ({"given": {"model.temperature": 3}}, "model.temperature: must be less than or equal"),
        ({"env": {"CALLBOARD_AGENT_MODEL_TEMPERATURE": "3"}}, "must be less than or equal to 2"),
        ({"env": {"CALLBOARD_AGENT_MODEL_TEMPRATURE": "1"}}, "is no setting of agents. Did you"),
    ],
)  # fmt: skip
def test_a_mistake_of_another_layer_is_told_there(
    said: Said, more: dict[str, Any], problem: str
) -> None:
    [found] = said(HEAD, **more)
    assert problem in found
    assert found.startswith(("command line", "CALLBOARD_AGENT_MODEL_TEMP"))


def test_a_mistake_in_callboard_yaml_is_told_there(said: Said, tmp_path: Path) -> None:
    project = tmp_path / "callboard.yaml"
    project.write_text("agent:\n  model: {temperature: 3}\n  colour: blue\n")
    found = said(HEAD, project=project)
    assert found[0].startswith("callboard.yaml:2: agent.model.temperature: must be less")
    assert found[1].startswith("callboard.yaml:3: agent.colour: unknown key")


def test_every_variable_gives_a_setting(load: Load) -> None:
    variables = agentlayers.variables()
    assert variables["CALLBOARD_AGENT_EXECUTION_MAX_TURNS"] == ("execution", "max_turns")
    env = {"CALLBOARD_AGENT_EXECUTION_MAX_TURNS": "3", "CALLBOARD_AGENT_MODEL_SEED": ""}
    agent = load(HEAD, env=env).agent
    assert (agent.execution.max_turns, agent.model.params.seed) == (3, None)


# the schema


def test_the_schema_is_fresh_and_knows_every_key() -> None:
    assert schemas_gen.AGENT_TARGET.read_text("utf-8") == schemas_gen.render(
        schemas_gen.agent_schema()
    ), "run python -m config.schemas_gen"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples" / "agents").glob("*.yaml")), ids=lambda path: path.name
)
def test_the_examples_load_and_fit_the_schema(path: Path) -> None:
    from jsonschema import Draft202012Validator

    loaded = load_agent(path, env={}, project=NOWHERE, user=NOWHERE)
    assert loaded.agent.tools
    schema = schemas_gen.agent_schema()
    assert list(Draft202012Validator(schema).iter_errors(load_yaml(path, {}).data)) == []


def test_the_schema_takes_variables_where_the_loader_fills_them_in(load: Load) -> None:
    from jsonschema import Draft202012Validator

    text = (
        "name: a\ninstructions: Help.\n"
        "model:\n  provider: openai\n  name: gpt-4o-mini\n  temperature: ${WARM:-0.5}\n"
        "budget:\n  on_budget: ${THEN:-pause}\n"
    )
    agent = load(text).agent
    assert (agent.model.params.temperature, agent.budget.on_budget) == (0.5, "pause")
    raw = YAML(typ="safe").load(text)
    assert raw["model"]["temperature"] == "${WARM:-0.5}"
    schema = Draft202012Validator(schemas_gen.agent_schema())
    assert list(schema.iter_errors(raw)) == []
    raw["model"]["temperature"] = "warm"
    assert list(schema.iter_errors(raw))


def test_a_test_without_a_message_and_a_queue_without_a_name(said: Said) -> None:
    [empty] = said(f"{HEAD}test_cases:\n  - {{name: a, input: []}}\n")
    assert empty.startswith("a.yaml:5: test_cases[0].input: ")
    tool = "name: f, type: function, file: tools.py, function: find, queue: g p"
    [queue] = said(with_tool(tool))
    assert "is no name of a queue" in queue
