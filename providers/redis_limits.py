"""An account's limits in Redis: one state for all worker processes, on the Redis server's clock.

Promises: what `providers.account_limits` asks for, over any number of processes. Each question is
one script (`limits.lua`), so nobody sees another's half-done booking. A process that dies keeps its
open requests for at most `LEASE_S`; one that lives renews them. A server that cannot be asked is
an error that names the setting, never a call without a limit.

All state expires two days after its last use. The keys of an account share a hash tag, so they
lie on one node of a cluster.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from providers import limits as rules
from providers.account_limits import AccountLimits, LimitsUnreachable
from providers.exceptions import RouterError
from providers.limit_tiers import PARTS, REACH, Tier, vendor_tiers
from providers.policy import Limits

if TYPE_CHECKING:
    from redis.asyncio import Redis

SETTING = "CALLBOARD_REDIS_URL"

LEASE_S = 30.0
"""An open request that its holder does not renew is free again after this."""

TIMEOUT_S = 5.0
"""For one question to the server."""

CONNECTIONS = 16
"""Of one process, over all accounts."""

_KEYS = ("counts", "levels", "records", "ahead", "open", "waiting", "due")
_SCRIPT = Path(__file__).with_name("limits.lua")

log = logging.getLogger(__name__)


def connected(url: str) -> "Redis":
    """Return a client of the server that the setting names; it connects when it asks.

    Raises RouterError where the library is missing or the URL is none.
    """
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
    except ImportError:
        raise RouterError(
            f"{SETTING} is set, but the client is not installed: make venv EXTRA=redis, or "
            "uv sync --extra redis"
        ) from None
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            decode_responses=True,
        )
    except ValueError as error:
        raise RouterError(f"{SETTING} is no address of a Redis server: {error}") from None
    return Redis.from_pool(pool)


class RedisServer:
    """The connections to one server, shared by the limits of all accounts."""

    def __init__(self, url: str, prefix: str = "callboard:limits") -> None:
        self._redis = connected(url)
        self.address = _address(url)
        self._prefix = prefix
        self._script: Any = self._redis.register_script(_SCRIPT.read_text("utf-8"))
        self._users = 0

    def limits(
        self,
        account: str,
        limits: Limits,
        *,
        clock: Callable[[], float] | None = None,
        lease_s: float = LEASE_S,
    ) -> "RedisLimits":
        """Return the limits of one account. Without a `clock`, the server's own is used."""
        self._users += 1
        keys = [f"{self._prefix}:{{{account}}}:{key}" for key in _KEYS]
        return RedisLimits(self, keys, limits, clock, lease_s)

    async def run(self, keys: list[str], arguments: list[str]) -> int:
        """Run the script. Raises LimitsUnreachable."""
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                return int(await self._script(keys=keys, args=arguments))
        except (RedisError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> LimitsUnreachable:
        return LimitsUnreachable(
            f"the limits that workers share cannot be asked: Redis at {self.address} "
            f"({SETTING}) failed with {type(error).__name__}; nothing is sent meanwhile"
        )

    async def ping(self) -> None:
        """Ask whether the server is there, then disconnect. Raises LimitsUnreachable."""
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from None
        finally:
            await self._redis.aclose()

    async def release(self) -> None:
        """Close the connections with the last account that is closed."""
        self._users -= 1
        if self._users == 0:
            await self._redis.aclose()


class RedisLimits(AccountLimits):
    """One account's limits. Belongs to one event loop once it was used."""

    def __init__(
        self,
        server: RedisServer,
        keys: list[str],
        limits: Limits,
        clock: Callable[[], float] | None,
        lease_s: float,
    ) -> None:
        self._server, self._keys, self._clock, self._lease_s = server, keys, clock, lease_s
        self._tiers = vendor_tiers(limits)
        self._written = [json.dumps([_written(tier) for tier in self._tiers])]
        self._written.append(json.dumps(_settings(limits, lease_s)))
        self._open: set[str] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def admit(self, call: str, tokens: int) -> float:
        rules.refuse_larger(self._tiers, tokens)
        asking = asyncio.ensure_future(self._run("admit", call, tokens))
        try:
            wait = await asyncio.shield(asking)
        except asyncio.CancelledError:
            # The server may have booked; whoever is gone must not keep it.
            await _in_the_end(self._give_back_after(asking, call))
            raise
        if wait == 0:
            self._open.add(call)
            if self._renewing is None:
                self._renewing = asyncio.create_task(self._renew())
        return wait / 1000

    async def ended(self, call: str, used: int | None) -> None:
        self._open.discard(call)
        await _in_the_end(self._tell("ended", call, "" if used is None else used))

    async def give_back(self, call: str) -> None:
        self._open.discard(call)
        await _in_the_end(self._tell("cancel", call, ""))

    async def aclose(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewing
        await self._server.release()

    async def _run(self, operation: str, call: str, tokens: int | str) -> int:
        now = "" if self._clock is None else str(int(self._clock() * 1000 + 0.001))
        return await self._server.run(
            self._keys, [operation, now, call, str(tokens), *self._written]
        )

    async def _tell(self, operation: str, call: str, tokens: int | str) -> None:
        """Say something that nobody waits for: a failure is logged."""
        try:
            await self._run(operation, call, tokens)
        except LimitsUnreachable as error:
            log.warning("%s: %s", call, error)

    async def _give_back_after(self, asking: "asyncio.Future[int]", call: str) -> None:
        with contextlib.suppress(LimitsUnreachable):
            await asking
        await self.give_back(call)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            if self._open:
                await self._tell("renew", json.dumps(sorted(self._open)), "")


async def _in_the_end(work: Awaitable[None]) -> None:
    """See work through to its end, also when the caller is cancelled; then say so."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


def _written(tier: Tier) -> dict[str, Any]:
    return {
        "name": tier.name,
        "limit": tier.limit,
        "interval": tier.interval,
        "width": tier.width,
        "per_token": tier.per_token,
        "emission_us": tier.cost_us(1),
        **({} if tier.burst is None else {"burst": tier.burst}),
    }


def _settings(limits: Limits, lease_s: float) -> dict[str, Any]:
    most = {} if limits.concurrency is None else {"most_open": limits.concurrency}
    return {
        "parts": PARTS,
        "reach": REACH,
        "grace": rules.GRACE_MS,
        "soon": rules.SOON_MS,
        "line_grace": rules.LINE_GRACE_MS,
        "first_guess": rules.FIRST_GUESS_MS,
        "shortest": rules.SHORTEST_MS,
        "longest": rules.LONGEST_MS,
        "longest_each": rules.LONGEST_MS_EACH,
        "lease": ceil(lease_s * 1000),
        **most,
    }


def _address(url: str) -> str:
    """Return where the server is, without who asks it."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path
