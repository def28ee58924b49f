"""What a team may not be: every rule that needs more than one step to be seen.

Names are unique and known, nothing waits for itself, and a step reads only what has ended when
it starts: what is certain as `{name}`, what may be missing as `{name?}`. Templates and conditions
are parsed here, and their fields held against the outputs' schemas. All findings are returned,
none stops the others; a step that could not be read at all (None) silences what depends on it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.teams import (
    AgentStep,
    ApprovalStep,
    ForEachSpec,
    GateStep,
    InputSpec,
    ModelStep,
    RepeatSpec,
    SetStep,
    StepSpec,
    TeamSpec,
    TeamStep,
)
from rules import conditions, templates
from rules.listcheck import why_no_list
from rules.nearest import meant, suggestion
from rules.plan_graph import group_of
from rules.reach import Edges, Reach, find_cycles, reach

TeamPath = tuple[str | int, ...]
"""Where something stands in a team: ("agents", 1, "when"), in the file's spelling."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake. `entry` is the list entry that is wrong, `position` a template's character."""

    path: TeamPath
    message: str
    entry: str | None = None
    position: int | None = None


@dataclass(frozen=True)
class Draft:
    """A team as far as it could be read. `names` holds the names of unreadable steps too.

    `unread` has for each step the keys that are not as they were written; empty: none has any.
    """

    steps: Sequence[StepSpec | None]
    names: Sequence[str | None]
    inputs: Mapping[str, InputSpec] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    unread: Sequence[Collection[str]] = ()


def check_team(team: TeamSpec) -> list[Finding]:
    """Return what is wrong with a whole team; an empty list means that it can run."""
    names = [step.name for step in team.agents]
    return check_draft(Draft(team.agents, names, team.inputs, team.outputs))


def check_draft(draft: Draft) -> list[Finding]:
    """Return what is wrong with a team as far as it could be read."""
    check = _Check(draft)
    return [*check.names(), *check.graph(), *check.reads(), *check.outputs()]


def output_schema(step: StepSpec) -> dict[str, Any] | None:
    """Return the JSON Schema of a step's output as others read it, or None if unknown."""
    if isinstance(step, ApprovalStep):
        return {"type": "string"}
    if not isinstance(step, ModelStep) or step.tools:
        return None
    schema = {"type": "string"} if step.output.kind == "text" else step.output.schema_
    if step.for_each is None:
        return schema
    return {"type": "array", "items": {} if schema is None else schema}


def input_schema(spec: InputSpec) -> dict[str, Any]:
    """Return the JSON Schema of an input."""
    kinds = {"number": "number", "boolean": "boolean", "list": "array"}
    return {"type": kinds.get(spec.type, "string")}


