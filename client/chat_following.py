"""Following a turn: its text from the spool as it is written, its end from a query.

Following costs no history and may begin at any time and anywhere: whoever follows sees the one
coherent text, whatever attempts and workers it took. A slow reader holds up nobody, and costs no
memory; where the spool cannot be read he is told so, and gets the whole with the result.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from client.chat_sending import PATIENCE_S
from client.chat_values import ChatOver, StreamTrouble, TextPart, TurnEvent
from client.connection import ServerUnreachable
from client.runs import NoWorker
from client.watching import watch
from contracts.chats import TurnResult, TurnView, turn_unit
from stores.assembling import TextAssembler
from stores.spooling import Spools

TOOLS_FOLLOW = "tool_calls"
"""How an answer ends that is not the turn's last: nobody need ask for the turn's end then."""

FIRST_LOOK_S, LATER_LOOK_S = 0.02, 0.5
"""Between two questions whether a turn has ended: more often once its answer has."""

QUIET_S, LONGEST_S = 1.0, 10.0
"""While text came in within the last second nothing is asked, for ten seconds at most."""

WAITING_EVENTS = 100
"""So many may wait for a slow reader; the rest stays in the spool until he has taken them."""

AskTurn = Callable[[int], Awaitable[TurnView]]
"""The query `turn`. Raises as `Chat.turn` does."""


async def follow(
    spools: Spools, chat_id: str, ask: AskTurn, turn: int, place: int
) -> AsyncGenerator[TurnEvent, None]:
    """Yield what happens in a turn as it does, its result at last, as `Chat.follow` promises."""
    follower = _Follower(spools, chat_id, ask, turn)
    tasks = [asyncio.create_task(follower.read(place)), asyncio.create_task(follower.look())]
    try:
        while True:
            event = await follower.events.get()
            if isinstance(event, Exception):
                raise event
            yield event
            if isinstance(event, TurnResult):
                return
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Follower:
    """Two tasks that put what they find into one queue; the first may nudge the second."""

    def __init__(self, spools: Spools, chat_id: str, ask: AskTurn, turn: int) -> None:
        self._spools, self._chat_id, self._ask, self._turn = spools, chat_id, ask, turn
        self.events: asyncio.Queue[TurnEvent | Exception] = asyncio.Queue(WAITING_EVENTS)
        self._nudge = asyncio.Event()
        self._read_at = float("-inf")

    async def read(self, place: int) -> None:
        """Pass the turn's text and its tools' events on; nudge whoever asks for its end."""
        own, assembler = turn_unit(self._turn) + ".", TextAssembler()
        follow = functools.partial(self._spools.follow, self._chat_id)
        async with contextlib.aclosing(watch(follow, place, self._troubled)) as records:
            async for record in records:
                if not record.agent.startswith(own):
                    continue
                self._read_at = time.monotonic() if record.kind == "delta" else float("-inf")
                if record.tool is not None:
                    await self.events.put(record)
                    continue
                change = assembler.feed(record)
                if change is not None and record.kind != "ended":
                    await self.events.put(TextPart(record.agent, change.keep, change.added))
                if record.kind == "ended" and record.note != TOOLS_FOLLOW:
                    self._nudge.set()

    def _troubled(self, why: str) -> None:
        """Pass trouble on, unless the reader has so much to read that he need not know."""
        with contextlib.suppress(asyncio.QueueFull):
            self.events.put_nowait(StreamTrouble(why))

    async def look(self) -> None:
        """Ask for the turn's end, and for what it asks a person."""
        asked: set[str] = set()
        heard, wait = time.monotonic(), 0.1
        while True:
            try:
                view = await self._ask(self._turn)
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
                await self.events.put(pending)
        if view.result is not None:
            await self.events.put(view.result)
            return True
        if view.state == "forgotten":
            error = ChatOver(f"turn {self._turn} has no answer, or it is long forgotten")
            await self.events.put(error)
            return True
        return False
