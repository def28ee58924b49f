"""The money of a conversation: a run's reservations, refused in the words of an agent's file."""

from decimal import Decimal

from contracts.plans import Candidate, StepNode
from rules import prices
from workflows.reserving import Reserver, Unaffordable


class TurnReserver(Reserver):
    """The conversation's ledger as its turns use it."""

    async def _unaffordable(
        self, unit: str, node: StepNode, candidate: Candidate, bound: int, wanted: int
    ) -> None:
        ledger = self._state.ledger
        least = prices.worst_case(candidate.price, bound, min(node.min_output_tokens, wanted))
        spent = ledger.by_step.get(unit, Decimal(0))
        needs = f"a call of {candidate.model} may cost {least} (at most {bound:,} input tokens)"
        if spent + least > node.cost_limit:
            raise Unaffordable(
                f"budget.turn {node.cost_limit}: {spent} is spent in this turn, {needs}; "
                "raise budget.turn, or clear the conversation"
            )
        await self.out_of_money(
            f"budget.session {ledger.cap}: {ledger.counted} is spent, {needs}; raise budget.session"
        )
