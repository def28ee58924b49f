"""The money of a run that is a step of another: a grant, and more when that is spent.

Promises: what it holds and has counted never passes its grants, nor its own `cost_budget`. Where
the next call does not fit, it asks the run around it and waits; that one gives what it has, or
pauses until a person has raised its budget, or asks further out. One ask at a time: a later one
may find that there is room by then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from temporalio import workflow
from temporalio.exceptions import FailureError

from contracts.runs import MONEY_SIGNAL, MoneyGiven, MoneyWanted, money_signal
from rules.ledger import ZERO
from workflows.reserving import Reserver, Unaffordable
from workflows.state import RunState


@dataclass
class Asks:
    """What was asked for so far, by all who share the ledger."""

    count: int = 0
    under_way: bool = False
    answered: MoneyGiven | None = None


class GrantedReserver(Reserver):
    """A child run's ledger, where its run gives more (`RunRequest.may_ask`)."""

    def __init__(self, state: RunState) -> None:
        super().__init__(state)
        self._run = state
        self._asks = Asks()
        workflow.set_signal_handler(MONEY_SIGNAL, self._given)

    async def out_of_money(
        self,
        message: str,
        least: Decimal = ZERO,
        need: Decimal = ZERO,
        enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wait until the run around gave more. Raises Unaffordable where that is no help."""
        state, ledger, asks = self._run, self._run.ledger, self._asks
        cap = ledger.cap
        budget = state.header.cost_budget
        own = budget - cap
        if need <= 0 or own <= 0 or own < least:
            raise Unaffordable(f"{message}; its team's own is {budget}")
        with state.money.waited_for(message):
            await workflow.wait_condition(lambda: not asks.under_way)
            if ledger.cap > cap or enough():
                return
            asks.under_way = True
            try:
                await self._ask(max(least, ZERO), min(need, own), message, enough)
            finally:
                asks.under_way = False

    async def _ask(
        self, least: Decimal, need: Decimal, why: str, enough: Callable[[], bool]
    ) -> None:
        info, asks = workflow.info(), self._asks
        if info.parent is None:
            raise Unaffordable(why)
        asks.count += 1
        ask = f"{info.run_id}:{asks.count}"
        request = self._run.request
        wanted = MoneyWanted(child=request.run_id, ask=ask, least=least, need=need, why=why)
        parent = workflow.get_external_workflow_handle(info.parent.workflow_id)
        try:
            await parent.signal(money_signal(request.team), wanted)
        except FailureError:  # it has ended, and will stop this one
            raise Unaffordable(why) from None
        await workflow.wait_condition(
            lambda: (asks.answered is not None and asks.answered.ask == ask) or enough()
        )
        if asks.answered is not None and asks.answered.ask == ask and asks.answered.refused:
            raise Unaffordable(asks.answered.refused)

    def _given(self, given: MoneyGiven) -> None:
        """Take what was given, whoever asked and whether or not it still waits."""
        self._asks.answered = given
        cap = min(given.grant, self._run.header.cost_budget)
        if cap > self._run.ledger.cap:
            self.raise_cap(cap)
