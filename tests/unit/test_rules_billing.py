"""A bill adds up, and an amount that was booked otherwise than it is computed is named."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import Usage
from contracts.plans import Plan
from contracts.runs import AttemptRecord, RunCost, SlicePart
from contracts.teams import TeamStep
from rules import prices
from rules.billing import Bill, all_lines, by_step, calls, differences, make_bill
from rules.ledger import Ledger
from rules.prices import Charge
from tests.support.cases import cases
from tests.support.teams import GPT4, agent, plan, team

pytestmark = pytest.mark.unit

ZERO = Decimal(0)


def sub(**more: Any) -> TeamStep:
    return TeamStep(name="sub", file="x.yaml", inputs={}, **more)


PLAN = plan(team(agent("a"), agent("b"), sub()))


def attempt(step: str, state: str = "settled", number: int = 1, **more: Any) -> AttemptRecord:
    """An attempt as a run books it: 100 tokens in, 50 out, held for 120 and 60."""
    usage = None if state in ("released", "reserved") else Usage(100, 50)
    held = prices.worst_case(GPT4, 120, 60)
    served = prices.cost(GPT4, usage) if usage else ZERO
    cost = {"settled": served, "uncertain": held}.get(state, ZERO)
    values: dict[str, Any] = {
        "provider": "scripted",
        "model": "gpt-4",
        "reserved": held,
        "cost": cost,
        "served": served,
        "usage": usage,
        "input_bound": 120,
        "max_tokens": 60,
    }
    return AttemptRecord(step=step, number=number, state=state, **{**values, **more})


def grant(state: str = "settled", cost: str = "0.012", **more: Any) -> AttemptRecord:
    """A team's line."""
    amount = Decimal(cost)
    values: dict[str, Any] = {"provider": "team", "model": "sub", "reserved": Decimal(1)}
    return attempt("sub", state, **{**values, "cost": amount, "served": amount, **more})


def ledger_of(*attempts: AttemptRecord, run_id: str = "r") -> RunCost:
    cost = sum((a.cost for a in attempts), ZERO)
    served = sum((a.served for a in attempts), ZERO)
    return RunCost(
        run_id=run_id,
        budget=Decimal(9),
        cost=cost,
        served=served,
        uncertain=cost - served,
        reserved=ZERO,
        by_step=by_step(attempts),
        attempts=attempts,
    )


def bill(*attempts: AttemptRecord, inner: dict[str, Bill] | None = None) -> Bill:
    return make_bill(ledger_of(*attempts), PLAN, inner)


def named(found: Bill) -> list[tuple[str, str]]:
    return [(one.line, one.what) for one in differences(found)]


def test_every_state_is_computed_from_usage_and_price() -> None:
    found = bill(*(attempt("a", state, n) for n, state in enumerate(STATES, 1)))
    assert differences(found) == []
    assert [line.computed for line in found.lines] == [line.attempt.cost for line in found.lines]
    settled, uncertain, released, under_way = found.lines
    assert settled.charged == (
        Charge("prompt", 100, Decimal(30)),
        Charge("answer", 50, Decimal(60)),
    )
    assert uncertain.held == (Charge("prompt", 120, Decimal(30)), Charge("answer", 60, Decimal(60)))
    assert released.computed == under_way.computed == 0


STATES = ("settled", "uncertain", "released", "reserved")


@pytest.mark.parametrize("field", ["cost", "served", "reserved"])
@pytest.mark.parametrize("state", STATES)
def test_a_changed_amount_is_named(state: str, field: str) -> None:
    good = attempt("a", state)
    bad = good.model_copy(update={field: getattr(good, field) + Decimal("0.000001")})
    assert ("a#1", field) in named(bill(bad, attempt("b")))


def test_changed_usage_and_a_changed_price_are_named() -> None:
    fewer = attempt("a", usage=Usage(99, 50))
    assert named(bill(fewer)) == [("a#1", "cost"), ("a#1", "served")]
    dearer = PLAN.candidates[0].model_copy(
        update={"price": GPT4.model_copy(update={"per_request": Decimal("0.01")})}
    )
    other = PLAN.model_copy(update={"candidates": (dearer,)})
    assert ("a#1", "cost") in [
        (d.line, d.what) for d in differences(make_bill(ledger_of(attempt("a")), other))
    ]


@pytest.mark.parametrize("total", ["cost", "served", "uncertain"])
def test_a_sum_that_is_none_is_named(total: str) -> None:
    good = ledger_of(attempt("a"), attempt("b", "uncertain"))
    bad = good.model_copy(update={total: getattr(good, total) + 1})
    assert ("total of r", total) in named(make_bill(bad, PLAN))


def test_a_missing_line_is_missed() -> None:
    good = ledger_of(attempt("a"), attempt("b"))
    bad = good.model_copy(update={"attempts": good.attempts[:1]})
    assert named(make_bill(bad, PLAN)) == [
        *(("total of r", "cost"), ("total of r", "served"), ("total of b", "cost"))
    ]