class _Check:
    """The checks of one draft, and the indexes that they share."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._index: dict[str, int] = {}
        for number, name in enumerate(draft.names):
            if name is not None:
                self._index.setdefault(name, number)
        self._known = {*self._index, *draft.inputs}
        self._step_schemas = {
            step.name: schema
            for step in draft.steps
            if step is not None and (schema := output_schema(step)) is not None
        }
        self._input_schemas = {name: input_schema(spec) for name, spec in draft.inputs.items()}
        self._schemas = {**self._step_schemas, **self._input_schemas}
        self._edges = self._build_edges(guess=False)
        self._reach: Reach = reach(self._build_edges(guess=True))
        self._unread = sum(1 << n for n in range(len(draft.steps)) if self._is_unread(n))

    def _steps(self) -> Iterator[tuple[int, StepSpec]]:
        for number, step in enumerate(self._draft.steps):
            if step is not None:
                yield number, step

    def _build_edges(self, guess: bool) -> list[Edges]:
        """Return what each step waits for; `guess`: also what a name that is not known meant."""
        required: list[list[int]] = [[] for _ in self._draft.steps]
        optional: list[list[int]] = [[] for _ in self._draft.steps]
        for number, step in self._steps():
            required[number] += self._known_indexes(step.dependencies, number, guess)
            optional[number] += self._known_indexes(step.optional_dependencies, number, guess)
            for handler in self._known_indexes((step.catch,) if step.catch else (), number, guess):
                optional[handler].append(number)
        return [Edges(tuple(r), tuple(o)) for r, o in zip(required, optional, strict=True)]

    def _known_indexes(self, names: Sequence[str], own: int, guess: bool) -> list[int]:
        found = [n if n in self._index else self._guessed(n) if guess else None for n in names]
        indexes = (self._index[name] for name in found if name is not None)
        return [index for index in indexes if index != own]

    def _guessed(self, name: str) -> str | None:
        return next(iter(meant(name, self._index)), None)

    def _is_unread(self, number: int) -> bool:
        """May a step wait for more than could be read of it?"""
        keys = self._draft.unread[number] if self._draft.unread else ()
        return self._draft.steps[number] is None or "dependencies" in keys

    def names(self) -> Iterator[Finding]:
        """Each name once, and none that an input has."""
        for number, name in enumerate(self._draft.names):
            if name is None:
                continue
            path: TeamPath = ("agents", number, "name")
            if self._index[name] != number:
                other = self._index[name]
                yield Finding(path, f'there is already a step "{name}" (agents[{other}])')
            elif name in self._draft.inputs:
                yield Finding(path, f'"{name}" is an input too: prompts cannot tell them apart')

    def graph(self) -> Iterator[Finding]:
        """Dependencies exist, and nothing waits for itself."""
        for number, step in self._steps():
            yield from self._dependencies(number, step)
            yield from self._catch(number, step)
            if isinstance(step, ModelStep | AgentStep) and step.repeat is not None:
                yield from self._repeated(number, step, step.repeat)
        for cycle in find_cycles(self._edges):
            names = [str(self._draft.names[number]) for number in cycle]
            shown, path = " → ".join(names), ("agents", cycle[0], "dependencies")
            yield Finding(path, f"steps wait in a circle: {shown}", names[1])
            return
        yield from self._rounds()

    def _rounds(self) -> Iterator[Finding]:
        """What is repeated is repeated with one step, and waits for none that waits for it."""
        members = self._members()
        heads: dict[int, int] = {}
        for head, found in enumerate(members):
            for member in found:
                if member in heads:
                    name, first, second = (
                        self._draft.names[n] for n in (member, heads[member], head)
                    )
                    said = (
                        f'"{name}" is repeated with "{first}" already, it cannot be with "{second}"'
                    )
                    yield Finding(("agents", head, "repeat", "with"), said, name)
                    return
                heads[member] = head
        for cycle in find_cycles(self._grouped_edges(members)):
            head = next(n for n in cycle if members[n])
            between = next(n for n in cycle if n != head)
            name, other = self._draft.names[head], self._draft.names[between]
            said = (
                f'"{other}" waits for "{name}", and what is repeated with "{name}" waits for '
                f'"{other}": it has to be repeated with it too'
            )
            yield Finding(("agents", head, "repeat", "with"), said)
            return

    def _members(self) -> list[list[int]]:
        """Return what each step is repeated with."""
        found: list[list[int]] = [[] for _ in self._draft.steps]
        for number, step in self._steps():
            if isinstance(step, ModelStep | AgentStep) and step.repeat is not None:
                found[number] = self._known_indexes(step.repeat.with_, number, guess=False)
        return found

    def _grouped_edges(self, members: Sequence[Sequence[int]]) -> list[Edges]:
        """Return what each step waits for in a run: for its own, and what its members need."""
        grouped = []
        for number, edges in enumerate(self._edges):
            group = group_of(number, members)
            needs = (n for one in group for n in self._edges[one].all if n not in group)
            grouped.append(Edges(tuple(dict.fromkeys(needs)), ()) if members[number] else edges)
        return grouped

    def _dependencies(self, number: int, step: StepSpec) -> Iterator[Finding]:
        path: TeamPath = ("agents", number, "dependencies")
        seen: set[str] = set()
        for name in (*step.dependencies, *step.optional_dependencies):
            if name == step.name:
                yield Finding(path, f'"{name}" cannot wait for itself', name)
            elif name in seen:
                yield Finding(path, f'"{name}" is named twice', name)
            elif name not in self._index:
                yield Finding(path, self._no_step(name, step), name)
            seen.add(name)

    def _catch(self, number: int, step: StepSpec) -> Iterator[Finding]:
        path: TeamPath = ("agents", number, "catch")
        if step.catch == step.name:
            yield Finding(path, f'"{step.name}" cannot catch its own failure')
        elif step.catch is not None and step.catch not in self._index:
            yield Finding(path, self._no_step(step.catch, step))

    def _repeated(self, number: int, step: StepSpec, repeat: RepeatSpec) -> Iterator[Finding]:
        path: TeamPath = ("agents", number, "repeat", "with")
        for name in repeat.with_:
            member = self._index.get(name)
            if member is None:
                yield Finding(path, self._no_step(name, step), name)
            elif member == number:
                yield Finding(path, f'"{name}" is repeated anyway: leave it out', name)
            elif not self._reach.is_possible(member, number) and not self._unclear(member):
                message = (
                    f'"{name}" does not depend on "{step.name}", so it is no part of its round'
                )
                yield Finding(path, message, name)

    def _no_step(self, name: str, reader: StepSpec) -> str:
        hint = suggestion(name, self._index.keys() - {reader.name})
        if name in self._draft.inputs:
            hint = " It is an input: inputs are there from the start, leave it out."
        return f'no step named "{name}".{hint}'

    def _unclear(self, step: int) -> bool:
        """May this step wait, itself or by another, for something that could not be read?"""
        return bool((self._reach.possible[step] | 1 << step) & self._unread)

    def reads(self) -> Iterator[Finding]:
        """Templates and conditions are well formed, and read what has ended by then."""
        for number, step in self._steps():
            at: TeamPath = ("agents", number)
            if step.when is not None:
                yield from self._condition((*at, "when"), step.when, number)
            yield from self._content(at, number, step)

    def _content(self, at: TeamPath, number: int, step: StepSpec) -> Iterator[Finding]:
        match step:
            case ModelStep() | AgentStep():
                yield from self._prompted(at, number, step)
            case SetStep():
                yield from self._condition((*at, "set"), step.expression, number)
            case GateStep():
                yield from self._condition((*at, "gate"), step.expression, number)
            case ApprovalStep():
                yield from self._template((*at, "approval", "ask"), step.ask, number)
            case TeamStep():
                for name, value in step.inputs.items():
                    if isinstance(value, str):
                        yield from self._template((*at, "inputs", name), value, number)
            case _:
                pass

    def _prompted(
        self, at: TeamPath, number: int, step: ModelStep | AgentStep
    ) -> Iterator[Finding]:
        extra: dict[str, Any] = {}
        rounds: frozenset[int] = frozenset()
        if step.for_each is not None:
            path: TeamPath = (*at, "for_each", "in")
            yield from self._list(path, step.for_each.in_, number)
            yield from self._item((*at, "for_each", "item"), step.for_each.item)
            extra[step.for_each.item] = self._item_schema(step.for_each)
        if step.repeat is not None:
            rounds = frozenset(
                {number, *(self._index[n] for n in step.repeat.with_ if n in self._index)}
            )
            yield from self._condition((*at, "repeat", "until"), step.repeat.until, number, rounds)
        path = (*at, "prompt_template")
        yield from self._template(path, step.prompt_template, number, extra, rounds)

    def _list(self, path: TeamPath, source: str, number: int) -> Iterator[Finding]:
        findings = list(self._condition(path, source, number))
        yield from findings
        why = why_no_list(source, self._input_schemas, self._step_schemas)
        if why is not None and not findings:
            yield Finding(path, why)

    def _item(self, path: TeamPath, name: str) -> Iterator[Finding]:
        if name in self._known:
            what = "an input" if name in self._draft.inputs else "a step"
            yield Finding(path, f'"{name}" is {what} too: prompts cannot tell them apart')

    def _item_schema(self, spec: ForEachSpec) -> dict[str, Any] | None:
        """Return the items' schema where `in` is simply a step's output."""
        name = spec.in_.strip().removeprefix("agents.").removesuffix(".output")
        if spec.in_.strip() != f"agents.{name}.output":
            return None
        items = (self._step_schemas.get(name) or {}).get("items")
        return items if isinstance(items, dict) else None

    def _template(
        self,
        path: TeamPath,
        text: str,
        number: int,
        extra: Mapping[str, Any] | None = None,
        rounds: frozenset[int] = frozenset(),
    ) -> Iterator[Finding]:
        extra = extra or {}
        known = {*self._known, *extra}
        schemas = {
            **self._schemas,
            **{name: schema for name, schema in extra.items() if schema is not None},
        }
        problems = templates.check(text, known, schemas=schemas)
        for problem in problems:
            yield Finding(path, str(problem), position=problem.position)
        if problems:
            return
        for reference in templates.parse(text, known).references:
            other = None if reference.name in extra else self._index.get(reference.name)
            if other is None:
                continue
            message = self._read(number, other, reference.optional, rounds, str(reference))
            if message is not None:
                yield Finding(path, message, position=reference.position)

    def _condition(
        self, path: TeamPath, source: str, number: int, rounds: frozenset[int] = frozenset()
    ) -> Iterator[Finding]:
        read = (source, self._draft.inputs, self._index, self._step_schemas)
        problems = conditions.problems(*read)
        for problem in problems:
            yield Finding(path, str(problem), position=problem.position)
        if problems:
            return
        for name in conditions.check(*read).agents:
            message = self._read(number, self._index[name], True, rounds, f"agents.{name}")
            if message is not None:
                yield Finding(path, message)

    def _read(
        self, number: int, other: int, optional: bool, rounds: frozenset[int], shown: str
    ) -> str | None:
        """Return why a step cannot read another, or None."""
        name = self._draft.names[other]
        if self._draft.steps[other] is None or self._reach.is_certain(number, other):
            return None
        softer = f"{shown.removesuffix('}')}?}}"
        if other in rounds:
            return None if optional else f"the first round has no {shown}: write {softer}"
        if other == number:
            return f"{shown}: a step cannot read itself"
        if self._reach.is_possible(number, other):
            if optional:
                return None
            return f'"{name}" may be skipped or have failed: write {softer}, it is empty then'
        if self._unclear(number) or self._waits_in_circle(number) or self._is_caught(other):
            return None
        return f'{shown} is read but not waited for: add "{name}" to dependencies'

    def _is_caught(self, number: int) -> bool:
        """May a step's failure be taken care of by a step that could not be made out?"""
        step, keys = self._draft.steps[number], self._draft.unread
        unknown = step is not None and step.catch is not None and step.catch not in self._index
        return unknown or bool(keys and "catch" in keys[number])

    def _waits_in_circle(self, number: int) -> bool:
        return bool(self._edges[number].all) and not self._reach.possible[number]

    def outputs(self) -> Iterator[Finding]:
        """The team's outputs read inputs and steps that exist."""
        for name, text in self._draft.outputs.items():
            for problem in templates.check(text, self._known, schemas=self._schemas):
                yield Finding(("outputs", name), str(problem), position=problem.position)
