"""Turns that go on in a new history: an agent may take more of them than one history holds.

Between two calls of its model nothing of a turn is in flight: what it is then is a reference to
the conversation and some counts. There it stops where the history is to end, and from there the
next history goes on with it.
"""

from datetime import datetime

from contracts.artifacts import Value
from contracts.base import Frozen
from contracts.chats import NewMessage, ToolRecord
from rules.turns import Progress
from workflows.talk import Conversation


class ParkedTurn(Frozen):
    """A turn between two calls of its model. `messages` are what the next call tells."""

    calls: int
    repairs: int
    calls_before: int
    conversation: Conversation
    messages: tuple[NewMessage, ...]
    records: tuple[ToolRecord, ...] = ()
    started_at: datetime

    @property
    def progress(self) -> Progress:
        """How far it was."""
        return Progress(self.calls, self.repairs)


def slim(record: ToolRecord) -> ToolRecord:
    """Return a tool's record without its texts, which a step's result does not have."""
    return record.model_copy(update={"arguments": Value(), "text": Value(), "whole": None})
