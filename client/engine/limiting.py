"""The rate limiter of seed 004: five limits, one queue, nothing lost to whoever gives up.

Requests per minute, hour and day and tokens per minute are `providers.limits`, booked ahead;
open requests are a semaphore. The engine's calls pass through `admit` instead of `acquire`: the
wait goes to the server, and no slot is held meanwhile. They come from the worker's thread, so a
lock is held over every change, never while waiting.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any

from providers.limits import Limiter
from providers.policy import Limits

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


@dataclass
class RateLimitConfig:
    """Rate limit configuration; None means no such limit. Raises ValueError naming the field."""

    requests_per_minute: int | None = 60
    requests_per_hour: int | None = 3000
    requests_per_day: int | None = 50000
    tokens_per_minute: int | None = 100000
    concurrent_requests: int | None = 10

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be 1 or more, or None for no limit, not {value!r}")

    @classmethod
    def unlimited(cls) -> "RateLimitConfig":
        """Return a configuration without any limit."""
        return cls(None, None, None, None, None)


class RateLimiter:
    """Rate limiter with token buckets, first come, first served.

    `clock` and `sleep` are for tests. Belongs to one event loop once it was used.
    """

    def __init__(
        self,
        config: RateLimitConfig | None = None,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.config = config or RateLimitConfig()
        self._limiter = Limiter(_limits(self.config), clock, buckets=True)
        self._clock, self._sleep = clock, sleep
        most = self.config.concurrent_requests
        self._slots = asyncio.Semaphore(most) if most is not None else None
        self._lock = threading.Lock()
        self._open = 0
        self._calls = 0
        self._admitted = 0
        self._tokens = 0
        self._timeouts = 0
        self._throttled = 0
        self._waited = 0.0
        self._longest = 0.0

    async def acquire(self, estimated_tokens: int = 1000, timeout: float | None = None) -> None:
        """Wait for permission to make a call, at most `timeout` seconds.

        Every call is followed by `release`. Raises asyncio.TimeoutError when the time has run
        out, and at once ValueError for tokens below 0 and NeverAdmitted (a ValueError) for a call
        that is larger than a limit; in all cases, and when cancelled, nothing is used up.
        """
        if estimated_tokens < 0:
            raise ValueError(f"estimated_tokens must be 0 or more, not {estimated_tokens!r}")
        self._limiter.check(estimated_tokens)
        began = self._clock()
        await self._take_slot(timeout)
        try:
            left = None if timeout is None else max(0.0, timeout - (self._clock() - began))
            await self._take_turn(estimated_tokens, left)
        except BaseException:
            self._free_slot()
            raise
        with self._lock:
            self._note(estimated_tokens, self._clock() - began)

    async def _take_slot(self, timeout: float | None) -> None:
        if self._slots is not None:
            try:
                async with asyncio.timeout(timeout):
                    await self._slots.acquire()
            except TimeoutError:
                self._note_timeout()
                raise TimeoutError(f"no free request slot within {timeout:g} seconds") from None
        with self._lock:
            self._open += 1

    async def _take_turn(self, tokens: int, left: float | None) -> None:
        """Book, and wait for the booking; one that would come too late is not made."""
        key = object()
        wait = self._book(key, tokens, left)
        if wait is None and left:
            await self._sleep(left)
            wait = self._book(key, tokens, 0.0)
        if wait is None:
            self._note_timeout()
            raise TimeoutError(f"the rate limit leaves no room within {left:g} seconds")
        try:
            if wait > 0:
                await self._sleep(wait)
        except BaseException:
            with self._lock:
                self._limiter.cancel(key)
            raise
        with self._lock:
            self._limiter.use(key)

    def _book(self, key: Hashable, tokens: int, left: float | None) -> float | None:
        """Book a turn and return its wait; None, and nothing booked, for one that is too late."""
        with self._lock:
            if left is not None and self._limiter.wait(tokens) > left:
                return None
            wait = self._limiter.book(key, tokens)
            self._throttled += wait > 0
            return wait

    def release(self) -> None:
        """Free the slot of a call that has ended. Raises RuntimeError without an `acquire`."""
        if not self._open:
            raise RuntimeError("release() without an acquire() before it")
        self._free_slot()

    def _free_slot(self) -> None:
        with self._lock:
            self._open -= 1
        if self._slots is not None:
            self._slots.release()

    def admit(self, key: Hashable, tokens: int) -> float:
        """Return the seconds until the call of this key may be made; 0.0 when it may be now.

        Its turn is booked by the first question, and used up by the answer 0.0. Raises
        NeverAdmitted.
        """
        with self._lock:
            first = not self._limiter.known(key)
            wait = self._limiter.book(key, tokens)
            self._throttled += first and wait > 0
            if wait <= 0:
                self._note(tokens, self._limiter.use(key))
            return wait

    def give_back(self, run_id: str) -> None:
        """Give back the turns of calls that a run waited for when it ended.

        Their keys begin with its id and a slash. Nobody asks for them again, and those who come
        later would wait behind them.
        """
        mine = f"{run_id}/"
        with self._lock:
            for key in reversed(self._limiter.booked()):
                if isinstance(key, str) and key.startswith(mine):
                    self._limiter.cancel(key)

    def began(self) -> None:
        """Note that an admitted call is made."""
        with self._lock:
            self._calls += 1

    def ended(self, booked: int, used: int | None) -> None:
        """Note that it has ended; the tokens used count instead of those booked, where known."""
        with self._lock:
            self._calls -= 1
            if used is not None:
                self._limiter.correct(booked, used)
                self._tokens += used - booked

    def _note_timeout(self) -> None:
        with self._lock:
            self._timeouts += 1

    def _note(self, tokens: int, waited: float) -> None:
        self._admitted += 1
        self._tokens += tokens
        self._waited += waited
        self._longest = max(self._longest, waited)

    def get_statistics(self) -> dict[str, Any]:
        """Return requests, tokens and waits (seconds) so far, and the limits."""
        return {
            "total_requests": self._admitted,
            "total_tokens": self._tokens,
            "throttled_requests": self._throttled,
            "timed_out_requests": self._timeouts,
            "active_requests": self._open + self._calls,
            "total_wait_time": self._waited,
            "average_wait_time": self._waited / self._admitted if self._admitted else 0.0,
            "longest_wait_time": self._longest,
            "limits": dict(vars(self.config)),
        }


def _limits(config: RateLimitConfig) -> Limits:
    return Limits(
        requests_per_minute=config.requests_per_minute,
        requests_per_hour=config.requests_per_hour,
        requests_per_day=config.requests_per_day,
        tokens_per_minute=config.tokens_per_minute,
    )
