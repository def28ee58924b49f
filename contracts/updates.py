"""Commands to a run: each an update with one argument, refused by its validator before history."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Frozen


class BudgetRaise(Frozen):
    """Raises the run's `cost_budget` to so many dollars in all."""

    to: Annotated[Decimal, Field(gt=0)]


class BudgetView(Frozen):
    """The budget after a raise, and what is spent of it."""

    budget: Decimal
    cost: Decimal


class Answer(Frozen):
    """A person's answer to a question of the run. `comment` is kept beside it."""

    step: str
    choice: str
    comment: str = ""
    by: str = ""


class SkipRequest(Frozen):
    """Leaves out an agent that has not started, and what needs it."""

    step: str
    reason: str = ""


class PauseRequest(Frozen):
    """`paused` True starts no further call until it is False again; those in flight go on."""

    paused: bool
    reason: str = ""


class Accepted(Frozen):
    """A command was carried out, or had been before."""

    status: Literal["done", "unchanged"] = "done"
