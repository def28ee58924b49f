"""What is known of a run's values before it: their sizes, and what follows from the inputs alone.

Sizes are in bytes of the text that prompts show. `most` bounds what the run itself will count,
None where nothing bounds it: an input that was not given, a computed value. `likely` is a guess.
A list to be mapped over is known item by item where it is (a part of) an input; where an earlier
step gives it, its schema's `maxItems` bounds it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic_core import to_json

from contracts.base import Json
from contracts.plans import Plan, StepNode
from contracts.teams import ModelStep, StepSpec, TeamStep
from rules import bounds, celparts, conditions, planning, schemas, teamcheck, templates
from rules.sharing import likely_tokens
from rules.step_files import files_of
from rules.usual import Usual, UsualStep

LIKELY_BYTES_PER_TOKEN = 4
LIKELY_SHARE = 2
"""An answer is likely to have half of its max_tokens, a loop to take half of its rounds."""

SEPARATORS = 8
"""Bytes around a value that is put into a list or an object, its quotes among them."""


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of a value: at most (None: unknown), and likely."""

    most: int | None
    likely: int


UNKNOWN = Size(None, 0)


@dataclass(frozen=True, slots=True)
class Given:
    """A value that a run will have: its size, and itself where it is `known` by now."""

    size: Size
    value: Json = None
    known: bool = False

    @classmethod
    def of(cls, value: Json, size_bytes: int | None = None) -> "Given":
        """Return a known value; `size_bytes` where it is stored already."""
        if size_bytes is None:
            size_bytes = max(len(templates.text_of(value).encode()), len(to_json(value)))
        return cls(Size(size_bytes, size_bytes), value, True)


ABSENT = Given(UNKNOWN)


@dataclass(frozen=True, slots=True)
class Items:
    """What a step is mapped over: how many at most (None: unknown), and likely; the size of
    each where all are known, else of the largest."""

    most: int | None
    likely: int
    sizes: tuple[int, ...] | None = None
    largest: Size = UNKNOWN


ONE = Items(1, 1, (0,), Size(0, 0))
"""Of a step that is not mapped."""


def total(sizes: Iterable[Size]) -> Size:
    """Return the sum of sizes; unknown where one of them is."""
    listed = list(sizes)
    known = [size.most for size in listed if size.most is not None]
    most = sum(known) if len(known) == len(listed) else None
    return Size(most, sum(size.likely for size in listed))


