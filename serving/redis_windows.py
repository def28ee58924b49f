"""What callers and models have used, in Redis: one account for the servers of several machines.

Promises what `serving.windows` does, over any number of processes, on the Redis server's clock.
Each question is one script (`windows.lua`), so nobody sees another's half-made decision. What was
settled is summed up in buckets of time (a second for a minute's window, a minute for a day's, an
hour for a month's), and a bucket counts until its end has left the window: a limit is never passed,
and has room again at most one bucket later. A server that cannot be asked is an error that names
the setting, never a request without a limit.

What is kept is as lasting as the Redis server makes it: totals that are to outlive it need its
append-only file.
"""

import asyncio
import json
from collections.abc import Callable
from decimal import ROUND_FLOOR, ROUND_UP, Decimal
from pathlib import Path
from typing import Any

from providers.redis_limits import SETTING, TIMEOUT_S, connected
from serving.callers import Limits
from serving.windows import (
    NANO,
    Accounting,
    Admitted,
    Ask,
    Open,
    Refused,
    Scope,
    nano,
    out_of_money,
    requests_refused,
    tokens_refused,
)
from stores.exceptions import StoreUnavailable

PREFIX = "callboard:{serve}"
_SCRIPT = Path(__file__).with_name("windows.lua")


class RedisWindows(Accounting):
    """The accounts of one Redis server. `clock` counts seconds; without one the server's is used.

    Raises RouterError where the client library is missing or the URL is none; every method
    raises StoreUnavailable where the server cannot be asked.
    """

    def __init__(
        self, url: str, prefix: str = PREFIX, clock: Callable[[], float] | None = None
    ) -> None:
        self._prefix, self._clock = prefix, clock
        self._redis = connected(url)
        self._script: Any = self._redis.register_script(_SCRIPT.read_text("utf-8"))

    async def admit(self, ask: Ask, caller: Limits, model: Limits) -> Admitted | Refused:
        told = json.loads(
            await self._run(
                "admit",
                *(ask.id, ask.caller, ask.model, str(ask.tokens)),
                *(str(nano(ask.usd, ROUND_FLOOR)), str(nano(ask.least_usd, ROUND_UP))),
                *(ask.chat, ask.request, _written(caller), _written(model)),
            )
        )
        if told["answer"] == "refused":
            scopes = (Scope("caller", ask.caller, caller), Scope("model", ask.model, model))
            return _refused(scopes[told["scope"] - 1], told, ask)
        left = told.get("tokens_left")
        return Admitted(
            Decimal(told["nano"]) / NANO,
            None if left is None else int(left),
            known=told["answer"] == "known",
        )

    async def settle(self, id: str, tokens: int, usd: Decimal) -> None:
        await self._run("settle", id, str(tokens), str(nano(usd, ROUND_UP)))

    async def settle_held(self, id: str) -> None:
        await self._run("settle", id, "", "")

    async def release(self, id: str) -> None:
        await self._run("release", id)

    async def still_open(self) -> list[Open]:
        return [Open(*row) for row in json.loads(await self._run("still_open"))]

    async def spent(self, caller: str) -> Decimal:
        return Decimal(await self._run("spent", caller)) / NANO

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _run(self, operation: str, *arguments: str) -> str:
        from redis.exceptions import RedisError

        now = "" if self._clock is None else str(int(self._clock() * 1000 + 0.001))
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                return str(
                    await self._script(keys=[self._prefix], args=[operation, now, *arguments])
                )
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(
                f"the accounts that servers share cannot be asked: Redis ({SETTING}) failed with "
                f"{type(error).__name__}; nothing is admitted meanwhile"
            ) from None


def _written(limits: Limits) -> str:
    """Return limits as the script reads them: money in nano-dollars, rounded down, as text."""
    written = {
        name: str(nano(value, ROUND_FLOOR) if isinstance(value, Decimal) else value)
        for name, value in limits.model_dump().items()
        if value
    }
    return json.dumps(written)


def _refused(scope: Scope, told: dict[str, Any], ask: Ask) -> Refused:
    wait = None if told.get("wait") is None else int(told["wait"]) / 1000
    name = str(told["name"])
    limit = getattr(scope.limits, name)
    if told["measure"] == "requests":
        return requests_refused(scope, name, limit, wait or 0.001)
    if told["measure"] == "tokens":
        return tokens_refused(scope, name, limit, int(told["used"]), wait or 1.0)
    return out_of_money(scope, (name, limit, wait), int(told["left"]), ask)