def test_a_model_that_the_plan_does_not_name_cannot_be_computed() -> None:
    found = bill(attempt("a", model="unheard"))
    assert found.lines[0].computed is None
    (one,) = differences(found)
    assert one.computed is None


def test_an_answer_without_usage_is_free_even_with_a_price_per_request() -> None:
    price = GPT4.model_copy(update={"per_request": Decimal("0.01")})
    free = PLAN.candidates[0].model_copy(update={"price": price})
    planned = PLAN.model_copy(update={"candidates": (free,)})
    held = prices.worst_case(price, 120, 60)
    refused = attempt("a", cost=ZERO, served=ZERO, usage=Usage(), reserved=held)
    assert differences(make_bill(ledger_of(refused), planned)) == []


def test_overhead_is_part_of_what_was_held() -> None:
    wide = PLAN.candidates[0].model_copy(update={"overhead_tokens": 1000})
    planned = PLAN.model_copy(update={"candidates": (wide,)})
    held = attempt("a", reserved=prices.worst_case(GPT4, 1120, 60))
    assert differences(make_bill(ledger_of(held), planned)) == []


def child(*attempts: AttemptRecord, before: str = "sub/") -> Bill:
    spec: Plan = plan(team(agent("x"), agent("y")))
    return make_bill(ledger_of(*attempts, run_id="r/sub"), spec, before=before)


def test_a_team_is_the_sum_of_its_own_bill() -> None:
    inner = child(attempt("x"), attempt("y"))
    found = bill(attempt("a"), grant(), inner={"sub#1": inner})
    assert differences(found) == []
    assert [line.name for line in all_lines(found)] == ["a#1", "sub#1", "sub/x#1", "sub/y#1"]
    assert [line.name for line in calls(found)] == ["a#1", "sub/x#1", "sub/y#1"]
    assert sum(line.attempt.cost for line in calls(found)) == found.cost.cost


def test_a_difference_deep_inside_is_named_and_reaches_the_sum() -> None:
    inner = child(attempt("x"), attempt("y", cost=Decimal("0.005")))
    found = bill(grant(cost="0.011"), inner={"sub#1": inner})
    assert ("sub/y#1", "cost") in named(found)
    assert ("sub#1", "cost") in named(found)


def test_a_team_that_was_lost_counts_its_grant() -> None:
    lost = grant("uncertain", cost="1", served=ZERO)
    assert differences(bill(lost)) == []
    found = bill(lost, inner={"sub#1": child(attempt("x"))})
    assert differences(found) == []
    rest = list(calls(found))
    assert [line.name for line in rest] == ["sub/x#1", "sub#1"]
    assert sum(line.attempt.cost for line in rest) == 1


def test_a_team_whose_bill_is_not_known_is_taken_as_booked() -> None:
    assert differences(bill(grant())) == []


def test_a_slice_that_is_not_known_is_taken_as_booked() -> None:
    part = SlicePart(run_id="r/slice")
    assert differences(bill(attempt("a", "reserved", cost=Decimal(2), part=part))) == []


@cases(100)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.integers(0, 5000),
            st.integers(0, 500),
            st.sampled_from(["settle", "uncertain", "release"]),
        ),
        max_size=8,
    ),
    st.integers(1, 10**9),
)
def test_what_a_ledger_counted_is_what_the_bill_computes(
    calls_made: list[tuple[str, int, int, str]], nano: int
) -> None:
    ledger, made = Ledger(Decimal(10**6)), []
    for number, (step, prompt, answer, ending) in enumerate(calls_made, 1):
        held = prices.worst_case(GPT4, 5000, 500)
        usage = Usage(prompt, answer)
        seen = prices.cost(GPT4, usage) if usage.total_tokens else ZERO
        one = attempt(step, "released", number, reserved=held, input_bound=5000, max_tokens=500)
        ledger.ask(one.id, step, held)
        if ending == "release":
            ledger.release(one.id)
        elif ending == "settle":
            ledger.settle(one.id, seen)
            one = one.model_copy(
                update={"state": "settled", "cost": seen, "served": seen, "usage": usage}
            )
        else:
            ledger.settle_uncertain(one.id, min(seen, held))
            update = {"cost": held, "served": min(seen, held), "usage": usage}
            one = one.model_copy(update={"state": "uncertain", **update})
        made.append(one)
    cost = ledger_of(*made).model_copy(
        update={
            "cost": ledger.counted,
            "served": ledger.served,
            "uncertain": ledger.uncertain,
            "by_step": dict(ledger.by_step),
        }
    )
    assert differences(make_bill(cost, PLAN)) == []
    assert make_bill(cost, PLAN).computed == ledger.counted
    if made:
        shifted = made[0].model_copy(update={"cost": made[0].cost + Decimal(nano) / 10**9})
        broken = cost.model_copy(update={"attempts": (shifted, *made[1:])})
        assert (made[0].id, "cost") in named(make_bill(broken, PLAN))
