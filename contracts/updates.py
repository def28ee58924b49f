"""Commands to a run: each an update with one argument, refused by its validator before history."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from contracts.base import Frozen


class BudgetRaise(Frozen):
    """Raises the run's `cost_budget` to so many dollars in all."""

    to: Annotated[Decimal, Field(gt=0)]


class BudgetView(Frozen):
    """The budget after a raise, and what is spent of it."""

    budget: Decimal
    cost: Decimal
