"""Following a turn: its text from the spool as it is written, its end from a query.

Following costs no history and may begin at any time and anywhere: whoever follows sees the one
coherent text, whatever attempts and workers it took.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from client.chat_sending import PATIENCE_S
from client.chat_values import ChatOver, TextPart, TurnEvent
from client.connection import ServerUnreachable
from client.runs import NoWorker
from contracts.chats import TurnResult, TurnView, turn_unit
from stores.assembling import TextAssembler
from stores.spools import FileSpools

FIRST_LOOK_S, LATER_LOOK_S = 0.02, 0.5
"""Between two questions whether a turn has ended: more often once its answer has."""

AskTurn = Callable[[int], Awaitable[TurnView]]
"""The query `turn`. Raises as `Chat.turn` does."""


async def follow(
    spools: FileSpools, chat_id: str, ask: AskTurn, turn: int, place: int
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

    def __init__(self, spools: FileSpools, chat_id: str, ask: AskTurn, turn: int) -> None:
        self._spools, self._chat_id, self._ask, self._turn = spools, chat_id, ask, turn
        self.events: asyncio.Queue[TurnEvent | Exception] = asyncio.Queue()
        self._nudge = asyncio.Event()

    async def read(self, place: int) -> None:
        """Pass the turn's text and its tools' events on; nudge whoever asks for its end."""
        own, assembler = turn_unit(self._turn) + ".", TextAssembler()
        async with contextlib.aclosing(self._spools.follow(self._chat_id, place)) as records:
            async for record, _ in records:
                if not record.agent.startswith(own):
                    continue
                if record.tool is not None:
                    self.events.put_nowait(record)
                    continue
                change = assembler.feed(record)
                if change is not None and record.kind != "ended":
                    self.events.put_nowait(TextPart(record.agent, change.keep, change.added))
                if record.kind == "ended":
                    self._nudge.set()

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
                    self.events.put_nowait(error)
                    return
                await asyncio.sleep(LATER_LOOK_S)
                continue
            except Exception as error:
                self.events.put_nowait(error)
                return
            if self._told(view, asked):
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudge.wait(), wait)
            wait = FIRST_LOOK_S if self._nudge.is_set() else min(wait * 1.5, LATER_LOOK_S)
            self._nudge.clear()

    def _told(self, view: TurnView, asked: set[str]) -> bool:
        """Pass on what a query has told; return whether the turn has ended."""
        for pending in view.pending:
            if pending.call_id not in asked:
                asked.add(pending.call_id)
                self.events.put_nowait(pending)
        if view.result is not None:
            self.events.put_nowait(view.result)
            return True
        if view.state == "forgotten":
            error = ChatOver(f"turn {self._turn} has no answer, or it is long forgotten")
            self.events.put_nowait(error)
            return True
        return False
