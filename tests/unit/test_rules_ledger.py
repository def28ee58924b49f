"""The run's money, by examples. `test_rules_ledger_orders` tries every order of events."""

from decimal import Decimal

import pytest

from contracts.messages import Usage
from contracts.prices import Price, Rate
from rules.bounds import input_bound
from rules.ledger import Granted, Ledger, LedgerError, LedgerState, Refused, Scope, Waiting
from rules.prices import cost, worst_case

pytestmark = pytest.mark.unit

D = Decimal


def test_a_reservation_is_held_and_settled_at_its_cost() -> None:
    ledger = Ledger(D("1"))
    assert ledger.ask("a#1", "a", D("0.4")) == Granted()
    assert (ledger.reserved, ledger.available, ledger.counted) == (D("0.4"), D("0.6"), D(0))
    ledger.settle("a#1", D("0.1"))
    assert (ledger.reserved, ledger.available, ledger.counted) == (D(0), D("0.9"), D("0.1"))
    assert (ledger.served, ledger.uncertain) == (D("0.1"), D(0))
    assert dict(ledger.by_step) == {"a": D("0.1")}


def test_an_uncertain_attempt_keeps_counting_whole() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a#1", "a", D("0.4"))
    ledger.settle_uncertain("a#1", D("0.1"))
    assert (ledger.counted, ledger.served, ledger.uncertain) == (D("0.4"), D("0.1"), D("0.3"))
    assert dict(ledger.by_step) == {"a": D("0.4")}


def test_a_released_attempt_costs_nothing() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a#1", "a", D("1"))
    ledger.release("a#1")
    assert (ledger.reserved, ledger.counted, ledger.available) == (D(0), D(0), D(1))


def test_nothing_is_written_as_0_whatever_decimals_its_sums_had() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a#1", "a", D("0.0000001"))
    ledger.settle("a#1", D("0.0000001"))
    assert (str(ledger.reserved), str(ledger.uncertain)) == ("0", "0")


def test_D13_a_step_limit_is_never_passed_and_named() -> None:
    ledger = Ledger(D("1"))
    refusal = ledger.ask("a#1", "a", D("0.006"), D("0.0001"))
    assert refusal == Refused("cost_limit", D("0.0001"), D("0.006"))
    assert ledger.ask("a#1", "a", D("0.06"), D("0.1")) == Granted()
    assert ledger.ask("a#2", "a", D("0.06"), D("0.1")) == Refused(
        "cost_limit", D("0.04"), D("0.06")
    )
    ledger.settle("a#1", D("0.05"))
    assert ledger.ask("a#2", "a", D("0.06"), D("0.1")) == Refused(
        "cost_limit", D("0.05"), D("0.06")
    )
    assert ledger.ask("a#3", "a", D("0.05"), D("0.1")) == Granted()


def test_D14_exactly_as_many_attempts_as_the_budget_pays() -> None:
    ledger = Ledger(D("0.013"))
    answers = [ledger.ask(f"a{n}#1", f"a{n}", D("0.006")) for n in range(5)]
    assert answers == [Granted(), Granted(), Waiting(), Waiting(), Waiting()]
    ledger.settle("a0#1", D("0.006"))
    assert ledger.granted() == []
    assert ledger.refused() == []
    ledger.settle("a1#1", D("0.006"))
    assert ledger.granted() == []
    assert ledger.refused() == ["a2#1", "a3#1", "a4#1"]
    assert ledger.refused() == []
    assert ledger.counted == D("0.012")
    assert ledger.ask("a2#1", "a2", D("0.006")) == Refused("cost_budget", D("0.001"), D("0.006"))


def test_D14_two_calls_fit_the_budget_at_their_worst_case() -> None:
    """A prompt of 100 bytes and 50 tokens of answer on gpt-4: worst 0.00672, in fact 0.006."""
    price = Price(
        model="gpt-4",
        input=Rate(base=D(30)),
        output=Rate(base=D(60)),
        source="test",
        version="1",
    )
    need = worst_case(price, input_bound(100, []), 50)
    actual = cost(price, Usage(100, 50))
    ledger = Ledger(D("0.013"))
    answers = [ledger.ask(f"a{n}", f"a{n}", need) for n in range(5)]
    assert answers == [Granted(), *[Waiting()] * 4]
    called = ["a0"]
    for name in called:
        ledger.settle(name, actual)
        called += ledger.granted()
    assert called == ["a0", "a1"]
    assert ledger.refused() == ["a2", "a3", "a4"]
    assert ledger.counted == D("0.012")


