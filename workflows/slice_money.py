"""The money of a slice's child run: a grant of its run's budget, and another when that is spent.

Promises: a call is made under the same terms as in the run itself. Where the grant does not pay
for a call's whole worst case, the child lets what is in flight end, gives back what it did not
need and asks its run, which answers with a new grant. Only when the run has nothing more is an
answer made shorter, or the item refused.
"""

from collections.abc import Callable
from decimal import Decimal

from temporalio import workflow

from contracts.plans import Candidate, StepNode
from contracts.slices import SliceControl
from rules import prices
from workflows.reserving import Reserver, Unaffordable
from workflows.state import RunState

ZERO = Decimal(0)


class SliceReserver(Reserver):
    """The slice's ledger. `tell` sends a report; `control` is what the run said last."""

    def __init__(self, state: RunState, tell: Callable[[], None]) -> None:
        super().__init__(state)
        self._ledger = state.ledger
        self._tell = tell
        self.control = SliceControl()
        self.asks = 0
        self.need, self.least, self.call = ZERO, ZERO, ""
        self._asking = False
        self._refusals: list[tuple[Decimal, Decimal, str]] = []

    def begin(self, control: SliceControl) -> None:
        """Take over what the run allowed at the start."""
        self.control = control
        self._ledger.renew(control.grant)

    async def _make_room(
        self, unit: str, node: StepNode, candidate: Candidate, prompt: int, wanted: int
    ) -> None:
        """Ask the run for more where the grant is too small for a call's worst case."""
        least = prices.worst_case(candidate.price, prompt, min(node.min_output_tokens, wanted))
        full = prices.worst_case(candidate.price, prompt, wanted)
        while True:
            await workflow.wait_condition(lambda: not self._asking)
            limit = node.cost_limit - self._ledger.by_step.get(unit, ZERO)
            need = min(full, limit)
            if least > limit or self._ledger.affordable_eventually(unit) >= need:
                return
            if self._nothing_more(least):
                return
            try:
                self._refuse_again(least)
                await self._ask(need, least, f"{unit} on {candidate.model}")
            except Unaffordable:
                if candidate.counts_tokens:
                    return  # its own count of the prompt may be far below the bound by bytes
                raise

    def _nothing_more(self, least: Decimal) -> bool:
        """Whether what is held is all that there is, and pays for a short answer at least."""
        control = self.control
        return control.whole and self._ledger.affordable_eventually("") >= least

    def _refuse_again(self, least: Decimal) -> None:
        """Refuse without asking what is no cheaper than something refused under this budget."""
        for budget, refused, why in self._refusals:
            if budget == self.control.budget and least >= refused:
                raise Unaffordable(why)

    async def _ask(self, need: Decimal, least: Decimal, call: str) -> None:
        """Let everything in flight end, then ask and take what is given. Raises Unaffordable."""
        ledger, self._asking = self._ledger, True
        try:
            await workflow.wait_condition(lambda: not ledger.outstanding and not ledger.waiting)
            if ledger.affordable_eventually("") >= need:
                return
            self.need, self.least, self.call = need, least, call
            self.asks += 1
            self._tell()
            await workflow.wait_condition(lambda: self.control.grants == self.asks)
            if self.control.refused is not None:
                ledger.renew(ZERO)
                self._refusals.append((self.control.budget, least, self.control.refused))
                raise Unaffordable(self.control.refused)
            ledger.renew(self.control.grant)
        finally:
            self._asking = False
