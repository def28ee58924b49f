"""Load an agent file, or say everything that is wrong with it.

Strategy: as with team files, the YAML is read with positions, and the head and each tool are
validated by themselves, so that a mistake in one hides nothing in the others. The sections that
other layers may give (`config.agentlayers`) are merged under the file's own. What the file names
is looked at here: instructions are read, functions are looked for in their source, agents that
serve as tools are loaded too.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config import agentlayers
from config.agentbuild import (
    build_case,
    build_format,
    build_model,
    build_sections,
    build_tool,
    tool_schema,
    tool_texts,
)
from config.agentmodel import SECTIONS, AgentFile, CaseFile, InstructionsFile, ModelFile
from config.agenttools import (
    TOOL_TYPES,
    AgentToolFile,
    FunctionToolFile,
    HttpToolFile,
    PromptToolFile,
    ToolBaseFile,
)
from config.functions import checked, module_file
from config.keys import accepted_keys, respelt, unknown_key
from config.problems import ConfigError, KeyPath, Problem, did_you_mean, explain
from config.yamlfile import MAX_FILE_BYTES, YamlFile, read_text, read_yaml
from contracts.agents import AgentSpec
from contracts.base import Json
from contracts.tools import MOST_DECLARED, ToolSpec
from rules import patterns, templates

UNREAD = "unread"
"""Stands for instructions that cannot be read."""

DEEPEST = 5
"""Agents within agents."""


class AgentFileError(ConfigError):
    """An agent file that cannot be used. `str()` has one line for each of `problems`."""

    @property
    def of_tools(self) -> list[Problem]:
        """The problems of its tools."""
        return [problem for problem in self.problems if problem.path.startswith("tools")]


@dataclass(frozen=True)
class LoadedAgent:
    """An agent, where it came from, and the agents that are its tools, by the tool's name."""

    agent: AgentSpec
    source: Path
    lines: Mapping[KeyPath, int]
    children: Mapping[str, "LoadedAgent"] = field(default_factory=dict)


def load_agent(
    path: Path,
    env: Mapping[str, str] | None = None,
    given: Mapping[str, Json] | None = None,
    project: Path | None = None,
    user: Path | None = None,
) -> LoadedAgent:
    """Read, validate and resolve an agent file. Raises `AgentFileError`.

    `env` fills `${VAR}` and gives CALLBOARD_AGENT_* (default: the process's environment), `given`
    is the command line's: {"model.temperature": 0.2}. `project` and `user` are where the two
    `callboard.yaml` are looked for (default: the working folder, the user's configuration).
    """
    env = os.environ if env is None else env
    try:
        below = [
            agentlayers.environment_layer(env),
            agentlayers.file_layer(user or agentlayers.user_defaults(), env),
            agentlayers.file_layer(project or Path(agentlayers.DEFAULTS_NAME), env),
        ]
        above = agentlayers.given_layer(given or {})
        layers = _Layers(below, above, env)
        return _load(path, layers, ())
    except AgentFileError:
        raise
    except ConfigError as error:
        raise AgentFileError(error.problems) from None


@dataclass(frozen=True)
class _Layers:
    below: list[agentlayers.Layer]
    above: agentlayers.Layer
    env: Mapping[str, str]

    def for_child(self) -> "_Layers":
        """An agent within an agent is not what the command line speaks of."""
        return _Layers(self.below, {}, self.env)


def _load(path: Path, layers: _Layers, chain: tuple[Path, ...]) -> LoadedAgent:
    file = read_yaml(path, layers.env, refuse_secrets=True)
    return _Loader(file, layers, (*chain, path.resolve())).load()


