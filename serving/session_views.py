"""Sessions and what was said in them, as their callers are shown them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from client.chats import Chat, ChatLine
from contracts.chats import ChatView
from contracts.messages import Message
from contracts.parts import FileRefPart, Part, TextPart
from serving.callers import Caller


@dataclass(frozen=True)
class Session:
    """An open session of a caller."""

    id: str
    caller: Caller
    chat: Chat
    view: ChatView


def summary(session: Session) -> dict[str, Any]:
    """Return how a session stands."""
    view = session.view
    return {
        "id": session.id,
        "object": "session",
        "agent": view.agent,
        "model": view.model,
        "state": view.phase,
        "turn": view.turn,
        "last_turn": view.last_turn,
        "waiting": view.waiting,
        "messages": view.messages,
        "max_messages": view.max_messages,
        "pending": [
            {"call_id": one.call_id, "name": one.name, "why": one.why, "turn": one.turn}
            for one in view.pending
        ],
        "problems": list(view.problems),
        "cost_usd": f"{view.cost.normalize():f}",
        "budget_usd": f"{view.budget.normalize():f}",
        "tokens": view.tokens,
        "paused_for": view.paused_for,
        "started_at": _iso(view.started_at),
    }


def line(one: ChatLine) -> dict[str, Any]:
    """Return a session in a list."""
    return {
        "id": one.chat_id,
        "object": "session",
        "agent": one.agent,
        "state": "active" if one.open else "terminated",
        "started_at": _iso(one.started_at),
        "ended_at": _iso(one.closed_at),
    }


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at is not None else None


def message_data(message: Message) -> dict[str, Any]:
    """Return a message that is remembered."""
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.parts:
        told["parts"] = [_part(part) for part in message.parts]
    if message.tool_calls:
        told["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        told |= {"tool_call_id": message.tool_call_id, "name": message.name}
    return told


def _part(part: Part) -> dict[str, Any]:
    """Return what stands beside a message's text; of a file what it is, not what is in it."""
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    size = part.size_bytes if isinstance(part, FileRefPart) else len(part.data)
    return {"type": "file", "mime_type": part.mime_type, "name": part.name, "size_bytes": size}
