"""Estimates are bounds: a run, told by the same rules, never counts more."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failures import FailureKind
from contracts.messages import Usage
from contracts.plans import Candidate, Plan, StepNode
from contracts.prices import Price, Rate
from contracts.retry import RetryRule
from contracts.teams import (
    ForEachSpec,
    ModelStep,
    OutputSpec,
    RepeatSpec,
)
from rules import attempts, bounds, planning, prices
from rules.estimates import estimate
from rules.foresight import Given
from rules.ledger import Granted, Ledger
from tests.support.cases import cases
from tests.support.teams import agent, candidate, plan, team

pytestmark = pytest.mark.unit


KINDS = (
    FailureKind.SERVER_FAILED,
    FailureKind.RATE_LIMITED,
    FailureKind.STREAM_INTERRUPTED,
    FailureKind.INVALID_REQUEST,
    FailureKind.INVALID_OUTPUT,
    FailureKind.TIMEOUT,
    FailureKind.WORKER_LOST,
)


@dataclass
class Played:
    """A run of a plan as the workflow makes one, with an adversary in place of the vendors.

    Steps go one after the other: what runs at once only makes less money available.
    """

    plan: Plan
    inputs: dict[str, Given]
    data: st.DataObject
    ledger: Ledger = field(init=False)
    sizes: dict[str, int] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.plan.team.cost_budget)
        self.nodes = planning.nodes(self.plan)

    def play(self) -> None:
        members = {n for node in self.nodes for n in node.members}
        for number, node in enumerate(self.nodes):
            if number not in members:
                self.rounds(node)

    def rounds(self, node: StepNode) -> None:
        for _ in range(node.max_rounds if node.until is not None else 1):
            self.step(node)
            for member in node.members:
                self.rounds(self.nodes[member])

    def step(self, node: StepNode) -> None:
        if node.for_each is None:
            self.sizes[node.name] = self.unit(node, node.name, 0)
            return
        values = self.inputs["list"].value
        outputs = [
            self.unit(node, f"{node.name}[{n}]", len(str(value))) for n, value in enumerate(values)
        ]
        self.sizes[node.name] = 2 + sum(size + 3 for size in outputs)

    def prompt(self, node: StepNode, item: int) -> int:
        inputs = [self.inputs[name].size.most or 0 for name in node.uses_inputs]
        uses = [self.sizes.get(self.nodes[n].name, 0) for n in node.uses]
        return node.prompt_bytes + sum(inputs) + sum(uses) + item * node.item_uses

    def unit(self, node: StepNode, unit: str, item: int) -> int:
        """Make attempts until one answers or the rule gives up; return the answer's bytes."""
        history: list[attempts.Attempted] = []
        chosen, partial, repairs, extra = 0, 0, node.repairs if node.structured else 0, 0
        while True:
            one = self.plan.candidates[node.candidates[chosen]]
            size = bounds.input_bound(self.prompt(node, item) + extra, ())
            tokens = self.attempt(node, unit, one, size)
            if tokens is None:
                return 0
            kind = self.data.draw(st.none() | st.sampled_from(KINDS))
            answer = self.data.draw(st.integers(0, bounds.text_bytes(tokens)))
            if kind is None:
                return partial + answer
            extra = 0
            if kind == FailureKind.INVALID_OUTPUT and repairs > 0:
                repairs -= 1
                extra = answer + bounds.REPAIR_BYTES + self.data.draw(st.integers(0, 8192))
                continue
            history.append(attempts.Attempted(chosen, kind, kind not in KINDS[3:5]))
            decision = attempts.decide(
                self.plan.retry, node.max_retries, len(node.candidates), history, 0.5
            )
            if isinstance(decision, attempts.GiveUp):
                return 0
            chosen = decision.candidate
            if node.on_interrupt == "continue" and not node.structured:
                partial += answer
                extra = partial + bounds.CONTINUE_BYTES

    def attempt(self, node: StepNode, unit: str, one: Candidate, size: int) -> int | None:
        """Reserve and settle; return the answer's tokens at most, or None without money."""
        room = self.ledger.affordable_eventually(unit, node.cost_limit)
        prompt = size + one.overhead_tokens
        tokens = min(node.max_tokens, prices.affordable_output(one.price, prompt, room))
        if tokens < min(node.min_output_tokens, node.max_tokens):
            return None
        self.made[unit] = self.made.get(unit, 0) + 1
        self.calls[node.name] = self.calls.get(node.name, 0) + 1
        name, amount = f"{unit}#{self.made[unit]}", prices.worst_case(one.price, prompt, tokens)
        assert isinstance(self.ledger.ask(name, unit, amount, node.cost_limit), Granted)
        if self.data.draw(st.booleans()):
            self.ledger.settle_uncertain(name, Decimal(0))
        else:
            used = Usage(
                self.data.draw(st.integers(0, prompt)), self.data.draw(st.integers(0, tokens))
            )
            self.ledger.settle(name, prices.cost(one.price, used))
        return tokens


