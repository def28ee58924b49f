"""The run's money, in every order of events: a machine that keeps books of its own beside it."""

from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rules.ledger import Granted, Ledger, LedgerError, LedgerState, Scope, Waiting
from tests.support.cases import cases

pytestmark = pytest.mark.unit

D = Decimal

cents = st.integers(0, 60).map(lambda n: D(n) / 100)


OUTER = Scope(step="outer", limit=D("0.5"))
"""An agent that answers for some of what is asked for."""


class LedgerMachine(RuleBasedStateMachine):
    """Keeps books of its own, in whole cents, beside the ledger's."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(D("1"))
        self.number = 0
        self.held: dict[str, D] = {}
        self.queue: dict[str, tuple[str, D, D | None]] = {}
        self.inside: set[str] = set()
        self.outer = D(0)
        self.ended: set[str] = set()
        self.counted = self.served = D(0)
        self.by_step: dict[str, D] = {}
        self.steps: dict[str, str] = {}
        self.limits: dict[str, D | None] = {}

    def sweep(self) -> None:
        """What every caller does after each event."""
        order = list(self.queue)
        granted, refused = self.ledger.granted(), self.ledger.refused()
        assert not set(granted) & set(refused)
        assert granted == [name for name in order if name in granted], "out of order"
        for name in refused:
            step, amount, limit = self.queue.pop(name)
            around = (OUTER,) if name in self.inside else ()
            room = self.ledger.affordable_eventually(step, limit, around)
            assert amount > room, "refused what could have fitted"
        for name in granted:
            before = order[: order.index(name)]
            assert not [n for n in before if n in self.queue and n not in granted], "overtaken"
            self.held[name] = self.queue.pop(name)[1]
        assert self.held or not self.queue, "somebody waits for nothing"

    @rule(step=st.sampled_from("xyz"), amount=cents, limit=st.none() | cents, inside=st.booleans())
    def ask(self, step: str, amount: D, limit: D | None, inside: bool) -> None:
        self.number += 1
        name = f"{step}#{self.number}"
        self.steps[name], self.limits[name] = step, limit
        around = (OUTER,) if inside else ()
        if inside:
            self.inside.add(name)
        now = self.ledger.affordable(step, limit)
        eventually = self.ledger.affordable_eventually(step, limit, around)
        answer = self.ledger.ask(name, step, amount, limit, around)
        if isinstance(answer, Granted):
            assert amount <= now
            assert not self.queue
            self.held[name] = amount
        elif isinstance(answer, Waiting):
            assert amount <= eventually
            assert amount > now or self.queue
            self.queue[name] = (step, amount, limit)
        else:
            assert amount > eventually
            assert answer.need == amount
            assert answer.available < amount
        self.sweep()

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        share=st.integers(0, 100),
        how=st.sampled_from(["certain", "uncertain", "child"]),
    )
    def settle(self, data: st.DataObject, share: int, how: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        amount = self.held.pop(name)
        seen = amount * share / 100
        counts = {"certain": seen, "uncertain": amount, "child": (seen + amount) / 2}[how]
        if how == "certain":
            self.ledger.settle(name, seen)
        elif how == "uncertain":
            self.ledger.settle_uncertain(name, seen)
        else:
            self.ledger.settle_child(name, counts, seen)
        self.outer += counts if name in self.inside else D(0)
        self.counted += counts
        self.served += seen
        self.by_step[self.steps[name]] = self.by_step.get(self.steps[name], D(0)) + counts
        self.ended.add(name)
        self.sweep()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), more=cents)
    def extend(self, data: st.DataObject, more: D) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        asked = self.limits[name]
        around = (OUTER,) if name in self.inside else ()
        room = min(
            self.ledger.extendable(self.steps[name], asked),
            self.ledger.affordable_eventually(self.steps[name], asked, around),
        )
        if more > room:
            with pytest.raises(LedgerError):
                self.ledger.extend(name, more)
            return
        self.ledger.extend(name, more)
        self.held[name] = self.held.pop(name) + more

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        del self.held[name]
        self.ledger.release(name)
        self.ended.add(name)
        self.sweep()

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.queue)))
        del self.queue[name]
        self.ledger.withdraw(name)
        self.sweep()

    @rule(more=cents)
    def raise_cap(self, more: D) -> None:
        self.ledger.raise_cap(self.ledger.cap + more)
        self.sweep()

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def end_again(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.ended)))
        with pytest.raises(LedgerError):
            self.ledger.settle(name, D(0))
        with pytest.raises(LedgerError):
            self.ledger.release(name)

    @rule()
    def go_on_in_a_new_history(self) -> None:
        text = self.ledger.to_state().model_dump_json()
        self.ledger = Ledger.from_state(LedgerState.model_validate_json(text))

    @invariant()
    def no_cent_over(self) -> None:
        ledger = self.ledger
        assert ledger.reserved + ledger.counted <= ledger.cap
        assert ledger.available == ledger.cap - ledger.reserved - ledger.counted

    @invariant()
    def no_agent_passes_its_limit(self) -> None:
        assert self.ledger.spent_by("outer") == self.outer
        held = sum((self.held[name] for name in self.held if name in self.inside), D(0))
        assert self.outer + held <= OUTER.limit

    @invariant()
    def books_agree(self) -> None:
        ledger = self.ledger
        assert ledger.reserved == sum(self.held.values(), D(0))
        assert ledger.outstanding == tuple(self.held)
        assert ledger.waiting == tuple(self.queue)
        assert (ledger.counted, ledger.served) == (self.counted, self.served)
        assert ledger.served <= ledger.counted
        assert ledger.uncertain == self.counted - self.served
        assert dict(ledger.by_step) == self.by_step
        assert ledger.over_bound == ()

    def teardown(self) -> None:
        """Once all others have ended, nobody waits any more."""
        while self.held:
            self.ledger.settle(next(iter(self.held)), D(0))
            del self.held[next(iter(self.held))]
            self.sweep()
        assert not self.queue


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(cases(60), stateful_step_count=30)
TestLedgerMachine.pytestmark = [pytest.mark.unit]
