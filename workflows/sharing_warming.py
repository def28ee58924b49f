"""Who goes first, where a vendor caches a prefix within the requests that repeat it.

Promises: of those that send the same prefix one goes first, and the others wait until its first
token shows that the vendor has the prefix; who fails before that leaves it to the next. As long
as the prefix lasts from its last use on, nobody waits.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from temporalio import workflow

from contracts.calls import CallFailure, ModelCall, ModelReply
from contracts.sharing import WARM_SIGNAL, PrefixWarm

PREFIX_LASTS = timedelta(minutes=5)
"""How long vendors keep a prefix from its last use on (Anthropic; OpenAI for longer)."""

LONG_LASTS = timedelta(hours=1)
"""How long where requests ask for more, and their price says so (Anthropic)."""

Ask = Callable[[ModelCall], Awaitable[ModelReply | CallFailure]]


class Warming:
    """The prefixes of one run: which is being warmed, which is warm."""

    def __init__(self) -> None:
        self._warming: set[str] = set()
        self._warm: dict[str, datetime] = {}
        self._lasts: dict[str, timedelta] = {}
        workflow.set_signal_handler(WARM_SIGNAL, self._told_warm)

    async def in_turn(
        self, key: str, call: ModelCall, ask: Ask, lasts: timedelta = PREFIX_LASTS
    ) -> ModelReply | CallFailure:
        """Ask, first of all or behind the one that warms the prefix of this key.

        The prefix lasts so long from its last use on.
        """
        self._lasts[key] = lasts
        while key in self._warming:
            await workflow.wait_condition(lambda: key not in self._warming)
        first = self._warm.get(key, workflow.now()) <= workflow.now()
        if first:
            self._warming.add(key)
            call = call.model_copy(update={"warms": key})
        try:
            outcome = await ask(call)
        finally:
            self._warming.discard(key)
        if isinstance(outcome, ModelReply) or outcome.first_token_at is not None:
            self._warm[key] = workflow.now() + lasts
        return outcome

    async def _told_warm(self, told: PrefixWarm) -> None:
        if told.key in self._warming:
            self._warm[told.key] = workflow.now() + self._lasts[told.key]
            self._warming.discard(told.key)
