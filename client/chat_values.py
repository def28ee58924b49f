"""What conversations refuse, and what is told of them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from contracts.chats import PendingTool, TurnResult
from contracts.spools import SpoolRecord


class ChatError(Exception):
    """A conversation refuses what was asked of it; the text says why."""


class ChatOver(ChatError):
    """The conversation has ended. Its id is never used again."""


class ChatBusy(ChatError):
    """As many messages wait as may."""


class UnknownChat(ChatError):
    """There is no conversation of this id."""


@dataclass(frozen=True)
class ChatLine:
    """A conversation in a list. `title` is how its first message begins.

    Title, phase, dollars and tokens are not known where the server has no search attributes.
    """

    chat_id: str
    agent: str
    open: bool
    started_at: datetime | None
    closed_at: datetime | None
    title: str = ""
    phase: str = ""
    cost: Decimal | None = None
    tokens: int = 0


@dataclass(frozen=True)
class TextPart:
    """What was just written: keep `keep` characters of the unit's text, then add `added`."""

    unit: str
    keep: int
    added: str


@dataclass(frozen=True)
class StreamTrouble:
    """Why the text cannot be shown while it is written; "" once it can again.

    The answer itself is not touched by it: the result has the whole.
    """

    why: str


@dataclass(frozen=True)
class MoneyWanted:
    """The turn waits until the conversation's budget is raised; `why` says what was too little."""

    why: str


TurnEvent = TextPart | SpoolRecord | PendingTool | MoneyWanted | StreamTrouble | TurnResult
"""What is told of a turn: text, a tool's event (in a record), a question, at last its result."""