def test_the_queue_is_first_in_first_out_and_nobody_overtakes() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a", "a", D("0.8"))
    assert ledger.ask("dear", "b", D("0.9")) == Waiting()
    assert ledger.ask("cheap", "c", D("0.1")) == Waiting()
    assert ledger.waiting == ("dear", "cheap")
    assert ledger.granted() == []
    ledger.settle("a", D("0.05"))
    assert ledger.granted() == ["dear"]
    assert ledger.granted() == []
    ledger.settle("dear", D("0.05"))
    assert ledger.granted() == ["cheap"]


def test_what_has_become_impossible_makes_way() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a", "a", D("0.8"))
    ledger.ask("dear", "b", D("0.9"))
    ledger.ask("cheap", "c", D("0.2"))
    ledger.settle("a", D("0.7"))
    assert ledger.granted() == ["cheap"]
    assert ledger.refused() == ["dear"]


def test_a_step_limit_that_filled_up_while_waiting_refuses() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a", "a", D("0.9"))
    assert ledger.ask("b#1", "b", D("0.2"), D("0.3")) == Waiting()
    assert ledger.ask("b#2", "b", D("0.2"), D("0.3")) == Waiting()
    ledger.release("a")
    assert ledger.granted() == ["b#1"]
    assert ledger.refused() == ["b#2"]


def test_leaving_the_queue_lets_the_next_one_through() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a", "a", D("0.5"))
    ledger.ask("b", "b", D("0.9"))
    ledger.ask("c", "c", D("0.5"))
    ledger.withdraw("b")
    assert ledger.granted() == ["c"]
    with pytest.raises(LedgerError, match="b is not waiting"):
        ledger.withdraw("b")


def test_a_raised_cap_makes_room_and_a_lowered_one_is_refused() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a", "a", D("0.9"))
    ledger.ask("b", "b", D("0.9"))
    ledger.raise_cap(D("1.8"))
    assert ledger.granted() == ["b"]
    with pytest.raises(LedgerError, match="only be raised"):
        ledger.raise_cap(D("1.7"))


@pytest.mark.parametrize("end", ["settle", "settle_uncertain", "release"])
@pytest.mark.parametrize("again", ["settle", "settle_uncertain", "release"])
def test_every_reservation_ends_once(end: str, again: str) -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a", "a", D("0.5"))

    def finish(how: str) -> None:
        method = getattr(ledger, how)
        method("a") if how == "release" else method("a", D("0.1"))

    finish(end)
    before = ledger.to_state()
    with pytest.raises(LedgerError, match="a holds no reservation"):
        finish(again)
    assert ledger.to_state() == before


@pytest.mark.parametrize("amount", ["-0.1", "NaN", "Infinity"])
def test_what_is_no_amount_is_refused_and_changes_nothing(amount: str) -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a", "a", D("0.5"))
    before = ledger.to_state()
    with pytest.raises(LedgerError):
        ledger.ask("b", "b", D(amount))
    with pytest.raises(LedgerError):
        ledger.settle("a", D(amount))
    with pytest.raises(LedgerError):
        ledger.settle_uncertain("a", D(amount))
    with pytest.raises(LedgerError, match="asked already"):
        ledger.ask("a", "a", D("0.1"))
    assert ledger.to_state() == before


def test_a_vendor_over_its_bound_is_recorded_and_flagged() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a", "a", D("0.5"))
    ledger.ask("b", "b", D("0.5"))
    ledger.settle("a", D("0.7"))
    assert (ledger.counted, ledger.available, ledger.over_bound) == (D("0.7"), D("-0.2"), ("a",))
    assert ledger.affordable("c") == D(0)
    ledger.settle_uncertain("b", D("0.6"))
    assert (ledger.counted, ledger.served) == (D("1.3"), D("1.3"))
    assert ledger.over_bound == ("a", "b")


def test_what_costs_nothing_always_fits() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a", "a", D("1"))
    ledger.settle("a", D("1.5"))
    assert ledger.ask("free", "b", D(0)) == Granted()
    assert ledger.ask("paid", "b", D("0.01")) == Refused("cost_budget", D(0), D("0.01"))
    assert ledger.ask("own", "a", D(0), D("0.1")) == Granted()


def test_shares_of_the_cap_are_noticed_at_their_exact_values() -> None:
    ledger = Ledger(D("1"))
    seen = []
    for number, amount in enumerate(["0.4999", "0.0001", "0.2999", "0.0001", "0.1999", "0.0001"]):
        ledger.ask(f"{number}", "a", D(amount))
        ledger.settle(f"{number}", D(amount))
        seen.append(ledger.crossed)
    assert seen == [0, 50, 50, 80, 80, 100]


