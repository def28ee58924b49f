"""What a turn writes into its history: a call of the model, its answer, what is new between them.

An agent takes hundreds of turns, so all of it is written briefly (`contracts.brief`): what goes
without saying is left out, what was written at length by an earlier version is read too.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    SerializerFunctionWrapHandler,
    WrapSerializer,
    model_serializer,
    model_validator,
)

from contracts.artifacts import ArtifactRef, Value
from contracts.base import Slim
from contracts.brief import (
    BriefRef,
    BriefTime,
    BriefUsage,
    BriefValue,
    ShownValue,
    Timed,
)
from contracts.calls import ModelCall, ModelReply
from contracts.enclosures import Enclosed

TURN = "turn"
"""The name of the one step that an agent's plan consists of."""


class NewMessage(Slim):
    """A message that the stored conversation does not have yet.

    A tool's result without `tool_call_id` belongs to the call of the last answer that has its
    place among the results.
    """

    role: Literal["user", "tool"] = "user"
    content: BriefValue
    name: str | None = None
    tool_call_id: str | None = None
    enclosed: Enclosed | None = None


def _message(given: Any) -> Any:
    return {"role": "tool", "content": given} if isinstance(given, str) else given


def _write_message(message: NewMessage, handler: SerializerFunctionWrapHandler) -> Any:
    """Write a tool's result as its content, where that is all there is to say."""
    written = handler(message)
    alone = message.role == "tool" and written.keys() == {"role", "content"}
    return written["content"] if alone and isinstance(written["content"], str) else written


BriefMessage = Annotated[
    NewMessage, BeforeValidator(_message), WrapSerializer(_write_message, when_used="json")
]
"""A message; a tool's result is written as no more than its reference."""

IN_TOOLBOX = ArtifactRef(sha256="0" * 64, size_bytes=0)
"""In place of a reference that the first toolbox has."""


class TurnCall(ModelCall, Slim):
    """One attempt at a call of the model: the conversation so far, and what is new.

    `plan` is a stored AgentPlan. Nothing is added to the conversation but by an answer. There
    are hundreds of these in a history: written briefly, without what its worker knows. Without
    a `run_id` that is the workflow's, without an `attempt` the call's number in `unit` (the 3 of
    "t1.3"). `summary`: the answer stands for all that came before it.
    """

    run_id: str = ""
    plan: BriefRef = IN_TOOLBOX
    step: str = TURN
    candidate: int = 0
    timeout: float = 300.0
    first_token_timeout: float = 120.0
    idle_timeout: float = 60.0
    transcript: BriefRef | None = None
    messages: tuple[BriefMessage, ...] = ()
    toolboxes: tuple[BriefRef, ...] = ()
    summary: bool = False

    @model_validator(mode="before")
    @classmethod
    def _numbered(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "attempt" in given:
            return given
        return {**given, "attempt": _number(given.get("unit"))}

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data = self._slimmed(handler(self))
        if self.attempt == _number(self.unit):
            data.pop("attempt", None)
        return data


def _number(unit: Any) -> int | None:
    """Return the number that a unit ends in."""
    last = unit.rpartition(".")[2] if isinstance(unit, str) else ""
    return int(last) if last.isdecimal() else None


class AskedTool(Slim):
    """A tool call that the model asks for. `problem`: its arguments are no JSON object.

    `id` is the vendor's; only who calls tools outside of us is told it.
    """

    id: str = ""
    name: str
    arguments: ShownValue
    problem: str | None = None


def _asked(given: Any) -> Any:
    if not isinstance(given, list):
        return given
    name, arguments = given
    return {"name": name, "arguments": {"json": arguments}}


def _write_asked(asked: AskedTool, handler: SerializerFunctionWrapHandler) -> Any:
    """Write a call as its name and its arguments, where that is all there is to say."""
    written = handler(asked)
    arguments = written["arguments"]
    if written.keys() != {"name", "arguments"} or arguments.keys() != {"json"}:
        return written
    return [written["name"], arguments["json"]]


BriefAsked = Annotated[
    AskedTool, BeforeValidator(_asked), WrapSerializer(_write_asked, when_used="json")
]
"""A tool call that the model asks for; one with small arguments is written as a pair."""


class TurnReply(ModelReply, Timed):
    """An answer, and the conversation with it: the new messages and the answer are in it.

    `size` bounds the tokens of the whole conversation, `length` counts its messages. An answer
    that asks for tools has no `output`: what was said beside it is in the conversation. Written
    briefly, as TurnCall is. `model` is None where it is the candidate's.
    """

    _times = ("started_at", "first_token_at", "ended_at")

    output: BriefValue = Value()
    usage: BriefUsage
    finish_reason: str = "tool_calls"
    started_at: BriefTime
    first_token_at: BriefTime | None = None
    ended_at: BriefTime
    transcript: BriefRef
    size: int
    length: int
    asked: tuple[BriefAsked, ...] = ()
