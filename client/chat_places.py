"""Following a turn so that it can be gone on with: every event with the place behind it.

`client.chat_following` shows a turn to somebody who stays. Here the reader may be slow and may go
away: events wait in a bounded queue, so that who does not read holds up his own reading and
nothing else, and after each event it is known where the spool was. Who comes back with a place is
given what came after it. What lies between the turn's beginning and that place is read again and
not told, so that he is fenced from attempts that were given up exactly as who stayed.

All text that was written before the turn's end is told before its result.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from client.chat_following import TOOLS_FOLLOW
from client.chat_sending import PATIENCE_S
from client.chats import Chat, ChatOver, TextPart, TurnEvent
from client.connection import ServerUnreachable
from client.runs import NoWorker
from contracts.chats import TurnResult, TurnView, turn_unit
from contracts.spools import SpoolRecord
from stores.assembling import TextAssembler
from stores.exceptions import StoreError

MOST_AHEAD = 32
"""Events that wait for a slow reader: at most 10,000 characters each."""

FIRST_LOOK_S, LATER_LOOK_S = 0.02, 0.5
AGAIN_S = 0.5
"""Until a spool that could not be read is tried again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placed:
    """An event, and the spool's offset behind it."""

    event: TurnEvent
    after: int


async def follow_placed(
    chat: Chat, turn: int, place: int = 0, after: int = 0, idle_s: float = 15.0
) -> AsyncGenerator[Placed | None, None]:
    """Yield what happens in a turn, its result at last; None after each `idle_s` of silence.

    `place` is an offset before the turn's first text; what lies before `after` is not told.
    Raises ChatOver where the turn will have no result, NoWorker, UnknownChat.
    """
    follower = _Follower(chat, turn, place, after)
    tasks = [asyncio.create_task(follower.read()), asyncio.create_task(follower.look())]
    try:
        while True:
            try:
                found = await asyncio.wait_for(follower.events.get(), idle_s)
            except TimeoutError:
                yield None
                continue
            if isinstance(found, Exception):
                raise found
            yield found
            if isinstance(found.event, TurnResult):
                return
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Follower:
    """One task reads the spool, the other asks for the end and then tells the first to stop."""

    def __init__(self, chat: Chat, turn: int, place: int, after: int) -> None:
        self._chat, self._turn, self._at, self._after = chat, turn, place, after
        self.events: asyncio.Queue[Placed | Exception] = asyncio.Queue(MOST_AHEAD)
        self._assembler = TextAssembler()
        self._nudge, self._stop = asyncio.Event(), asyncio.Event()
        self._result: TurnResult | None = None

    async def read(self) -> None:
        """Pass on the turn's text and its tools' events; the result once all of it was read."""
        while True:
            try:
                await self._read_on()
                break
            except StoreError as error:
                log.warning("the spool of %s cannot be read: %s", self._chat.chat_id, error)
                if self._stop.is_set():
                    break
                await asyncio.sleep(AGAIN_S)
        if self._result is not None:
            await self.events.put(Placed(self._result, self._at))

    async def _read_on(self) -> None:
        own = turn_unit(self._turn) + "."
        records = self._chat.spools.follow(self._chat.chat_id, self._at, stop=self._stop)
        async with contextlib.aclosing(records):
            async for record, end in records:
                if record.agent.startswith(own):
                    await self._tell(record, end)
                self._at = end

    async def _tell(self, record: SpoolRecord, end: int) -> None:
        event: TurnEvent | None = None
        if record.tool is not None:
            event = record
        else:
            change = self._assembler.feed(record)
            if record.kind == "ended":
                if record.note != TOOLS_FOLLOW:
                    self._nudge.set()
            elif change is not None:
                event = TextPart(record.agent, change.keep, change.added)
        if event is not None and end > self._after:
            await self.events.put(Placed(event, end))

    async def look(self) -> None:
        """Ask for the turn's end, and for what it asks a person."""
        asked: set[str] = set()
        heard, wait = time.monotonic(), 0.1
        while True:
            try:
                view = await self._chat.turn(self._turn)
                heard = time.monotonic()
            except (NoWorker, ServerUnreachable) as error:
                if time.monotonic() - heard > PATIENCE_S:
                    await self.events.put(error)
                    return
                await asyncio.sleep(LATER_LOOK_S)
                continue
            except Exception as error:
                await self.events.put(error)
                return
            if await self._told(view, asked):
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudge.wait(), wait)
            wait = FIRST_LOOK_S if self._nudge.is_set() else min(wait * 1.5, LATER_LOOK_S)
            self._nudge.clear()

    async def _told(self, view: TurnView, asked: set[str]) -> bool:
        """Pass on what a query has told; return whether the turn has ended."""
        for pending in view.pending:
            if pending.call_id not in asked:
                asked.add(pending.call_id)
                await self.events.put(Placed(pending, self._at))
        if view.result is not None:
            self._result = view.result
            self._stop.set()
            return True
        if view.state == "forgotten":
            why = f"turn {self._turn} has no answer, or it is long forgotten"
            await self.events.put(ChatOver(why))
            return True
        return False
