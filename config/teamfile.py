"""Load a team file, or say everything that is wrong with it.

Strategy: the YAML is read with positions, the head and each step are validated by themselves, so
that a mistake in one hides nothing in the others, and read on as far as they can be
(`config.stepfiles`); then `rules.teamcheck` sees the whole. Problems carry the file's own paths
and lines. `defaults` are merged under each step before it is validated, and prompt files become
templates in strict syntax.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.attachedmodel import SharedFile
from config.attachments import AttachmentError, encoding_notes, read_files
from config.keys import accepted_keys, respelt, unknown_key
from config.problems import ConfigError, KeyPath, Problem, explain, spell_path
from config.promptfiles import PromptFile, read_prompt
from config.stepfiles import ReadStep, misspelt, read_step
from config.teambuild import build_input, build_step, build_team, unjudged
from config.teammodel import AgentStepFile, ModelStepFile, StepFile, TeamFile, TeamHead
from config.yamlfile import YamlFile, read_yaml
from contracts.base import Json
from contracts.files import AttachedFile
from contracts.plans import Plan
from contracts.teams import AgentStep, ModelStep, StepSpec, TeamSpec
from rules import planning, teamcheck
from rules.step_files import files_of
from rules.teaminputs import misfit, outside_enum

_STRUCTURE = frozenset({"name", "inputs", "defaults", "outputs", "shared_context", "agents"})
"""Keys of the head without which the rest cannot be understood: misspelt, they are read anyway."""


class TeamFileError(ConfigError):
    """A team file that cannot be used. `str()` has one line for each of `problems`."""


@dataclass(frozen=True)
class LoadedTeam:
    """A team, where it came from, and what its author may want to know (`notes`)."""

    team: TeamSpec
    source: Path
    lines: Mapping[KeyPath, int]
    notes: tuple[str, ...] = ()


def load_team(
    path: Path,
    env: Mapping[str, str] | None = None,
    cost_budget: Decimal | None = None,
) -> LoadedTeam:
    """Read, validate and resolve a team file.

    `env` fills `${VAR}` (default: the process's environment), `cost_budget` stands in where the
    file has none. Raises `TeamFileError`.
    """
    try:
        file = read_yaml(path, os.environ if env is None else env, refuse_secrets=True)
    except ConfigError as error:
        raise TeamFileError(error.problems) from None
    return _Loader(file).load(cost_budget)


class _Loader:
    """One file on its way: what was read, and what was wrong."""

    def __init__(self, file: YamlFile) -> None:
        self._file = file
        self._problems: list[Problem] = list(file.problems)
        self._prompts: dict[int, PromptFile] = {}

    def load(self, cost_budget: Decimal | None) -> LoadedTeam:
        """Return the team or raise with all problems."""
        data = self._file.data
        if not isinstance(data, dict):
            self._add((), "a team is a mapping with name and agents", line=1)
            raise self._error()
        if "agents" not in data and "instructions" in data:
            self._add((), "is an agent, not a team: talk to it with `python starter.py chat`")
            raise self._error()
        data = self._respell(data)
        if cost_budget is not None:
            data = {"cost_budget": cost_budget, **data}
        raw_steps = self._raw_steps(data)
        head, defaults = self._head({key: data[key] for key in data if key != "agents"})
        files = [self._step_file(number, raw, defaults) for number, raw in enumerate(raw_steps)]
        steps = self._steps(raw_steps, head, files)
        self._check_whole(head, steps, raw_steps, [file.unread for file in files])
        shared = self._shared(head, steps)
        if self._problems:
            raise self._error()
        team = build_team(head, tuple(step for step in steps if step is not None), shared)
        return self._loaded(team)

    def _loaded(self, team: TeamSpec) -> LoadedTeam:
        plan = Plan(team=team)
        try:
            planning.pages(plan)
        except planning.PlanTooLarge as error:
            self._add(("agents", error.step), str(error))
            raise self._error() from None
        notes = tuple(f'input "{name}" is never used' for name in planning.unused_inputs(plan))
        notes += encoding_notes(file for step in team.agents for file in files_of(team, step))
        return LoadedTeam(team, self._file.source, self._file.lines, notes)

    def _add(self, path: KeyPath, message: str, line: int | None = None) -> None:
        """Note a problem, unless the reader has one at the same place already."""
        if not any(path[: len(broken)] == broken for broken in self._file.broken if broken):
            self._problems.append(self._file.problem(path, message, line))

    def _error(self) -> TeamFileError:
        main = str(self._file.source)
        ordered = sorted(set(self._problems), key=lambda p: (p.file != main, p))
        return TeamFileError(ordered)

    def _respell(self, data: dict[str, Json]) -> dict[str, Json]:
        """Complain of misspelt keys that the rest depends on, and read on with what was meant."""
        heads = respelt(data, accepted_keys(TeamFile), _STRUCTURE - data.keys())
        for key in heads:
            self._add((key,), unknown_key(key, accepted_keys(TeamFile)))
        self._file.respell({(key,): meant for key, meant in heads.items()})
        steps = data.get("agents")
        found: dict[KeyPath, str] = {}
        for number, raw in enumerate(steps if isinstance(steps, list) else []):
            for key, meant in (misspelt(raw) if isinstance(raw, dict) else {}).items():
                found["agents", number, key] = meant
                self._add(("agents", number, key), unknown_key(key, [meant]))
        self._file.respell(found)
        return data

    # the head

    def _raw_steps(self, data: Mapping[str, Json]) -> list[Json]:
        steps = data.get("agents")
        if isinstance(steps, list) and steps:
            return steps
        said = "is missing" if "agents" not in data else "must be a list of steps"
        self._add(("agents",) if "agents" in data else (), f'"agents" {said}: one step at least')
        return []

    def _head(self, data: dict[str, Json]) -> tuple[TeamHead, dict[str, Json]]:
        """Return the head and the raw defaults, both without the parts that are wrong."""
        try:
            head = TeamHead.model_validate(data)
        except ValidationError as error:
            found = explain(error, TeamFile)
            for path, message in found:
                self._add(path, message)
            data = _without_broken(data, [path for path, _ in found])
            head = TeamHead.model_validate(data)
        self._check_inputs(head)
        return head, data.get("defaults") or {}

    def _check_inputs(self, head: TeamHead) -> None:
        for name, spec in head.inputs.items():
            path: KeyPath = ("inputs", name)
            for number, value in enumerate(spec.enum or ()):
                wrong = misfit(spec.type, value)
                if wrong is not None:
                    self._add((*path, "enum", number), f"{wrong}, as the type is {spec.type}")
            if spec.default is None:
                continue
            built = build_input(spec)
            wrong = misfit(spec.type, spec.default) or outside_enum(built, spec.default)
            if spec.type == "file":
                wrong = "a file has no default but null"
            if wrong is not None:
                self._add((*path, "default"), wrong)

    def _shared(self, head: TeamHead, steps: list[StepSpec | None]) -> tuple[AttachedFile, ...]:
        """Return the shared context's files; whoever has one uses it, whoever uses it has one."""
        path: KeyPath = ("shared_context",)
        users = [
            number
            for number, step in enumerate(steps)
            if isinstance(step, ModelStep | AgentStep) and step.shared_context
        ]
        if head.shared_context is None:
            written = self._file.data
            if isinstance(written, dict) and written.get("shared_context") is not None:
                return ()  # what is wrong with it is said already
            for number in users:
                self._add(("agents", number, *path), "the team has no shared_context")
            return ()
        if not users and None not in steps:
            self._add(path, "no agent uses it: say shared_context: true at an agent or in defaults")
        spelt = head.shared_context
        entries = spelt.files if isinstance(spelt, SharedFile) else spelt
        try:
            return read_files(self._file.source.parent, entries)
        except AttachmentError as error:
            under = ("files",) if isinstance(spelt, SharedFile) else ()
            self._add((*path, *under, error.entry), str(error))
            return ()

    # the steps

    def _step_file(self, number: int, raw: Json, defaults: Mapping[str, Json]) -> ReadStep:
        read = read_step(raw, defaults)
        for place, message in read.problems:
            self._add(("agents", number, *place), message)
        return read

    def _steps(
        self, raw_steps: list[Json], head: TeamHead, files: list[ReadStep]
    ) -> list[StepSpec | None]:
        written = _names(raw_steps)
        names = {*(name for name in written if name is not None), *head.inputs}
        steps: list[StepSpec | None] = []
        for number, read in enumerate(files):
            step = self._step(number, read.file, names) if read.file is not None else None
            if step is not None and read.problems:
                step = unjudged(step, read.unread, written[number])
            steps.append(step)
        return steps

    def _step(self, number: int, file: StepFile, names: Collection[str]) -> StepSpec | None:
        if not isinstance(file, ModelStepFile | AgentStepFile):
            return build_step(file)
        files = self._files(number, file) if isinstance(file, ModelStepFile) else ()
        if file.prompt_file is None:
            return build_step(file, file.prompt_template or "", files)
        item = {file.for_each.item} if file.for_each is not None else set()
        path: KeyPath = ("agents", number, "prompt_file")
        try:
            prompt = read_prompt(self._file.source.parent, file.prompt_file, {*names, *item})
        except ConfigError as error:
            for problem in error.problems:
                self._prompt_problem(path, problem)
            return build_step(file, "", files)
        self._prompts[number] = prompt
        return build_step(file, prompt.template, files)

    def _files(self, number: int, file: ModelStepFile) -> tuple[AttachedFile, ...]:
        try:
            return read_files(self._file.source.parent, file.files)
        except AttachmentError as error:
            self._add(("agents", number, "files", error.entry), str(error))
            return ()

    def _prompt_problem(self, path: KeyPath, problem: Problem) -> None:
        """Note a prompt file's problem: at its own line, or where the team file names it."""
        if problem.line:
            self._problems.append(
                Problem(problem.file, problem.line, spell_path(path), problem.message)
            )
        else:
            self._add(path, f"{problem.file}: {problem.message}")

    # the whole

    def _check_whole(
        self,
        head: TeamHead,
        steps: list[StepSpec | None],
        raw_steps: list[Json],
        unread: Sequence[frozenset[str]],
    ) -> None:
        draft = teamcheck.Draft(
            steps,
            _names(raw_steps),
            {name: build_input(spec) for name, spec in head.inputs.items()},
            head.outputs,
            unread,
        )
        for finding in teamcheck.check_draft(draft):
            number = finding.path[1]
            if finding.path[-1] == "prompt_template" and number in self._prompts:
                prompt = self._prompts[int(number)]
                path = ("agents", number, "prompt_file")
                line = prompt.line(finding.position or 0)
                self._prompt_problem(path, Problem(prompt.shown, line, "", finding.message))
            else:
                self._add(finding.path, finding.message, self._line(finding))

    def _line(self, finding: teamcheck.Finding) -> int:
        """Return the line of a finding: within a block text or a list, where it can be told."""
        path, file = finding.path, self._file
        if finding.position is not None and path in file.blocks:
            text = str(_at(file.data, path))
            return file.blocks[path] + text.count("\n", 0, finding.position)
        if finding.entry is not None:
            entries = _at(file.data, path)
            for number, entry in enumerate(entries if isinstance(entries, list) else []):
                if str(entry).removesuffix("?") == finding.entry:
                    path = (*finding.path, number)
        return file.line(path)


def _names(raw_steps: list[Json]) -> list[str | None]:
    names = [step.get("name") if isinstance(step, dict) else None for step in raw_steps]
    return [name if isinstance(name, str) else None for name in names]


def _at(data: Json, path: KeyPath) -> Json:
    """Return what stands at a path, or None."""
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _without_broken(data: Mapping[str, Any], broken: list[KeyPath]) -> dict[str, Any]:
    """Return a head without its wrong parts, so that the rest can be checked too."""
    kept = {key: dict(value) if isinstance(value, dict) else value for key, value in data.items()}
    for path in broken:
        if len(path) > 1 and path[0] in ("inputs", "defaults", "outputs"):
            group, key = kept.get(str(path[0])), str(path[1])
            if isinstance(group, dict):
                group.pop(key, None)
                if path[0] == "inputs" and len(path) > 2:
                    group[key] = {}
        elif path:
            kept.pop(str(path[0]), None)
    return {"name": "team", **kept}
