"""Connections to the Redis server that keeps spools, and its errors as the stores'.

The library repeats nothing by itself: whoever asks knows whether asking again is worth it. No
message holds a password: an address is shown without what stands before its `@`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stores.exceptions import InvalidStoreUrl, StoreUnavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

SETTING = "CALLBOARD_SPOOL_URL"
CONNECT_S = 3.0
ANSWER_S = 5.0
"""For one question to the server, on top of what it is asked to wait."""


async def close(client: "Redis") -> None:
    """Close a client, to its end: a cancellation in the midst would leave its connection open."""
    await to_its_end(client.aclose())


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do what closes something; a cancellation is heard afterwards."""
    closing = asyncio.ensure_future(work)
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await asyncio.gather(closing, return_exceptions=True)
        raise


class RedisServer:
    """One server by its URL: redis://host:6379/0, rediss:// with TLS, unix:///path.

    Connects when asked. Raises InvalidStoreUrl for what is no such URL, and where the client
    library is missing.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = parts.netloc.rpartition("@")[2] or parts.path
        self._url = url
        self._check()

    def connected(self) -> "Redis":
        """Return a client of one connection; `aclose` it.

        Without a limit of its own for answers, which is `asking`'s: the client's would be
        `asyncio.wait_for`, and that loses cancellations before Python 3.12.
        """
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        pool = BlockingConnectionPool.from_url(
            self._url,
            max_connections=1,
            timeout=ANSWER_S,
            socket_connect_timeout=CONNECT_S,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        return Redis.from_pool(pool)

    @contextlib.asynccontextmanager
    async def asking(self, wait_s: float = 0.0) -> AsyncIterator[None]:
        """Turn the client's errors, and a server that does not answer, into StoreUnavailable.

        The server was asked to wait for `wait_s` before it answers.
        """
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(ANSWER_S + wait_s):
                yield
        except (RedisError, OSError, TimeoutError) as error:
            raise self.unavailable(error) from None

    def unavailable(self, error: BaseException) -> StoreUnavailable:
        """Return what an error of the client is to whoever needs the server."""
        if _is_answer(error):
            return StoreUnavailable(f"Redis at {self.address} ({SETTING}) says: {error}")
        kind = type(error).__name__
        return StoreUnavailable(f"Redis at {self.address} ({SETTING}) does not answer ({kind})")

    def _check(self) -> None:
        try:
            from redis.asyncio import BlockingConnectionPool
        except ImportError:
            raise InvalidStoreUrl(
                f"{SETTING} names a Redis server, but the client is not installed: "
                "make venv EXTRA=redis, or uv sync --extra redis"
            ) from None
        try:
            BlockingConnectionPool.from_url(self._url)
        except ValueError as error:
            raise InvalidStoreUrl(f"{SETTING} is no address of a Redis server: {error}") from None


def _is_answer(error: BaseException) -> bool:
    """Say whether the server said it itself: the text is short then, and its own."""
    from redis.exceptions import AuthenticationError, AuthorizationError, ResponseError

    return isinstance(error, (ResponseError, AuthenticationError, AuthorizationError))
