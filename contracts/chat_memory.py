"""A conversation's memory as data: what goes from one history into the next, or begins one.

It travels as `ChatStart.carried`, in JSON.
"""

from datetime import datetime

from contracts.artifacts import ArtifactRef, Value
from contracts.base import Frozen
from contracts.chats import Listed, TurnResult
from contracts.enclosures import Enclosed, FileLoad
from contracts.ledgers import LedgerState
from contracts.runs import AttemptRecord


class Said(Frozen):
    """A message that waits. Without text: the conversation is to be forgotten, or summed up."""

    turn: int | None
    text: Value | None = None
    clear: bool = False
    compact: bool = False
    enclosed: Enclosed | None = None


class ChatMemory(Frozen):
    """All that a conversation knows: references and numbers, its texts are in the store."""

    transcript: ArtifactRef | None = None
    size: int = 0
    length: int = 0
    last_turn: int = 0
    messages: int = 0
    turns: int = 0
    tokens: int = 0
    queue: tuple[Said, ...] = ()
    requests: dict[str, int] = {}
    results: tuple[TurnResult, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    ledger: LedgerState
    endings: dict[str, tuple[tuple[float, str | None], ...]] = {}
    listed: tuple[Listed, ...] | None = None
    started_at: datetime
    files: FileLoad = FileLoad()
