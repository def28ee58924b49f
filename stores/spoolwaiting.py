"""Waiting for files to grow: one timer for all that wait in an event loop.

Strategy: every 5 ms each file that somebody waits for is asked for its size, some microseconds
each; only whose file has grown is woken. A file that is not there yet, or was replaced, is looked
for as well. Where very many wait, they are asked less often.
"""

import asyncio

from stores.spoolreading import LineTail

POLL_S = 0.005
AT_FULL_RATE = 100
LOOK_EVERY = 10
"""So many rounds pass between two looks whether another file stands in a file's place."""


class Growth:
    """Wakes readers whose file has grown. For one event loop at a time."""

    def __init__(self) -> None:
        self._waiting: dict[LineTail, tuple[asyncio.Future[None], asyncio.Event | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._round = 0

    async def wait(self, tail: LineTail, stop: asyncio.Event | None) -> None:
        """Return when there may be something to read, or `stop` is set."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        self._waiting[tail] = (woken, stop)
        if self._timer is None:
            self._timer = loop.call_later(POLL_S, self._look, loop)
        try:
            await woken
        finally:
            self._waiting.pop(tail, None)
            if not self._waiting and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._round += 1
        closely = self._round % LOOK_EVERY == 0
        for tail, (woken, stop) in self._waiting.items():
            stopped = stop is not None and stop.is_set()
            if (stopped or closely or tail.grown()) and not woken.done():
                woken.set_result(None)
        pause = POLL_S * max(1.0, len(self._waiting) / AT_FULL_RATE)
        self._timer = loop.call_later(pause, self._look, loop)
