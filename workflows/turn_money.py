"""The money of a conversation: a run's reservations, refused in the words of an agent's file."""

from decimal import Decimal

from contracts.plans import StepNode
from rules.ledger import Scope
from workflows.reserving import Reserver

TURN_KEY = "budget.turn"


class TurnReserver(Reserver):
    """The conversation's ledger as its turns use it."""

    def _key(self, node: StepNode) -> str:
        return self._limit_key or TURN_KEY

    def _over_limit(self, scope: Scope, spent: Decimal, needs: str, key: str) -> str:
        if key != TURN_KEY:
            return super()._over_limit(scope, spent, needs, key)
        return (
            f"budget.turn {scope.limit}: {spent} is spent in this turn, a call of {needs}; "
            "raise budget.turn, or clear the conversation"
        )

    def _over_budget(self, unit: str, needs: str) -> str:
        ledger = self._state.ledger
        return (
            f"budget.session {ledger.cap}: {ledger.counted} is spent, a call of {needs}; "
            "raise budget.session"
        )
