"""A turn of a conversation that has grown long: summed up first, by its own agent, in one call.

The summary is an attempt of the turn that needed it: under the same ledger, on the same bill,
stopped with it. Its text goes to a part of the spool that is no answer's. Where none can be had
the turn goes on with the whole conversation: that costs more, and loses nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from contracts.chats import NewMessage, TurnCall, TurnResult
from contracts.teams import AgentStatus
from rules import compaction
from workflows.attempting import Books, Ended
from workflows.reserving import Reserver
from workflows.talk import Conversation
from workflows.tool_endings import spoken
from workflows.turns import AgentBooks, ModelTurn, TurnAsk, TurnRun

PART = "summary"


class SummaryTurn(ModelTurn):
    """The call that sums up. The transcript that it answers begins with the summary."""

    def __init__(self, books: Books, reserver: Reserver, ask: TurnAsk) -> None:
        told = (NewMessage(content=spoken(compaction.REQUEST)),)
        super().__init__(books, reserver, ask, 0, ask.conversation, told)
        self._spool_unit = f"{ask.unit}-{PART}"

    def _call(self, max_tokens: int, bound: int) -> TurnCall:
        call = super()._call(max_tokens, bound)
        return call.model_copy(update={"summary": True, "want_inline": False})


class CompactingTurn:
    """A turn, begun by `start` once its conversation is no longer than its agent wants.

    `take` is given the conversation that begins with the summary, before the turn begins.
    """

    def __init__(
        self,
        books: Books,
        reserver: Reserver,
        ask: TurnAsk,
        start: Callable[[TurnAsk], TurnRun],
        take: Callable[[Conversation], None],
    ) -> None:
        self._books, self._reserver, self._ask = books, reserver, ask
        self._start, self._take = start, take
        self._run: TurnRun | None = None

    @property
    def conversation(self) -> Conversation:
        """Where the talk goes on from, once `run` gave an answer."""
        return self._run.conversation if self._run is not None else self._ask.conversation

    async def run(self) -> TurnResult:
        """Return the turn's result, cancelled or not."""
        talk, agent = self._ask.conversation, self._ask.agent
        if compaction.is_due(talk.size, talk.length, agent.compact_over_bytes):
            await self._sum_up()
        self._run = self._start(self._ask)
        return await self._run.run()

    async def _sum_up(self) -> None:
        ask = self._ask
        books: Books = AgentBooks(self._books, ask.agent)
        reply = await SummaryTurn(books, self._reserver, ask).answer()
        if isinstance(reply, Ended):
            task = asyncio.current_task()
            if reply.status is AgentStatus.CANCELLED and task is not None:
                task.cancel()  # the turn, which has not begun, is what was cancelled
            return
        talk = Conversation(reply.transcript, reply.size, reply.length)
        self._ask = replace(ask, conversation=talk)
        self._take(talk)
