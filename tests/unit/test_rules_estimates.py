"""Estimates: never below what a run of the plan really counts; the guess never above the bound."""

from decimal import Decimal

import pytest

from contracts.base import Json
from contracts.messages import Usage
from contracts.plans import Plan
from contracts.retry import RetryRule
from contracts.teams import (
    AgentStep,
    ForEachSpec,
    OutputSpec,
    RepeatSpec,
    SetStep,
    TeamStep,
    WaitStep,
)
from rules import bounds, prices
from rules.estimates import Estimate, StepEstimate, estimate
from rules.foresight import Given
from rules.usual import Usual, UsualStep
from tests.support.teams import AT_ONCE, GPT4, agent, candidate, plan, team

pytestmark = pytest.mark.unit

ONCE = RetryRule(max_retries=0)
CALL = prices.worst_case(GPT4, bounds.input_bound(len("Say something."), ()), 50)
"""One call of a plain agent at its dearest."""


def guess(spec: Plan, usual: Usual | None = None, **inputs: Json) -> Estimate:
    return estimate(spec, {name: Given.of(value) for name, value in inputs.items()}, usual)


def only(found: Estimate) -> StepEstimate:
    (step,) = found.steps
    return step


def test_at_most_is_every_attempt_on_every_candidate() -> None:
    spec = team(agent("a", max_retries=2))
    found = only(guess(plan(spec, candidate(), candidate(model="other"), retry=AT_ONCE)))
    assert found.attempts == 6
    assert found.call == CALL
    assert found.most == CALL * 6
    assert found.tokens.prompt_most == len("Say something.") + bounds.MESSAGE_TOKENS


def test_likely_is_one_call_with_half_of_its_tokens() -> None:
    found = only(guess(plan(team(agent("a")))))
    assert found.calls == 1
    assert found.tokens.answer == 25
    assert found.expected == prices.cost(GPT4, Usage(found.tokens.prompt, 25))


def test_overhead_and_the_answers_of_others_are_in_the_prompt() -> None:
    spec = team(agent("a"), agent("b", "{a}", dependencies=("a",)))
    own = candidate().model_copy(update={"overhead_tokens": 1000})
    found = guess(plan(spec, own, retry=ONCE)).steps[1]
    assert found.tokens.prompt_most == bounds.text_bytes(50) + bounds.MESSAGE_TOKENS + 1000
    assert found.tokens.prompt == 25 + 1000


def test_repairs_come_on_top_with_the_answer_that_did_not_fit() -> None:
    output = OutputSpec(kind="json", repairs=2)
    plain = only(guess(plan(team(agent("a", output=OutputSpec(kind="json", repairs=0))))))
    found = only(guess(plan(team(agent("a", output=output)))))
    assert found.attempts == plain.attempts + 2
    assert plain.most is not None
    assert found.most is not None
    assert found.most > plain.most + 2 * plain.call


def test_a_limit_binds_for_each_item() -> None:
    spec = ForEachSpec(item="one", in_="inputs.list")
    step = agent("a", "{one}", for_each=spec, cost_limit=Decimal("0.001"))
    planned = plan(team(step, inputs={"list": {"type": "list"}}))
    found = only(guess(planned, list=["x", "yy", "zzz"]))
    assert (found.items, found.mapped, found.binds) == (3, True, True)
    assert found.item_most == Decimal("0.001")
    assert found.most == Decimal("0.003")
    assert found.calls == 3


def test_items_of_known_sizes_are_added_up_one_by_one() -> None:
    step = agent("a", "{one}", for_each=ForEachSpec(item="one", in_="inputs.list"))
    planned = plan(team(step, inputs={"list": {"type": "list"}}), retry=ONCE)
    found = only(guess(planned, list=["x" * 10, "x" * 1000]))
    each = [prices.worst_case(GPT4, bounds.input_bound(n, ()), 50) for n in (10, 1000)]
    assert found.most == sum(each)
    assert found.item_most == max(each)


def test_an_unknown_number_of_items_is_bounded_by_the_budget_alone() -> None:
    step = agent("b", "{x}", for_each=ForEachSpec(item="x", in_="agents.a.output"))
    spec = team(
        agent("a", output=OutputSpec(kind="json", schema_={"type": "array"})),
        step.model_copy(update={"dependencies": ("a",)}),
        cost_budget=3,
    )
    found = guess(plan(spec, retry=ONCE))
    assert found.steps[1].most is None
    assert found.steps[1].unknown == ("for_each.in (agents.a.output)",)
    assert found.steps_most is None
    assert found.most == 3


def test_an_input_that_is_not_given_leaves_the_limit() -> None:
    planned = plan(team(agent("a", "{text}"), inputs={"text": {"type": "text"}}))
    found = only(guess(planned))
    assert found.most == found.cost_limit == 1
    assert found.unknown == ("text",)
    assert only(guess(planned, text="x")).unknown == ()


def test_a_computed_value_leaves_the_limit() -> None:
    spec = team(
        agent("a"),
        SetStep(name="s", expression="agents.a.output + 'x'", dependencies=("a",)),
        agent("b", "{s}", dependencies=("s",)),
    )
    assert guess(plan(spec)).steps[1].unknown == ("s",)


