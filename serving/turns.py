"""A turn of a session, told as events (seed 001's gateway) that can be gone on with.

| event | data |
| --- | --- |
| text | unit, offset, text: keep `offset` characters of the unit's text, then add this |
| superseded | unit, keep: only so many characters of the unit's text still count |
| tool_call | call_id, name, arguments |
| tool_progress | call_id, name, data |
| tool_result | call_id, name, status, result or error |
| approval | call_id, name, arguments, why: a person is asked |
| usage | the tokens |
| done | turn, text, finish_reason, what it cost |
| error | as every error; nothing comes after it, and no `done` |

An event's id is "turn-place-after": the turn, where its reading begins in the spool, and where the
spool was behind the event. Who comes back with it as `Last-Event-ID` gets what follows; with that
of `done` or `error`, 204, which ends a browser's EventSource.
"""

import logging
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NoReturn

from client.chats import Chat, Placed, StreamTrouble, TextPart
from contracts.base import Json
from contracts.chats import PendingTool, TurnResult
from contracts.spools import SpoolRecord
from contracts.teams import AgentStatus
from serving.accounts import Accounts
from serving.errors import failed, translated
from serving.metering import Meter, token_limit
from serving.replies import answer_of, figures, usage
from serving.sse import PING, event
from stores.values import load_value

log = logging.getLogger(__name__)

_POSITION = re.compile(r"(\d{1,9})-(\d{1,18})-(\d{1,18}|end)")
_BACK = ""
"""Among the sizes of texts: 1 for a reader who comes back. No unit has this name."""

_TOOL_EVENTS = {
    "started": "tool_call",
    "progress": "tool_progress",
    "completed": "tool_result",
    "failed": "tool_result",
}


@dataclass(frozen=True)
class Position:
    """Where a reader is; `after` None: he has seen the end."""

    turn: int
    place: int
    after: int | None

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self.after is None

    @staticmethod
    def of(id: str | None) -> "Position | None":
        """Return the position that an event's id names; None for none, or for one of another's."""
        found = _POSITION.fullmatch(id or "")
        if found is None:
            return None
        after = None if found[3] == "end" else int(found[3])
        return Position(int(found[1]), int(found[2]), after)

    def id(self, after: int | None) -> str:
        """Return the id of an event behind which the spool was at `after`."""
        return f"{self.turn}-{self.place}-{'end' if after is None else after}"


@dataclass(frozen=True)
class Watch:
    """A turn that is followed. Who said it has its `entry` in the accounts, and a meter."""

    chat: Chat
    turn: int
    accounts: Accounts | None = None
    entry: str = ""
    meter: Meter | None = None

    def ended(self, result: TurnResult) -> None:
        """Tell the accounts."""
        if self.accounts is not None:
            self.accounts.ended(self.entry, result)


async def stream(watch: Watch, start: Position) -> AsyncGenerator[bytes, None]:
    """Yield a turn's events from a position on."""
    try:
        async with aclosing(_events(watch, start)) as events:
            async for piece in events:
                yield piece
    except Exception as error:
        found = translated(error)
        if found is None:
            raise
        yield event(found.body()["error"], "error", start.id(None))


async def _events(watch: Watch, start: Position) -> AsyncGenerator[bytes, None]:
    sizes: dict[str, int] = {_BACK: int(start.after != start.place)}
    found = watch.chat.follow_placed(watch.turn, start.place, start.after or 0)
    async with aclosing(found) as followed:
        async for placed in followed:
            if placed is None:
                yield PING
            elif isinstance(placed.event, TurnResult):
                for piece in await _ending(watch, start, placed.event):
                    yield piece
            else:
                id = start.id(placed.after)
                for name, data in await _told(watch, placed, sizes):
                    yield event(data, name, id)


