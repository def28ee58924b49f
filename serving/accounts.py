"""From admission to settlement: what a request may spend is held, what it spent is written down.

Settling does not depend on who is connected: a task of this process asks for the turn's end,
whoever hung up meanwhile; who followed the turn tells it at once. What was open when the process
ended is taken up again when it starts: the durable answer has gone on, and its cost is asked for.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from client.chats import Chat, ChatError, Chats, UnknownChat
from client.completions import TURN
from client.connection import ServerUnreachable
from client.runs import NoWorker
from contracts.chats import TurnResult
from serving.callers import Caller, Limits
from serving.errors import LIMITED, ApiError
from serving.metering import CHARS_A_TOKEN
from serving.windows import Accounting, Admitted, Ask, Open, Refused
from stores.exceptions import StoreError

LOOK_S = 2.0
"""Between two questions for the end of a turn that nobody follows."""

BEGUN_S = 15.0

AGAIN_S = 5.0
"""The same while nobody answers."""

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Spent:
    tokens: int
    usd: Decimal


class Accounts:
    """Admits and settles. `limits` are those of each model.

    After `begun_s` a conversation that does not exist will not come into being any more.
    """

    def __init__(
        self,
        windows: Accounting,
        chats: Chats,
        limits: Callable[[str], Limits],
        begun_s: float = BEGUN_S,
    ) -> None:
        self._windows, self._chats, self._limits = windows, chats, limits
        self._begun_s = begun_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: dict[str, asyncio.Future[TurnResult]] = {}
        self._least: dict[str, int] = {}

    async def admit(self, ask: Ask, caller: Caller) -> Admitted:
        """Hold what a request may take. Raises ApiError (429), StoreUnavailable."""
        try:
            found = await self._windows.admit(ask, caller.limits, self._limits(ask.model))
        except BaseException:  # it may be held all the same: nobody has heard the answer
            self.find_out(ask.id, self._chats.get(ask.chat), ask.request)
            raise
        if isinstance(found, Refused):
            raise _refusal(found)
        return found

    async def spent(self, caller: str) -> Decimal:
        """Return what a caller has spent and holds, in dollars."""
        return await self._windows.spent(caller)

    def settle_later(self, id: str, chat: Chat, turn: int) -> None:
        """Settle once the turn has ended, whoever waits for it. Asking twice is asking once."""
        if id not in self._ends:
            self._ends[id] = asyncio.get_running_loop().create_future()
            self._spawn(self._settled(id, chat, turn))

    async def release(self, id: str) -> None:
        """Give back what was held: nothing was begun."""
        await self._windows.release(id)

    def find_out(self, id: str, chat: Chat, request: str) -> None:
        """Settle a message of which it is not known whether it arrived."""
        self._spawn(self._taken_up(Open(id, chat.chat_id, request)))

    def used(self, id: str, tokens: int) -> None:
        """Say that so many tokens are used at least: of a stopped answer vendors tell no number."""
        self._least[id] = tokens

    def ended(self, id: str, result: TurnResult) -> None:
        """Tell what came of a turn, where somebody has seen it."""
        end = self._ends.get(id)
        if end is not None and not end.done():
            end.set_result(result)

    async def take_up(self) -> int:
        """Take up what an earlier process left open; return how many requests that are."""
        left = await self._windows.still_open()
        for one in left:
            self._spawn(self._taken_up(one))
        return len(left)

    async def aclose(self) -> None:
        """Stop waiting. What is open then is taken up by the next process."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._windows.aclose()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a request was not settled: %s: %s", type(error).__name__, error)

    async def _taken_up(self, one: Open) -> None:
        chat = self._chats.get(one.chat)
        turn = TURN if not one.request else await self._turn_of(chat, one.request)
        if turn is None:
            await _patiently(lambda: self._windows.release(one.id))
        else:
            self.settle_later(one.id, chat, turn)

    async def _turn_of(self, chat: Chat, request: str) -> int | None:
        """Return the turn of a message; None where it never arrived, nor will any more.

        Another server may be about to say it: it is asked for once more after `begun_s`.
        """
        for wait in (0.0, self._begun_s):
            await asyncio.sleep(wait)
            turn = await _patiently(lambda: _turn_of(chat, request))
            if turn is not None:
                return turn
        return None

    async def _settled(self, id: str, chat: Chat, turn: int) -> None:
        try:
            spent = await self._spent(self._ends[id], chat, turn)
        except UnknownChat:
            await _patiently(lambda: self._windows.release(id))  # it was never begun
            return
        finally:
            self._ends.pop(id, None)
        least = self._least.pop(id, 0)
        if spent is None:
            log.warning("nobody knows what %s has cost: what was held for it counts", id)
            await _patiently(lambda: self._windows.settle_held(id))
        else:
            tokens, usd = max(spent.tokens, least), spent.usd
            await _patiently(lambda: self._windows.settle(id, tokens, usd))

    async def _spent(
        self, end: "asyncio.Future[TurnResult]", chat: Chat, turn: int
    ) -> _Spent | None:
        """Wait for what a turn has cost; None where that is forgotten. Raises UnknownChat."""
        surely = time.monotonic() + self._begun_s
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    return _cost(await asyncio.shield(end))
            except TimeoutError:
                pass
            try:
                view = await _patiently(lambda: chat.turn(turn))
            except UnknownChat:
                if time.monotonic() < surely:
                    continue
                raise
            if view.result is not None:
                return _cost(view.result)
            if view.state == "forgotten":
                return await _patiently(lambda: _remains(chat, turn))


def _cost(result: TurnResult) -> _Spent:
    told = result.usage.total_tokens if result.usage else 0
    return _Spent(max(told, len(result.partial_text) // CHARS_A_TOKEN), result.cost)


async def _remains(chat: Chat, turn: int) -> _Spent | None:
    """Return what a turn without a result has cost: its attempts, where they are remembered."""
    attempts = (await chat.view()).attempts
    turns = {a.id: _turn(a.step) for a in attempts}
    own = [a for a in attempts if turns[a.id] == turn]
    if not own and any(other > turn for other in turns.values()):
        return None
    tokens = sum(a.usage.total_tokens for a in own if a.usage is not None)
    return _Spent(tokens, sum((a.cost for a in own), Decimal(0)))


def _turn(unit: str) -> int:
    """Return the turn that a unit of work belongs to: 3 of "t3.1.2"; 0 for none."""
    number = unit.partition(".")[0].removeprefix("t")
    return int(number) if number.isdigit() else 0


async def _turn_of(chat: Chat, request_id: str) -> int | None:
    """Return the turn that a message was given; None where it never arrived.

    An empty message is taken by nobody, unless it is one that was said before.
    """
    try:
        return (await chat.say("", request_id=request_id)).turn
    except ChatError:
        return None


async def _patiently(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Ask until there is an answer."""
    while True:
        try:
            return await ask()
        except (NoWorker, ServerUnreachable, StoreError):
            await asyncio.sleep(AGAIN_S)


def _refusal(refused: Refused) -> ApiError:
    headers = {}
    if refused.retry_s is not None:
        headers["Retry-After"] = str(math.ceil(refused.retry_s))
    if refused.measure == "usd":
        kind = code = "insufficient_quota"
        headers["x-should-retry"] = "false"
    else:
        kind, code = LIMITED, "rate_limit_exceeded"
    return ApiError(429, refused.message, kind=kind, code=code, headers=headers)
