"""Whom an attempt asks for what its files are at the provider, and a child run that was lent it.

The run that shares is `sharing.Sharing`; what it lent is all that a child run knows of it.
"""

from typing import Protocol

from contracts.calls import CallFailure, ModelCall, ModelReply, SharedUse
from contracts.plans import Candidate, StepNode
from workflows.sharing_warming import Ask


class Sharer(Protocol):
    """What an attempt asks for what its files are at the provider."""

    async def make(
        self, node: StepNode, call: ModelCall, candidate: Candidate, ask: Ask
    ) -> ModelReply | CallFailure:
        """Make an attempt with it. Never raises: a cancellation is an outcome too."""
        ...

    async def lend(self, node: StepNode) -> dict[int, SharedUse]:
        """Return what child runs of a step may use, by candidate."""
        ...


class Lent:
    """What a run has shared already, for a child run that works on a slice of a list."""

    def __init__(self, uses: dict[int, SharedUse]) -> None:
        self._uses = uses

    async def make(
        self, node: StepNode, call: ModelCall, candidate: Candidate, ask: Ask
    ) -> ModelReply | CallFailure:
        """Make an attempt with what was lent."""
        return await ask(call.model_copy(update={"shared": self._uses.get(call.candidate)}))

    async def lend(self, node: StepNode) -> dict[int, SharedUse]:
        """Return the same."""
        return self._uses
