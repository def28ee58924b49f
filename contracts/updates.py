"""Commands to a run: each an update with one argument, refused by its validator before history."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Frozen

RUN_NOT_READY = "RunNotReady"
"""Type of the refusal of a command that came while the run was being loaded: ask again."""

MOST_PROMPT_BYTES = 8_000
"""Of an edited prompt: it is sent with each attempt. What is longer belongs into an input."""


class Command(Frozen):
    """A command to a run. The same `request_id` twice is one command."""

    request_id: Annotated[str, Field(max_length=200)] = ""


class BudgetRaise(Command):
    """Raises the run's `cost_budget` to so many dollars in all."""

    to: Annotated[Decimal, Field(gt=0)]


class BudgetView(Frozen):
    """The budget after a raise, and what is spent of it."""

    budget: Decimal
    cost: Decimal


class Answer(Command):
    """A person's answer to a question of the run. `comment` is kept beside it."""

    step: str
    choice: str
    comment: str = ""
    by: str = ""


class SkipRequest(Command):
    """Leaves out an agent that has not started, and what needs it."""

    step: str
    reason: str = ""


class PauseRequest(Command):
    """`paused` True starts no further call until it is False again; those in flight go on."""

    paused: bool
    reason: str = ""


class RetryRequest(Command):
    """Runs a failed agent again, and what was skipped because of it."""

    step: str
    reason: str = ""


class PromptEdit(Command):
    """Gives an agent another prompt template: one that has not started, or failed.

    It may read the inputs and the agents that the agent depends on. One that failed is run again.
    """

    step: str
    prompt: Annotated[str, Field(min_length=1)]


class Accepted(Frozen):
    """A command was carried out, or had been before."""

    status: Literal["done", "unchanged"] = "done"
