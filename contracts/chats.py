"""A conversation with an agent: what starts it, what is said to it, what it answers.

Texts travel by reference: neither a message nor an answer is ever a part of the history. A
conversation is one workflow under the conversation's id; its turns are numbered from 1 as they
are accepted, and what is written while turn 3 is being answered stands in the spool under the
units "t3.1", "t3.2", … one for each call of the model.

Durations are seconds, money is dollars.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from contracts.artifacts import ArtifactRef, Value
from contracts.base import Frozen, Json, Slim
from contracts.enclosures import Enclosed, FileLoad
from contracts.messages import Usage
from contracts.plans import AgentHeader as AgentHeader
from contracts.plans import AgentPlan as AgentPlan
from contracts.runs import AttemptRecord
from contracts.teams import AgentStatus
from contracts.tools import ToolError, ToolListing
from contracts.turns import IN_TOOLBOX as IN_TOOLBOX
from contracts.turns import TURN as TURN
from contracts.turns import AskedTool as AskedTool
from contracts.turns import NewMessage as NewMessage
from contracts.turns import TurnCall as TurnCall
from contracts.turns import TurnReply as TurnReply
from contracts.updates import Command

CHAT_WORKFLOW = "callboard.chat"
"""The chat workflow's type, as Temporal knows it."""

CHAT_BUSY = "ChatBusy"
"""Type of the refusal of a message while as many wait as may: say it again later."""

CHAT_ENDED = "ChatEnded"
"""Type of the refusal of whatever is said to a conversation that has ended."""

CHAT_MOVING = "ChatMoving"
"""Type of the refusal while the conversation goes on in a new history: say it again at once."""

MOST_WAITING = 10
"""Messages that may wait for their turn."""

MOST_MESSAGE_BYTES = 40_000
"""Of one message: 10,000 characters of any language."""


def turn_unit(turn: int, call: int | None = None) -> str:
    """Return what a turn is called in ledgers ("t3"), and a call of it in spools ("t3.1")."""
    return f"t{turn}" if call is None else f"t{turn}.{call}"


def _write_header(header: AgentHeader) -> dict[str, Any]:
    return header.model_dump(mode="json", exclude_defaults=True)


BriefHeader = Annotated[AgentHeader, PlainSerializer(_write_header, when_used="json")]
"""An agent's header, written without the fields that have their default, in all that is in it."""


class Listed(Frozen):
    """The tools that the workers of one queue have for an agent."""

    queue: str | None = None
    listing: ToolListing


class ChatStart(Frozen):
    """Starts a conversation. `chat_id` is the workflow id too.

    `max_messages` is when people are warned, not a limit. `carried` is what the history before
    this one knew. `single`: the end of what is carried is answered as it stands, as turn 1, and
    the conversation ends with that answer. `searchable` says that the namespace knows our search
    attributes: an unknown one would fail the workflow's task for ever.
    """

    chat_id: str
    header: BriefHeader
    max_messages: Annotated[int, Field(ge=1)] = 50
    carried: Json = None
    single: bool = False
    searchable: bool = False


class SayRequest(Command):
    """Says something. The same `request_id` twice is said once.

    `clear`: the conversation so far is forgotten first. A message with files may have no text.
    """

    request_id: Annotated[str, Field(min_length=1, max_length=200)]
    text: Value
    clear: bool = False
    enclosed: Enclosed | None = None


class SayAccepted(Frozen):
    """A message has its turn. `known`: it had it already."""

    turn: int
    known: bool = False


class ClearRequest(Command):
    """Forgets the conversation, once all that was said before is answered."""


class CompactRequest(Command):
    """Sums up the conversation: a turn of its own, once all that was said before is answered.

    The agent's `compact_over_bytes` has it done without being asked.
    """

    request_id: Annotated[str, Field(min_length=1, max_length=200)]