def test_what_is_affordable_now_and_eventually() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a#1", "a", D("0.1"))
    ledger.settle("a#1", D("0.1"))
    ledger.ask("a#2", "a", D("0.3"))
    assert ledger.affordable("b") == D("0.6")
    assert ledger.affordable_eventually("b") == D("0.9")
    assert ledger.affordable("b", D("0.2")) == D("0.2")
    assert ledger.affordable("a", D("0.5")) == D("0.1")
    assert ledger.affordable_eventually("a", D("0.5")) == D("0.1")
    assert ledger.affordable_eventually("a", D("0.3")) == D(0)
    ledger.ask("c", "c", D("0.7"))
    assert ledger.affordable("b") == D(0), "others wait"


def test_sums_are_exact_beyond_the_default_precision() -> None:
    ledger = Ledger(D("1000000000"))
    tiny = D("0.0000000000000000000000000000001")
    for number in range(3):
        ledger.ask(str(number), "a", D("100000000"))
        ledger.settle(str(number), tiny)
    ledger.ask("large", "a", D("1000"))
    ledger.settle("large", D("1000"))
    assert ledger.counted == D("1000.0000000000000000000000000000003")


def test_a_ledger_survives_json() -> None:
    ledger = Ledger(D("1.10"))
    ledger.ask("a", "a", D("0.5"))
    ledger.ask("b", "b", D("0.6"), D("0.7"))
    ledger.ask("c", "c", D("0.9"))
    ledger.settle_uncertain("a", D("0.2"))
    text = ledger.to_state().model_dump_json()
    copy = Ledger.from_state(LedgerState.model_validate_json(text))
    assert copy.to_state() == ledger.to_state()
    for each in (ledger, copy):
        each.settle("b", D("0.01"))
    assert copy.granted() == ledger.granted()
    assert copy.refused() == ledger.refused()
    assert copy.to_state() == ledger.to_state()


def test_who_waits_cannot_ask_again() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a", "a", D("0.9"))
    assert ledger.ask("b", "b", D("0.2")) == Waiting()
    with pytest.raises(LedgerError, match="b has asked already"):
        ledger.ask("b", "b", D("0.2"))


def test_who_was_refused_is_told_of_in_the_next_history() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a", "a", D("0.8"))
    ledger.ask("b", "b", D("0.9"))
    ledger.settle("a", D("0.5"))
    assert ledger.granted() == []
    text = ledger.to_state().model_dump_json()
    copy = Ledger.from_state(LedgerState.model_validate_json(text))
    assert copy.refused() == ["b"]
    assert copy.refused() == []


def test_an_agent_answers_for_what_its_tools_spend() -> None:
    """The tool's own limit is a dollar, the agent's half of one: held, counted, and carried on."""
    ledger, agent = Ledger(D("9")), (Scope(step="agent", limit=D("0.5")),)
    assert ledger.ask("t#1", "tool", D("0.3"), D("1"), agent) == Granted()
    assert ledger.ask("t#2", "tool", D("0.3"), D("1"), agent) == Refused(
        "cost_limit", D("0.2"), D("0.3")
    )
    assert ledger.ask("a#1", "agent", D("0.3"), D("0.5")) == Refused(
        "cost_limit", D("0.2"), D("0.3")
    )
    assert ledger.affordable_eventually("tool", D("1"), agent) == D("0.2")
    ledger.settle("t#1", D("0.1"))
    assert (ledger.spent_by("agent"), ledger.spent_by("tool")) == (D("0.1"), D("0.1"))
    assert dict(ledger.by_step) == {"tool": D("0.1")}, "counted once"
    text = ledger.to_state().model_dump_json()
    copy = Ledger.from_state(LedgerState.model_validate_json(text))
    assert copy.affordable_eventually("tool", D("1"), agent) == D("0.4")
    assert copy.ask("t#2", "tool", D("0.4"), D("1"), agent) == Granted()


def test_a_ledger_that_lives_on_grants_has_what_is_left_and_the_new_one() -> None:
    ledger = Ledger(D("1"))
    ledger.ask("a", "a", D("0.7"))
    with pytest.raises(LedgerError, match="cannot be renewed"):
        ledger.renew(D("2"))
    ledger.settle("a", D("0.6"))
    ledger.renew(D("0.3"))
    assert (ledger.cap, ledger.available) == (D("0.9"), D("0.3"))
