"""What is refused before it starts: first steps that surely run and that no cap can pay."""

from decimal import Decimal
from typing import Any

import pytest

from client.affording import unaffordable
from contracts.teams import ForEachSpec, RepeatSpec, StepSpec
from rules.foresight import Given
from tests.support.teams import agent, candidate, plan, team

pytestmark = pytest.mark.unit

LITTLE = Decimal("0.0001")
INPUTS = {"things": {"type": "list"}, "text": {"type": "text"}}
THINGS = {"things": Given.of(["bee", "wasp"])}


def refused(
    *steps: StepSpec, given: dict[str, Given] | None = None, counts: bool = False, **more: Any
) -> list[str]:
    """Return the keys that are to be raised, with their agents."""
    spec = team(*steps, **{"cost_budget": LITTLE, "inputs": INPUTS, **more})
    made = plan(spec, candidate(counts_tokens=counts), candidate(model="other"))
    lines = unaffordable(made, {"text": 100_000}, given)
    return [f"{line.partition(':')[0]}: {line.rpartition('raise ')[2]}" for line in lines]


def each(source: str) -> StepSpec:
    return agent("a", "{one}", for_each=ForEachSpec(item="one", in_=source))


def test_a_first_step_is_held_to_the_budget_and_to_its_own_limit() -> None:
    spec = team(agent("a", cost_limit=LITTLE), agent("b", dependencies=("a",)), cost_budget=LITTLE)
    of_budget, of_limit = unaffordable(plan(spec), {})
    least = "agent a: its call may cost $0.004140 (at most 38 input tokens), more than"
    assert of_budget == f"{least} cost_budget 0.0001: raise cost_budget"
    assert of_limit == f"{least} agents.a.cost_limit 0.0001: raise agents.a.cost_limit"
    assert refused(agent("a"), cost_budget=1) == []
    assert refused(agent("a", "{text}"), cost_budget=1) == [
        "agent a: cost_budget",
        "agent a: agents.a.cost_limit",
    ]


def test_a_handler_may_never_run() -> None:
    assert refused(agent("a", catch="h"), agent("h")) == ["agent a: cost_budget"]


def test_a_step_with_a_condition_may_never_run() -> None:
    assert refused(agent("a", when="inputs.text == 'yes'")) == []


def test_what_is_repeated_with_a_step_is_no_surer_than_that_step() -> None:
    again = RepeatSpec(until="false", max=2, with_=("b",))
    assert refused(agent("a", repeat=again), agent("b")) == [
        "agent a: cost_budget",
        "agent b: cost_budget",
    ]
    assert refused(agent("a", repeat=again, when="inputs.text == 'yes'"), agent("b")) == []


@pytest.mark.parametrize(
    ("source", "given", "keys"),
    [
        ("inputs.things", THINGS, ["agent a: cost_budget"]),
        ("inputs.things.filter(t, t == 'bee')", THINGS, ["agent a: cost_budget"]),
        ("['one']", {}, ["agent a: cost_budget"]),
        ("inputs.things", {"things": Given.of([])}, []),
        ("inputs.things.filter(t, t == 'ant')", THINGS, []),
        ("inputs.things", {}, []),
        ("inputs.things", None, []),
    ],
)
def test_a_list_counts_where_it_is_known_to_have_items(
    source: str, given: dict[str, Given] | None, keys: list[str]
) -> None:
    assert refused(each(source), given=given) == keys


def test_a_provider_that_counts_prompts_may_find_fewer_tokens() -> None:
    assert refused(agent("a", "{text}"), counts=True) == []
    assert refused(agent("a", "{text}", cost_limit=LITTLE), counts=True) == []


def test_a_budget_that_may_be_raised_refuses_nothing_and_a_steps_own_limit_does() -> None:
    poor = agent("a", cost_limit=LITTLE)
    assert refused(poor, on_budget="pause") == ["agent a: agents.a.cost_limit"]
    assert refused(agent("a"), on_budget="pause") == []