money = st.decimals("0.01", "80", places=2)


@st.composite
def candidates(draw: st.DrawFn, number: int) -> Candidate:
    price = Price(
        model=f"m{number}",
        input=Rate(base=draw(money), tiers=draw(st.sampled_from([(), ((200, Decimal(99)),)]))),
        output=Rate(base=draw(money)),
        cache_write=draw(st.none() | money.map(lambda base: Rate(base=base))),
        per_request=draw(st.sampled_from([Decimal(0), Decimal("0.001")])),
        source="test",
        version="1",
    )
    extra = draw(st.sampled_from([0, 500]))
    return candidate(model=f"m{number}").model_copy(
        update={"price": price, "overhead_tokens": extra}
    )


@st.composite
def steps(draw: st.DrawFn, number: int, names: list[str]) -> ModelStep:
    reads = draw(st.lists(st.sampled_from([*names, "text"]), max_size=3))
    structured = draw(st.booleans())
    mapped = draw(st.booleans())
    more: dict[str, Any] = {
        "llm_config": {"max_tokens": draw(st.integers(1, 400))},
        "max_retries": draw(st.integers(0, 2)),
        "on_interrupt": draw(st.sampled_from(["restart", "continue"])),
        "cost_limit": draw(st.sampled_from([Decimal("0.02"), Decimal(1), Decimal(1000)])),
        "min_output_tokens": 1,
        "dependencies": tuple(dict.fromkeys(name for name in reads if name != "text")),
    }
    if structured:
        more["output"] = OutputSpec(kind="json", repairs=draw(st.integers(0, 2)))
    if draw(st.booleans()):
        more["repeat"] = RepeatSpec(until="false", max=draw(st.integers(1, 4)))
    prompt = "Do: " + " ".join(f"{{{name}}}" for name in reads)
    if mapped:
        more["for_each"] = ForEachSpec(item="one", in_="inputs.list")
        prompt += " {one}"
    return agent(f"s{number}", prompt, **more)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    made: list[ModelStep] = []
    for number in range(draw(st.integers(1, 4))):
        made.append(draw(steps(number, [step.name for step in made])))
    if len(made) > 1 and draw(st.booleans()):
        last = made[-1].name
        first = next((s for s in made[:-1] if s.name in made[-1].dependencies), None)
        if first is not None:
            repeat = RepeatSpec(until="false", max=draw(st.integers(1, 3)), with_=(last,))
            made[made.index(first)] = first.model_copy(update={"repeat": repeat})
    spec = team(
        *made,
        inputs={"text": {"type": "text"}, "list": {"type": "list"}},
        cost_budget=draw(st.sampled_from([Decimal("0.05"), Decimal(5), Decimal(10_000)])),
    )
    chosen = [draw(candidates(number)) for number in range(draw(st.integers(1, 3)))]
    return plan(spec, *chosen, retry=RetryRule(max_retries=draw(st.integers(0, 2)), base_delay=0))


@cases(150)
@given(
    st.data(),
    plans(),
    st.text("ab c", max_size=60),
    st.lists(st.text("xy", max_size=9), max_size=3),
)
def test_no_run_counts_more_than_its_estimate(
    data: st.DataObject, planned: Plan, text: str, items: list[str]
) -> None:
    inputs = {"text": Given.of(text, len(text)), "list": Given.of(items)}
    found = estimate(planned, inputs)
    played = Played(planned, inputs, data)
    played.play()
    assert played.ledger.counted <= found.most <= found.cap
    for step in found.steps:
        spent = [
            cost
            for unit, cost in played.ledger.by_step.items()
            if unit.partition("[")[0] == step.name
        ]
        assert step.most is not None
        assert step.items is not None
        assert sum(spent) <= step.most
        assert max(spent, default=Decimal(0)) <= step.item_most <= step.cost_limit
        assert played.calls.get(step.name, 0) <= step.attempts * step.rounds * step.items


@cases(80)
@given(plans(), st.text("ab c", max_size=60), st.lists(st.text("xy", max_size=9), max_size=3))
def test_what_is_likely_is_never_more_than_what_is_possible(
    planned: Plan, text: str, items: list[str]
) -> None:
    known = estimate(planned, {"text": Given.of(text), "list": Given.of(items)})
    unknown = estimate(planned, {})
    for found in (known, unknown):
        assert found.expected <= found.most <= found.cap
        for step in found.steps:
            assert step.most is None or step.expected <= step.most
            assert step.call <= step.cost_limit
    assert known.most <= unknown.most