class _Loader:
    """One file on its way: what was read, and what was wrong."""

    def __init__(self, file: YamlFile, layers: _Layers, chain: tuple[Path, ...]) -> None:
        self._file, self._layers, self._chain = file, layers, chain
        self._folder = chain[-1].parent
        self._problems: list[Problem] = list(file.problems)
        self._children: dict[str, LoadedAgent] = {}

    def load(self) -> LoadedAgent:
        """Return the agent or raise with all problems."""
        data = self._file.data
        if not isinstance(data, dict):
            self._add((), "an agent is a mapping with name, model and instructions", line=1)
            raise self._error()
        if "instructions" not in data and "agents" in data:
            self._add((), "is a team, not an agent: run it with `python starter.py run`")
            raise self._error()
        self._respell(data)
        head = self._head({key: data[key] for key in data if key != "tools"})
        tools = self._tools(data.get("tools"))
        sections = self._sections(head, data)
        instructions = self._instructions(head)
        if self._problems:
            raise self._error()
        return self._loaded(head, instructions, tools, sections)

    def _loaded(
        self, head: AgentFile, instructions: str, tools: list[ToolSpec], sections: dict[str, Any]
    ) -> LoadedAgent:
        agent = AgentSpec(
            name=head.name,
            description=head.description,
            author=head.author,
            model=build_model(sections["model"]),
            instructions=instructions,
            response_format=build_format(head),
            tools=tuple(tools),
            test_cases=tuple(build_case(case) for case in head.test_cases),
            **build_sections(sections["execution"], sections["budget"], sections["observability"]),
        )
        return LoadedAgent(agent, self._file.source, self._file.lines, self._children)

    def _add(self, path: KeyPath, message: str, line: int | None = None) -> None:
        """Note a problem, unless the reader has one at the same place already."""
        if not any(path[: len(broken)] == broken for broken in self._file.broken if broken):
            self._problems.append(self._file.problem(path, message, line))

    def _error(self) -> AgentFileError:
        main = str(self._file.source)
        ordered = sorted(set(self._problems), key=lambda p: (p.file != main, p))
        return AgentFileError(ordered)

    # the head

    def _respell(self, data: dict[str, Json]) -> None:
        """Complain of misspelt keys that the rest depends on, and read on with what was meant."""
        accepted = accepted_keys(AgentFile)
        found = respelt(data, accepted, AgentFile.model_fields.keys() - data.keys())
        for key in found:
            self._add((key,), unknown_key(key, accepted, AgentFile))
        self._file.respell({(key,): meant for key, meant in found.items()})

    def _head(self, data: dict[str, Json]) -> AgentFile:
        """Return the head without the parts that are wrong."""
        try:
            head = AgentFile.model_validate(data)
        except ValidationError as error:
            found = explain(error, AgentFile)
            for path, message in found:
                self._add(path, message)
            wrong = {path[0] for path, _ in found if path}
            kept = {key: value for key, value in data.items() if key not in wrong}
            head = AgentFile.model_validate({"name": "agent", "instructions": UNREAD, **kept})
            if "test_cases" in wrong:
                self._check_raw_cases(data["test_cases"])
        for number, case in enumerate(head.test_cases):
            self._check_case(("test_cases", number), case)
        return head

    def _check_raw_cases(self, raw: Json) -> None:
        """Look at the cases that can be read beside those that cannot."""
        for number, entry in enumerate(raw if isinstance(raw, list) else ()):
            with contextlib.suppress(ValidationError):
                self._check_case(("test_cases", number), CaseFile.model_validate(entry))

    def _check_case(self, path: KeyPath, case: Any) -> None:
        for n, tool in enumerate(case.expected_tools):
            for name, value in getattr(tool, "arguments", {}).items():
                if isinstance(value, dict) and set(value) == {"regex"}:
                    self._check_regex((*path, "expected_tools", n, "arguments", name), value)
        for n, metric in enumerate(case.metrics):
            if getattr(metric, "metric", "") == "regex" and metric.value is not None:
                self._check_regex((*path, "metrics", n, "value"), {"regex": metric.value})

    def _check_regex(self, path: KeyPath, value: dict[str, Json]) -> None:
        try:
            patterns.check(value["regex"])
        except patterns.BadPattern as error:
            self._add(path, str(error))

    def _sections(self, head: AgentFile, data: Mapping[str, Json]) -> dict[str, Any]:
        """Return the four sections as all layers together have them."""
        own = {
            name: data[name]
            for name in SECTIONS
            if name in head.model_fields_set and isinstance(data.get(name), dict)
        }
        merged = agentlayers.merged([*self._layers.below, own, self._layers.above])
        sections = {name: model.model_validate(merged[name]) for name, model in SECTIONS.items()}
        if "model" in head.model_fields_set or "model" not in data:
            self._check_model(sections["model"])
        return sections

    def _check_model(self, model: Any) -> None:
        assert isinstance(model, ModelFile)
        if model.persona is not None and (model.provider or model.name):
            self._add(("model",), "give either persona, or provider and name")
        elif model.persona is None and model.name is None:
            said = "is missing: give model.provider and model.name, or model.persona"
            self._add(("model", "name"), said)
        elif model.persona is None and model.provider is None:
            said = "is missing: which provider has the model?"
            self._add(("model", "provider"), said)

    def _instructions(self, head: AgentFile) -> str:
        spelled = head.instructions
        if isinstance(spelled, str):
            return spelled
        assert isinstance(spelled, InstructionsFile)
        if spelled.inline is not None:
            return spelled.inline
        path = self._beside(("instructions", "file"), spelled.file or "")
        if path is None:
            return ""
        try:
            text = read_text(path, MAX_FILE_BYTES)
        except ConfigError as error:
            self._add(("instructions", "file"), f"{path.name}: {error.problems[0].message}")
            return ""
        if not text.strip():
            self._add(("instructions", "file"), f"{path.name}: is empty")
        return text

    def _beside(self, path: KeyPath, name: str, about: str = "") -> Path | None:
        """Return a file of the agent's folder or below."""
        found = (self._folder / name).resolve()
        if Path(name).is_absolute() or not found.is_relative_to(self._folder):
            self._add(path, f"{about}{name} must lie in the agent file's folder or below")
            return None
        return found

    # the tools

    def _tools(self, raw: Json) -> list[ToolSpec]:
        if raw is None:
            return []
        if not isinstance(raw, list):
            self._add(("tools",), "must be a list of tools")
            return []
        if len(raw) > MOST_DECLARED:
            self._add(("tools",), f"has {len(raw)} tools: {MOST_DECLARED} at most")
        built, seen = [], set[str]()
        for number, entry in enumerate(raw):
            path: KeyPath = ("tools", number)
            tool = self._tool_file(path, entry)
            if tool is None:
                continue
            if tool.name in seen:
                self._add((*path, "name"), f'there are two tools "{tool.name}"')
            seen.add(tool.name)
            self._check_tool(path, tool)
            built.append(build_tool(tool, self._folder))
        return built

    def _tool_file(self, path: KeyPath, raw: Json) -> ToolBaseFile | None:
        if not isinstance(raw, dict):
            self._add(path, "a tool is a mapping with a name and a type")
            return None
        types = ", ".join(TOOL_TYPES)
        kind = raw.get("type")
        if kind is None:
            self._add(path, f'"type" is missing: one of {types}')
            return None
        model = TOOL_TYPES.get(kind) if isinstance(kind, str) else None
        if model is None:
            near = did_you_mean(kind, TOOL_TYPES) if isinstance(kind, str) else ""
            self._add((*path, "type"), f"must be one of {types}.{near}")
            return None
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            name = raw.get("name")
            about = f"{name}: " if isinstance(name, str) and error.title else ""
            for place, message in explain(error, model):
                said = message if place[:1] == ("name",) else about + message
                self._add((*path, *place), said)
            return None

    def _check_tool(self, path: KeyPath, tool: ToolBaseFile) -> None:
        """Look at what a tool names."""
        match tool:
            case FunctionToolFile():
                self._check_function(path, tool)
            case HttpToolFile() | PromptToolFile():
                self._check_templates(path, tool)
            case AgentToolFile():
                self._check_templates(path, tool)
                self._load_child(path, tool)

    def _check_function(self, path: KeyPath, tool: FunctionToolFile) -> None:
        module, _, function = tool.function.rpartition(":")
        if tool.file is not None:
            file = self._beside((*path, "file"), tool.file, f"{tool.name}: ")
        else:
            file = module_file(self._folder, module)
        if file is None:
            return
        said = checked(file, function)
        if said is not None:
            at = "function" if said.startswith(f"{file.name} has no") else "file"
            place = at if tool.file is not None else "function"
            self._add((*path, place), f"{tool.name}: {said}")

    def _check_templates(
        self, path: KeyPath, tool: HttpToolFile | PromptToolFile | AgentToolFile
    ) -> None:
        known = tool_schema(tool).get("properties", {})
        for place, text in tool_texts(tool):
            for error in templates.check(text, known):
                self._add((*path, *place), f"{tool.name}: {error}")

    def _load_child(self, path: KeyPath, tool: AgentToolFile) -> None:
        place, file = (*path, "agent"), (self._folder / tool.agent).resolve()
        if file in self._chain:
            names = [link.name for link in (*self._chain[self._chain.index(file) :], file)]
            self._add(place, f"the agents contain each other: {' → '.join(names)}")
            return
        if len(self._chain) > DEEPEST:
            self._add(place, f"agents lie within each other more than {DEEPEST} deep")
            return
        try:
            self._children[tool.name] = _load(file, self._layers.for_child(), self._chain)
        except ConfigError as error:
            self._add(place, f"{tool.name}: {tool.agent} cannot be used")
            self._problems.extend(error.problems)
