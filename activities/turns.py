"""A call's turn under its account's limits: waited for, used, and given back or settled."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from temporalio import activity

from activities.clients import Clients
from activities.failures import CallState, Throttled
from contracts.plans import Candidate
from providers.account_limits import LimitsUnreachable

LIMITS_AWAY_S = 5.0
"""Until limits that workers share are asked again, where they could not be."""

SHORT_WAIT_S = 0.05
"""For the account's limits: a shorter wait is not worth a way to the server and back."""


@contextlib.asynccontextmanager
async def turn(
    clients: Clients, name: str, candidate: Candidate, tokens: int, state: CallState
) -> AsyncIterator[None]:
    """Keep the account's limits for the time of a call, and say what it took of them.

    A call that has to wait keeps its booking: it asks again under the same name. Raises Throttled.
    """
    try:
        await _admitted(clients, name, candidate, tokens)
        yield
    except Throttled:
        raise
    except BaseException:
        await _leave(clients, name, candidate, state)
        raise
    await _leave(clients, name, candidate, state)


async def _leave(clients: Clients, name: str, candidate: Candidate, state: CallState) -> None:
    if not state.sent:
        await clients.give_back(name, candidate)
        return
    known = state.usage if state.usage_final else None
    used = None if known is None or known.estimated else known.total_tokens
    await clients.ended(name, candidate, used)


async def _admitted(clients: Clients, name: str, candidate: Candidate, tokens: int) -> None:
    """Wait for the call's turn: a long wait is the server's, and holds no slot here."""
    try:
        while (wait := await clients.admit(name, candidate, tokens)) > 0:
            if wait > SHORT_WAIT_S:
                raise Throttled(
                    f"{candidate.provider}: its limits leave room in {wait:.1f} s", wait
                )
            await asyncio.sleep(wait)
    except LimitsUnreachable as error:
        activity.logger.warning("%s", error)
        raise Throttled(str(error), LIMITS_AWAY_S) from None
