"""Bounds the waits of one stream: to its first chunk, between chunks, in all.

Promise: the task that waits too long is cancelled once, and `rang` tells that cancellation from
anybody else's, as `asyncio.timeout` would. While nobody waits, no clock runs out.

Strategy: one timer a stream, not one a wait. A wait only notes when it has to be over; the timer
looks when it goes off, and sleeps on if there is time left (15 times cheaper than a timeout per
chunk). It holds no reference to the stream, so that a stream nobody reads any more can go.
"""

import asyncio
from typing import Literal

from providers.timeouts import Timeouts

Which = Literal["first_token", "idle", "total"]


class Clock:
    """The three clocks of one stream. The total one starts with the first wait."""

    __slots__ = (
        "_cancelling",
        "_deadline",
        "_ends_at",
        "_has_rung",
        "_loop",
        "_rings_at",
        "_task",
        "_timeouts",
        "_timer",
        "_wait_s",
        "_which",
    )

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._wait_s = timeouts.first_token
        self._which: Which = "first_token"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadline = 0.0
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._ends_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._has_rung = False

    @property
    def which(self) -> Which:
        """The clock that bounds the present wait, or bounded the last one."""
        return "total" if self._ends_at >= self._deadline else self._which

    @property
    def seconds(self) -> float:
        """What that clock allows."""
        return self._timeouts.total if self.which == "total" else self._wait_s

    def first_seen(self) -> None:
        """The answer has begun: from now on waits are waits between chunks."""
        self._wait_s = self._timeouts.idle
        self._which = "idle"

    def start(self) -> None:
        """The running task begins to wait."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
            self._deadline = loop.time() + self._timeouts.total
        task = self._task = asyncio.current_task(loop)
        self._cancelling = task.cancelling() if task is not None else 0
        self._ends_at = min(loop.time() + self._wait_s, self._deadline)
        if self._timer is None or self._ends_at < self._rings_at:
            self._set(loop)

    def stop(self) -> None:
        """The wait is over."""
        if self._has_rung:
            self.rang()
        self._task = None

    def ring(self) -> bool:
        """End the wait now, as if its time were over. False if nobody waits."""
        if self._task is None:
            return False
        if not self._has_rung:
            self._has_rung = True
            self._task.cancel()
        return True

    def rang(self) -> bool:
        """Tell whether the task was cancelled by this clock alone, and take that back."""
        task, has_rung = self._task, self._has_rung
        self._has_rung = False
        return has_rung and task is not None and task.uncancel() <= self._cancelling

    def close(self) -> None:
        """Put the timer away. Safe to call twice; a new `start` would set it again."""
        self.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = self._ends_at
        self._timer = loop.call_at(self._ends_at, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._ends_at > self._rings_at and self._task is not None:
            self._set(loop)
        else:
            self.ring()