class Foresight:
    """One plan's values before it runs, for these inputs."""

    def __init__(self, plan: Plan, inputs: Mapping[str, Given], usual: Usual | None = None) -> None:
        self.plan = plan
        self.nodes = planning.nodes(plan)
        self.usual = usual or Usual()
        self._inputs = inputs
        self._specs = {step.name: step for step in plan.team.agents}
        self._numbers = {node.name: number for number, node in enumerate(self.nodes)}
        self._outputs: dict[str, Given] = {}
        self._items: dict[str, Items] = {}
        self.rounds = _rounds(self.nodes)

    def given(self, name: str) -> Given:
        """Return an input."""
        return self._inputs.get(name, ABSENT)

    def attempts(self, node: StepNode) -> int:
        """Return how often one candidate is asked at most, repairs not counted."""
        return 1 + min(self.plan.retry.max_retries, node.max_retries)

    def prompt(self, node: StepNode) -> Size:
        """Return the size of a step's prompt, without what is read of the item.

        Files are bounded by what is reserved for them, and likely to be a good deal less.
        """
        bound = self.plan.file_tokens.get(node.name, 0)
        files = files_of(self.plan.team, self._specs[node.name])
        likely = likely_tokens(files, bound) * LIKELY_BYTES_PER_TOKEN
        fixed = Size(node.prompt_bytes, max(0, node.prompt_bytes - bound) + likely)
        inputs = [self.given(name).size for name in node.uses_inputs]
        return total([fixed, *inputs, *(self.output(self.nodes[n]).size for n in node.uses)])

    def known(self, node: StepNode) -> UsualStep | None:
        """Return what a step used in earlier runs, for the items that it will have now.

        None where nothing is known, as of a list that was always empty.
        """
        known = self.usual.steps.get(node.name)
        if known is None or node.for_each is None:
            return known
        if not known.items:
            return None
        items = self.items(node)
        if items.sizes is None and items.likely == _usual_items(known):
            return known  # the number itself is a guess from these means, rounded
        return known.of_items(items.likely)

    def answer_tokens(self, node: StepNode) -> int:
        """Return the likely tokens of one answer: those of earlier runs, else half."""
        known = self.usual.steps.get(node.name)
        if known is not None and known.answer_tokens:
            return min(known.answer_tokens, node.max_tokens)
        return -(-node.max_tokens // LIKELY_SHARE)

    def output(self, node: StepNode) -> Given:
        """Return what a step gives."""
        if node.name not in self._outputs:
            self._outputs[node.name] = self._output(node)
        return self._outputs[node.name]

    def _output(self, node: StepNode) -> Given:
        match node.kind:
            case "model":
                return Given(self._answer(node))
            case "set":
                return self._computed(node)
            case "team":
                return Given(self._team_outputs(node))
            case "approval":
                longest = max((len(choice.encode()) for choice in node.choices), default=0)
                return Given(Size(longest + SEPARATORS, longest))
            case "agent":
                return Given(self._answer(self.asked(node)))
        return Given(Size(SEPARATORS, SEPARATORS))  # true, false or null

    def asked(self, node: StepNode) -> StepNode:
        """Return an agent's step with what is known of its model's calls from its own plan."""
        draft = self.plan.agents.get(node.name)
        if draft is None:
            return node
        own = draft.node
        update = {
            "prompt_bytes": node.prompt_bytes + own.prompt_bytes,
            "candidates": own.candidates,
            "max_tokens": own.max_tokens,
            "max_retries": own.max_retries,
            "on_interrupt": own.on_interrupt,
            "structured": own.structured,
            "repairs": own.repairs,
        }
        return node.model_copy(update=update)

    def _answer(self, node: StepNode) -> Size:
        tokens, going_on = node.max_tokens, node.on_interrupt == "continue" and not node.structured
        if going_on:  # each attempt may add as much to the text of those before it
            tokens *= self.attempts(node) * max(1, len(node.candidates))
        likely = self.answer_tokens(node) * LIKELY_BYTES_PER_TOKEN
        if node.for_each is None:
            return Size(bounds.text_bytes(tokens), likely)
        items, one = self.items(node), bounds.text_bytes(tokens) + SEPARATORS
        most = None if items.most is None else max(items.most * one, len("[]"))
        return Size(most, items.likely * likely)

    def _computed(self, node: StepNode) -> Given:
        found = self._evaluated(node.expression or "null")
        if found is not None:
            return found
        part = celparts.part_of(node.expression or "null")
        around = Size(SEPARATORS, SEPARATORS)
        return Given(total([self._source(part).size, around])) if part is not None else ABSENT

    def _team_outputs(self, node: StepNode) -> Size:
        """Bound the object of a child's outputs: its templates', else those of its last steps."""
        child = self.child(node)
        if child is None:
            return UNKNOWN
        if not child.plan.team.outputs:
            read = {n for other in child.nodes for n in other.dependencies}
            ends = [other for n, other in enumerate(child.nodes) if n not in read]
            named = [(len(other.name), child.output(other).size) for other in ends]
        else:
            rendered = child.plan.team.outputs.items()
            named = [(len(name), child.rendered(text).size) for name, text in rendered]
        return total(
            Size(None if size.most is None else size.most + extra, size.likely + extra)
            for size, extra in ((size, length + SEPARATORS) for length, size in named)
        )

    def child(self, node: StepNode) -> "Foresight | None":
        """Return a team step's own team, with what this one gives it; None where it is unknown."""
        plan, step = self.plan.children.get(node.name), self._specs[node.name]
        if plan is None or not isinstance(step, TeamStep):
            return None
        inputs = {
            name: Given.of(spec.default)
            for name, spec in plan.team.inputs.items()
            if not spec.required
        }
        return Foresight(plan, inputs | {n: self.rendered(v) for n, v in step.inputs.items()})

    def rendered(self, text: Json) -> Given:
        """Return what a template gives; a lone reference is the value itself, JSON is itself."""
        if not isinstance(text, str):
            return Given.of(text)
        template = templates.parse(text)
        read = [self._named(reference.name) for reference in template.references]
        if len(read) == 1 and not template.literal_bytes and not template.references[0].path:
            return read[0]
        fixed = Size(template.literal_bytes, template.literal_bytes)
        return Given(total([fixed, *(given.size for given in read)]))

    def _named(self, name: str) -> Given:
        number = self._numbers.get(name)
        return self.given(name) if number is None else self.output(self.nodes[number])

    def items(self, node: StepNode) -> Items:
        """Return what a step is mapped over."""
        if node.for_each is None:
            return ONE
        if node.name not in self._items:
            self._items[node.name] = self._mapped(node.for_each, node)
        return self._items[node.name]

    def _mapped(self, source: str, node: StepNode) -> Items:
        found = self._evaluated(source)
        if found is not None:
            values = found.value if isinstance(found.value, list) else []
            sizes = tuple(len(templates.text_of(value).encode()) for value in values)
            largest = max(sizes, default=0)
            return Items(len(sizes), len(sizes), sizes, Size(largest, largest))
        part = celparts.part_of(source)
        if part is None:
            return self._likely_items(node, None, UNKNOWN)
        whole = self._source(part).size
        return self._likely_items(node, self._most_of(part), whole)

    def _likely_items(self, node: StepNode, most: int | None, whole: Size) -> Items:
        """Guess at an unknown number: that of earlier runs, else all that there can be, else 1."""
        known = self.usual.steps.get(node.name)
        if known is not None and known.items:
            guess = _usual_items(known)
        else:
            guess = 1 if most is None else most
        likely = guess if most is None else min(guess, most)
        return Items(most, likely, None, Size(whole.most, whole.likely // max(1, likely)))

    def _most_of(self, part: celparts.Part) -> int | None:
        """Return how many elements a part of a step's output has at most, or None."""
        if part.root == "inputs" or not part.elements_of:
            return None
        source = self.nodes[self._numbers[part.name]]
        if source.for_each is not None and not part.path:
            return self.items(source).most
        given = self.output(source)
        if given.known:
            found = _at(given.value, part.path)
            return len(found) if isinstance(found, list) else 0
        return _max_items(self._specs[part.name], part.path)

    def _source(self, part: celparts.Part) -> Given:
        return self.given(part.name) if part.root == "inputs" else self._named(part.name)

    def _evaluated(self, source: str) -> Given | None:
        """Return what an expression over known inputs gives, or None. A wrong one gives null."""
        read = conditions.check(source, self.plan.team.inputs, self._numbers)
        inputs = {name: self.given(name) for name in read.inputs}
        if read.agents or read.reads_run or not all(given.known for given in inputs.values()):
            return None
        values = {name: given.value for name, given in inputs.items()}
        try:
            context = conditions.context(values, {}, {})
            if not conditions.is_light(source, context):
                return None
            return Given.of(conditions.evaluate(source, context))
        except conditions.ConditionError:
            return Given.of(None)  # the step fails when it comes to it: nothing is called


def _usual_items(known: UsualStep) -> int:
    return max(1, round(known.items))


def _rounds(nodes: Sequence[StepNode]) -> list[int]:
    """Return how often each step is run at most: its own rounds times those of its groups."""
    heads: dict[int, list[int]] = {}
    for number, node in enumerate(nodes):
        for member in node.members:
            heads.setdefault(member, []).append(number)
    found: dict[int, int] = {}

    def of(number: int) -> int:
        if number not in found:
            own = nodes[number].max_rounds if nodes[number].until is not None else 1
            found[number] = own * max(1, sum(of(head) for head in heads.get(number, ())))
        return found[number]

    return [of(number) for number in range(len(nodes))]


def _max_items(step: StepSpec, path: Sequence[str]) -> int | None:
    """Return the `maxItems` of a list in a step's output, if its schema has one."""
    if not isinstance(step, ModelStep):
        return None
    schema: schemas.Schema | None = teamcheck.output_schema(step)
    for key in path:
        schema = schemas.below(schema, key)
    most = schema.get("maxItems") if schema is not None and schema.get("type") == "array" else None
    return most if isinstance(most, int) else None


def _at(value: Json, path: Sequence[str]) -> Json:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