class StopRequest(Command):
    """Ends the answer under way; what it cost is kept. Without `turn`: whichever that is."""

    turn: int | None = None


class EndRequest(Command):
    """Ends the conversation for good: the answer under way is stopped."""

    reason: str = ""


class AgentChange(Command):
    """From the next turn on, this agent answers: another model, other instructions."""

    header: BriefHeader


class ToolWord(Command):
    """A person's word on a tool call that waits for one."""

    call_id: str
    approved: bool
    comment: str = ""
    by: str = ""


class PendingTool(Slim):
    """A tool call that waits for a person.

    `why` "approval": it was not made yet. "unknown": it was begun, nobody knows whether it was
    done; approving makes it again.
    """

    call_id: str
    turn: int
    name: str
    arguments: Value
    why: Literal["approval", "unknown"] = "approval"
    asked_at: datetime
    until: datetime | None = None


class ToolRecord(Slim):
    """What became of a tool call. `text` is what the model was given.

    `cost` is that of the models that it asked, in dollars: those of a prompt or an agent.
    """

    call_id: str
    name: str
    arguments: Value
    status: Literal["completed", "failed"]
    text: Value
    whole: ArtifactRef | None = None
    error: str | None = None
    error_kind: ToolError | None = None
    execution_time: float = 0.0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cost: Decimal = Decimal(0)


class TurnResult(Slim):
    """What became of a turn. A turn without an answer leaves the conversation as it was.

    `kind` is a FailureKind, or "TurnLimit", "TurnTimeout", "ToolFailed", "ToolArguments",
    "BudgetExceeded". `partial_text` is the beginning of an answer that was not finished. `unit`
    is where the answer stands in the spool. `asked` are calls of tools that are the caller's own:
    they are the answer.
    """

    turn: int
    status: AgentStatus
    output: Value | None = None
    error: str | None = None
    kind: str | None = None
    partial_text: str = ""
    tools: tuple[ToolRecord, ...] = ()
    usage: Usage | None = None
    cost: Decimal = Decimal(0)
    calls: int = 0
    attempts: int = 0
    unit: str = ""
    provider: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    notes: tuple[str, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    first_token_at: datetime | None = None
    transcript: ArtifactRef | None = None
    asked: tuple[AskedTool, ...] = ()


ChatPhase = Literal["initializing", "active", "terminated"]


class ChatView(Frozen):
    """Answer to the query `chat`. `messages` counts the turns of what is remembered.

    `turn` is the one being answered, `last_turn` the last one that was accepted. `files` counts
    those of what is remembered, said just now, or waits.
    """

    chat_id: str
    agent: str
    phase: ChatPhase
    model: str = ""
    turn: int | None = None
    last_turn: int = 0
    waiting: int = 0
    messages: int = 0
    max_messages: int
    transcript: ArtifactRef | None = None
    plan: ArtifactRef
    pending: tuple[PendingTool, ...] = ()
    problems: tuple[str, ...] = ()
    cost: Decimal = Decimal(0)
    uncertain: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    budget: Decimal
    tokens: int = 0
    paused_for: str | None = None
    started_at: datetime | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    files: FileLoad = FileLoad()


class TurnQuery(Frozen):
    """Argument of the query `turn`."""

    turn: int


class TurnView(Frozen):
    """Answer to the query `turn`. "forgotten": it ended long ago, or never was.

    `said` is what is to be answered, until it has been, with its files. `paused_for` says why it
    waits for money.
    """

    state: Literal["waiting", "running", "done", "forgotten"]
    result: TurnResult | None = None
    pending: tuple[PendingTool, ...] = ()
    said: Value | None = None
    paused_for: str | None = None
    enclosed: Enclosed | None = None


class ChatResult(Frozen):
    """What a conversation's workflow returns in the end."""

    chat_id: str
    agent: str
    turns: int
    messages: int
    cost: Decimal
    transcript: ArtifactRef | None = None
    reason: str = ""