def test_rounds_multiply_a_step_and_its_members() -> None:
    head = agent("a", repeat=RepeatSpec(until="false", max=3, with_=("b",)))
    found = guess(plan(team(head, agent("b", dependencies=("a",))), retry=ONCE))
    assert [step.rounds for step in found.steps] == [3, 3]
    assert [step.most for step in found.steps] == [CALL * 3, CALL * 3]
    assert [step.calls for step in found.steps] == [2, 2]


def test_a_handler_is_not_expected_to_be_needed() -> None:
    found = guess(plan(team(agent("a", catch="h"), agent("h"))))
    assert found.steps[1].calls == 0
    assert found.steps[1].expected == 0
    assert found.steps[1].most is not None
    assert found.steps[1].most > 0


def test_a_team_within_spends_what_its_step_grants_and_no_more_than_its_own_budget() -> None:
    child = plan(team(agent("x"), agent("y"), cost_budget=CALL * 2), retry=ONCE)
    step = TeamStep(name="sub", file="x.yaml", inputs={}, cost_limit=Decimal(1))
    found = only(guess(plan(team(step), children={"sub": child})))
    assert found.team is not None
    assert found.most == CALL * 2
    tight = step.model_copy(update={"cost_limit": CALL})
    assert only(guess(plan(team(tight), children={"sub": child}))).most == CALL
    poor = plan(team(agent("x"), agent("y"), cost_budget=CALL), retry=ONCE)
    assert only(guess(plan(team(step), children={"sub": poor}))).most == CALL


def usual_of_a(calls: str, items: str) -> Usual:
    step = UsualStep(Decimal(calls), 10, 7.0, Decimal("0.5"), Decimal(items))
    return Usual(2, {"a": step})


def test_earlier_runs_take_the_place_of_guesses() -> None:
    seen = usual_of_a("1.5", "1")
    found = only(guess(plan(team(agent("a"))), seen))
    assert found.calls == Decimal("1.5")
    assert found.expected == prices.cost(GPT4, Usage(found.tokens.prompt, 10)) * Decimal("1.5")
    assert found.seconds == 7.0


@pytest.mark.parametrize(("now", "calls"), [(0, "0"), (1, "1.2"), (2, "2.4"), (500, "600")])
def test_earlier_runs_of_other_lists_count_by_the_item(now: int, calls: str) -> None:
    step = agent("a", "{one}", for_each=ForEachSpec(item="one", in_="inputs.list"))
    planned = plan(team(step, inputs={"list": {"type": "list"}}, cost_budget=1000))
    found = only(guess(planned, usual_of_a("120", "100"), list=["x"] * now))
    assert found.calls == Decimal(calls)
    assert found.expected == prices.cost(GPT4, Usage(found.tokens.prompt, 10)) * Decimal(calls)
    assert found.seconds == pytest.approx(0.07 * now)


def test_earlier_turns_of_an_agent_count_by_the_item() -> None:
    each = ForEachSpec(item="one", in_="inputs.list")
    step = AgentStep(name="a", file="a.yaml", prompt_template="{one}", for_each=each)
    planned = plan(team(step, inputs={"list": {"type": "list"}}))
    found = only(guess(planned, usual_of_a("300", "100"), list=["x", "y"]))
    assert found.kind == "agent"
    assert found.calls == 6
    assert found.seconds == pytest.approx(0.14)
    assert only(guess(planned, usual_of_a("300", "100"), list=[])).calls == 0


def test_no_more_calls_are_expected_than_there_can_be() -> None:
    assert only(guess(plan(team(agent("a")), retry=ONCE), usual_of_a("7", "1"))).calls == 1
    repeated = agent("a", repeat=RepeatSpec(until="false", max=3))
    assert only(guess(plan(team(repeated), retry=ONCE), usual_of_a("7", "1"))).calls == 3
    step = agent("a", "{one}", for_each=ForEachSpec(item="one", in_="inputs.list"))
    planned = plan(team(step, inputs={"list": {"type": "list"}}), retry=ONCE)
    assert only(guess(planned, usual_of_a("50", "10"), list=["x", "y"])).calls == 2


def test_the_longest_chain_is_in_seconds() -> None:
    slow = agent("slow", llm_config={"max_tokens": 600})  # half of them: 1 + 300 / 60 s
    spec = team(
        *(slow, agent("quick"), agent("end", dependencies=("slow", "quick"))),
        *(WaitStep(name="wait", seconds=4), agent("other", dependencies=("wait",))),
    )
    found = guess(plan(spec))
    assert found.path == ("slow", "end")
    assert found.path_seconds == pytest.approx(6 + 1 + 25 / 60)


def test_a_loop_counts_its_members_where_it_stands() -> None:
    head = agent("a", repeat=RepeatSpec(until="false", max=4, with_=("b",)))
    after = agent("c", dependencies=("b",))
    found = guess(plan(team(head, agent("b", dependencies=("a",)), after)))
    one = 1 + 25 / 60
    assert found.path == ("a", "b", "c")
    assert found.path_seconds == pytest.approx(2 * one + 2 * one + one)


def test_a_list_takes_as_long_as_its_slowest_lane() -> None:
    step = agent("a", for_each=ForEachSpec(item="x", in_="inputs.list", max_parallel=2))
    planned = plan(team(step, inputs={"list": {"type": "list"}}))
    assert only(guess(planned, list=[1, 2, 3, 4, 5])).seconds == pytest.approx(3 * (1 + 25 / 60))
