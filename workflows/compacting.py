"""A conversation that is summed up by its own agent, in one call: before a turn, or when asked.

Of a conversation that has grown long the summary is an attempt of the turn that needed it: under
the same ledger, on the same bill, stopped with it. Where none can be had the turn goes on with the
whole conversation: that costs more, and loses nothing. Who asks for a summary gets it as the answer
of a turn of its own. Its text goes to a part of the spool that is no answer's.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

from temporalio import workflow

from contracts.chats import NewMessage, TurnCall, TurnResult
from contracts.teams import AgentStatus
from rules import compaction
from rules.usages import total
from workflows.attempting import Books, Ended
from workflows.reserving import Reserver
from workflows.talk import Conversation
from workflows.tool_endings import spoken
from workflows.turns import CANCELLED, AgentBooks, ModelTurn, TurnAsk, TurnRun

PART = "summary"


class SummaryTurn(ModelTurn):
    """The call that sums up. The transcript that it answers begins with the summary."""

    def __init__(self, books: Books, reserver: Reserver, ask: TurnAsk) -> None:
        told = (NewMessage(content=spoken(compaction.REQUEST)),)
        super().__init__(books, reserver, ask, 0, ask.conversation, told)
        self._spool_unit = f"{ask.unit}-{PART}"

    @property
    def spool_unit(self) -> str:
        """Where its text is."""
        return self._spool_unit

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


class SummingTurn:
    """A turn in which the conversation is summed up and nothing else; its answer is the summary.

    `take` is given the conversation that begins with it. Without a summary all is as it was.
    """

    def __init__(
        self, books: Books, reserver: Reserver, ask: TurnAsk, take: Callable[[Conversation], None]
    ) -> None:
        self._books, self._ask, self._take = books, ask, take
        self._model = SummaryTurn(cast(Books, AgentBooks(books, ask.agent)), reserver, ask)
        self._started = workflow.now()

    async def run(self) -> TurnResult:
        """Return the turn's result, cancelled or not."""
        if self._ask.conversation.length <= 1:
            return self._result(AgentStatus.COMPLETED, notes=("there was nothing to sum up",))
        try:
            reply = await self._model.answer()
        except asyncio.CancelledError:  # before it had its turn
            reply = CANCELLED
        if isinstance(reply, Ended):
            over = reply.status is AgentStatus.BUDGET_EXCEEDED
            kind = "BudgetExceeded" if over else reply.kind
            return self._result(reply.status, error=reply.error, kind=kind)
        self._take(Conversation(reply.transcript, reply.size, reply.length))
        told = f"the agent goes on from this summary of {self._ask.conversation.length} messages"
        return self._result(
            AgentStatus.COMPLETED,
            output=reply.output,
            finish_reason=reply.finish_reason,
            notes=(*reply.notes, told),
            calls=1,
        )

    def _result(self, status: AgentStatus, **more: Any) -> TurnResult:
        spent = [a for a in self._books.attempts.values() if a.step == self._ask.unit]
        candidate = self._model.candidate if spent else None
        return TurnResult(
            turn=self._ask.turn,
            status=status,
            usage=total(a.usage for a in spent if a.usage is not None),
            cost=sum((a.cost for a in spent), Decimal(0)),
            attempts=len(spent),
            unit=self._model.spool_unit,
            provider=candidate.provider if candidate else None,
            model=candidate.model if candidate else None,
            started_at=self._started,
            ended_at=workflow.now(),
            **more,
        )
