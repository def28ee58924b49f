"""Following a turn: its text from the spool as it is written, its end from a query.

Following costs no history and may begin at any time and anywhere: whoever follows sees the one
coherent text, whatever attempts and workers it took. A slow reader holds up his own reading and
nothing else, and costs no memory: what he has not taken stays in the spool. Where that cannot be
read he is told so, and gets the whole with the result.

After each event it is known where the spool was. Who comes back with that place is given what came
after it: what lies between the turn's beginning and the place is read again and not told, so that
he is fenced from attempts that were given up exactly as who stayed.

All text that was written before the turn's end is told before its result.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from client.chat_sending import PATIENCE_S
from client.chat_values import ChatOver, MoneyWanted, StreamTrouble, TextPart, TurnEvent
from client.connection import ServerUnreachable
from client.runs import NoWorker
from client.watching import watch
from contracts.chats import TurnResult, TurnView, turn_unit
from contracts.spools import SpoolRecord
from stores.assembling import TextAssembler
from stores.spooling import Spools

TOOLS_FOLLOW = "tool_calls"
"""How an answer ends that is not the turn's last: nobody need ask for the turn's end then."""

FIRST_LOOK_S, LATER_LOOK_S = 0.02, 0.5
"""Between two questions whether a turn has ended: more often once its answer has."""

QUIET_S, LONGEST_S = 1.0, 10.0
"""While text came in within the last second nothing is asked, for ten seconds at most."""

WAITING_EVENTS = 32
"""So many may wait for a slow reader, of at most 10,000 characters each."""

AskTurn = Callable[[int], Awaitable[TurnView]]
"""The query `turn`. Raises as `Chat.turn` does."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An event, and the spool's offset behind it."""

    event: TurnEvent
    after: int


@dataclass(frozen=True)
class Followed:
    """Which turn of which conversation, and whom to ask for its end.

    `place` is an offset before the turn's first text; what lies before `after` is not told.
    """

    spools: Spools
    chat_id: str
    ask: AskTurn
    turn: int
    place: int = 0
    after: int = 0


async def follow_placed(
    followed: Followed, idle_s: float | None = None
) -> AsyncGenerator[Placed | None, None]:
    """Yield what happens in a turn as it does, its result at last, as `Chat.follow` promises.

    Yields None after each `idle_s` of silence.
    """
    follower = _Follower(followed)
    tasks = [asyncio.create_task(follower.read()), asyncio.create_task(follower.look())]
    try:
        while True:
            try:
                async with asyncio.timeout(idle_s):
                    found = await follower.events.get()
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


async def follow(followed: Followed) -> AsyncGenerator[TurnEvent, None]:
    """Yield the same without its places."""
    async with contextlib.aclosing(follow_placed(followed)) as events:
        async for placed in events:
            if placed is not None:
                yield placed.event


class _Follower:
    """One task reads the spool, the other asks for the end and then tells the first to stop.

    The first may nudge the second; both put what they find into one queue.
    """

    def __init__(self, followed: Followed) -> None:
        self._followed, self._at = followed, followed.place
        self.events: asyncio.Queue[Placed | Exception] = asyncio.Queue(WAITING_EVENTS)
        self._assembler = TextAssembler()
        self._nudge, self._stop = asyncio.Event(), asyncio.Event()
        self._read_at = float("-inf")
        self._result: TurnResult | None = None

    async def read(self) -> None:
        """Pass on the turn's text and its tools' events; the result once all of it was read."""
        try:
            await self._read()
        except Exception as error:
            await self.events.put(error)
        if self._result is not None:
            await self.events.put(Placed(self._result, self._at))

    async def _read(self) -> None:
        of = self._followed
        own, start = turn_unit(of.turn) + ".", functools.partial(of.spools.follow, of.chat_id)
        records = watch(
            functools.partial(start, stop=self._stop), of.place, self._troubled, self._stop
        )
        async with contextlib.aclosing(records):
            async for record, end in records:
                event = self._event(record) if record.agent.startswith(own) else None
                if event is not None and end > of.after:
                    await self.events.put(Placed(event, end))
                self._at = end

    def _event(self, record: SpoolRecord) -> TurnEvent | None:
        """Return what a record tells, and note what it says about the turn's end."""
        self._read_at = time.monotonic() if record.kind == "delta" else float("-inf")
        if record.tool is not None:
            return record
        change = self._assembler.feed(record)
        if record.kind == "ended":
            if record.note != TOOLS_FOLLOW:
                self._nudge.set()
            return None
        return TextPart(record.agent, change.keep, change.added) if change else None

    def _troubled(self, why: str) -> None:
        """Pass trouble on, unless the reader has so much to read that he need not know."""
        with contextlib.suppress(asyncio.QueueFull):
            self.events.put_nowait(Placed(StreamTrouble(why), self._at))

    async def look(self) -> None:
        """Ask for the turn's end, and for what it asks a person."""
        asked: set[str] = set()
        heard, wait = time.monotonic(), 0.1
        while True:
            try:
                view = await self._followed.ask(self._followed.turn)
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
            await self._quiet(wait)
            wait = FIRST_LOOK_S if self._nudge.is_set() else min(wait * 1.5, LATER_LOOK_S)
            self._nudge.clear()

    async def _quiet(self, wait: float) -> None:
        """Wait, and then as long as text comes in: the turn has no end before its text has.

        Returns at once when that ended.
        """
        until = time.monotonic() + LONGEST_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._nudge.wait()
            now = time.monotonic()
            if self._nudge.is_set() or now > self._read_at + QUIET_S or now > until:
                return

    async def _told(self, view: TurnView, asked: set[str]) -> bool:
        """Pass on what a query has told; return whether the turn has ended."""
        for pending in view.pending:
            if pending.call_id not in asked:
                asked.add(pending.call_id)
                await self.events.put(Placed(pending, self._at))
        if view.paused_for is not None and view.paused_for not in asked:
            asked.add(view.paused_for)
            await self.events.put(Placed(MoneyWanted(view.paused_for), self._at))
        if view.result is not None:
            self._result = view.result
            self._stop.set()
            return True
        if view.state == "forgotten":
            turn = self._followed.turn
            why = f"turn {turn} has no answer, or it is long forgotten"
            await self.events.put(ChatOver(why))
            return True
        return False