async def _told(
    watch: Watch, placed: Placed, sizes: dict[str, int]
) -> list[tuple[str, dict[str, Any]]]:
    """Return what an event is to the reader. Raises ApiError once his tokens are used up."""
    match placed.event:
        case TextPart() as part:
            if watch.meter is not None and watch.meter.over(part):
                await _cut(watch, watch.meter)
            return _text(part, sizes)
        case StreamTrouble(why) if why:
            log.warning("the text of %s cannot be shown: %s", watch.chat.chat_id, why)
        case PendingTool() as pending:
            return [("approval", await _question(watch.chat, pending))]
        case SpoolRecord(tool=tool) if tool is not None:
            told = {"call_id": tool.call_id, "name": tool.tool, **_tool_data(tool.event, tool.data)}
            return [(_TOOL_EVENTS[tool.event], told)]
    return []


async def _cut(watch: Watch, meter: Meter) -> NoReturn:
    """End an answer that has used up its caller's tokens."""
    if watch.accounts is not None:
        watch.accounts.used(watch.entry, meter.used)
    await watch.chat.stop(watch.turn)
    raise token_limit()


def _text(part: TextPart, sizes: dict[str, int]) -> list[tuple[str, dict[str, Any]]]:
    """Return what a part of a text is: where it takes something back, that comes first."""
    told: list[tuple[str, dict[str, Any]]] = []
    size = sizes.get(part.unit, None if sizes.get(_BACK) else 0)
    # What who comes back has of the text is not known: where nothing is added he is told in any
    # case what counts, else the text's offset tells him.
    if (not part.added) if size is None else part.keep < size:
        told.append(("superseded", {"unit": part.unit, "keep": part.keep}))
    if part.added:
        told.append(("text", {"unit": part.unit, "offset": part.keep, "text": part.added}))
    sizes[part.unit] = part.keep + len(part.added)
    return told


def _tool_data(kind: str, data: dict[str, Json]) -> dict[str, Any]:
    if kind == "started":
        return {"arguments": data.get("parameters", data.get("arguments"))}
    if kind == "progress":
        return {"data": data}
    return {"status": kind, **data}


async def _question(chat: Chat, pending: PendingTool) -> dict[str, Any]:
    return {
        "call_id": pending.call_id,
        "turn": pending.turn,
        "name": pending.name,
        "arguments": await load_value(chat.store, pending.arguments),
        "why": pending.why,
    }


async def _ending(watch: Watch, start: Position, result: TurnResult) -> list[bytes]:
    """Return a turn's last events."""
    watch.ended(result)
    told = [event(usage(result.usage), "usage")]
    if result.status is not AgentStatus.COMPLETED:
        return [*told, event(failed(result).body()["error"], "error", start.id(None))]
    if watch.meter is not None and watch.meter.spent(result):
        return [*told, event(token_limit().body()["error"], "error", start.id(None))]
    return [*told, event(await _done(watch.chat, result), "done", start.id(None))]


async def _done(chat: Chat, result: TurnResult) -> dict[str, Any]:
    answer = await answer_of(chat, result)
    return {
        "turn": result.turn,
        "unit": result.unit,
        "text": answer.text,
        "output": await chat.output(result),
        "finish_reason": answer.finish_reason,
        **figures(result),
    }


async def outcome(watch: Watch, place: int) -> tuple[int, dict[str, Any]]:
    """Wait for a turn's end, or for what it asks a person; return the status and what is told."""
    async with aclosing(watch.chat.follow_placed(watch.turn, place)) as followed:
        async for placed in followed:
            match placed.event if placed is not None else None:
                case PendingTool() as pending:
                    asked = await _question(watch.chat, pending)
                    return 202, {"turn": watch.turn, "state": "waiting", "pending": [asked]}
                case TurnResult() as result:
                    watch.ended(result)
                    if result.status is not AgentStatus.COMPLETED:
                        raise failed(result)
                    told = await _done(watch.chat, result)
                    return 200, {**told, "usage": usage(result.usage)}
    raise AssertionError("unreachable: a turn that is followed has a result")
