"""The limits of provider accounts, as a policy sets them.

Two stores of one arithmetic: this process (`providers.limits`), and a Redis server that all
worker processes share (`providers.redis_limits`). Without Redis each process keeps the limits for
itself.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from providers.account_limits import AccountLimits
from providers.limits import Limiter
from providers.policy import Limits, Policy, ProviderPolicy


class InProcessLimits(AccountLimits):
    """Kept by this process, for this process."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limiter = Limiter(limits, clock)

    async def admit(self, call: str, tokens: int) -> float:
        return self._limiter.admit(call, tokens)

    async def ended(self, call: str, used: int | None) -> None:
        self._limiter.ended(call, used)

    async def give_back(self, call: str) -> None:
        self._limiter.cancel(call)


SHARE_OF_RATE = 0.8
"""Of a vendor's rate: a queue lets a burst of about one more second through."""


def queue_rates(policy: Policy) -> dict[str, float]:
    """Return the tasks a second that a provider's queue may give to all of its workers.

    For workers that share nothing else: it keeps the requests per minute, and knows nothing of
    tokens, hours and days.
    """
    found = {name: provider.limits.requests_per_minute for name, provider in _limited(policy)}
    return {name: most / 60 * SHARE_OF_RATE for name, most in found.items() if most is not None}


def _limited(policy: Policy) -> list[tuple[str, ProviderPolicy]]:
    return [(name, each) for name, each in policy.providers.items() if each.limits.any]


def open_limits(policy: Policy, redis_url: str | None = None) -> dict[str, AccountLimits]:
    """Return the limits that a policy sets, by provider; shared ones where a Redis is named.

    Connects to nothing yet. Raises RouterError where Redis's client is not installed or the
    address is none.
    """
    limited = {name: provider.limits for name, provider in _limited(policy)}
    if redis_url is None:
        return {name: InProcessLimits(limits) for name, limits in limited.items()}
    if not limited:
        return {}
    from providers.redis_limits import RedisServer

    server = RedisServer(redis_url)
    return {name: server.limits(name, limits) for name, limits in limited.items()}


@dataclass(frozen=True)
class Kept:
    """How a worker keeps the limits of its accounts, by provider.

    `concurrency` is of open requests, `rates` are the tasks a second of queues that are shared.
    """

    accounts: Mapping[str, AccountLimits]
    concurrency: Mapping[str, int]
    rates: Mapping[str, float]


def keep_limits(policy: Policy, redis_url: str | None, alone: bool) -> Kept:
    """Return how a policy's limits are kept. Raises RouterError.

    In Redis where one is named; else by this process, and, where others may work beside it
    (`alone` False), requests per minute by the rate of the queue that they share.
    """
    concurrency = {
        name: provider.limits.concurrency
        for name, provider in policy.providers.items()
        if provider.limits.concurrency is not None
    }
    shared = alone or redis_url is not None
    return Kept(open_limits(policy, redis_url), concurrency, {} if shared else queue_rates(policy))
