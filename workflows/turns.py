"""One turn of an agent: from what was said to its answer, tools and repairs in between.

Strategy: `rules.turns` decides, this module waits. Each call of the model gets the conversation
by reference with what is new, and returns a reference that has both; the caller takes the last
one over only when the turn has an answer, so that a turn that fails leaves no trace in it. The
same turn serves a chat, a team's step and a test: whoever has it brings the books and the desk.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

from temporalio import workflow

from contracts.artifacts import Value
from contracts.calls import CallFailure, ContextRef, ModelCall, ModelReply, SharedUse
from contracts.chat_activities import TurnActivities
from contracts.chats import (
    IN_TOOLBOX,
    AgentHeader,
    AskedTool,
    Listed,
    NewMessage,
    ToolRecord,
    TurnCall,
    TurnReply,
    TurnResult,
)
from contracts.enclosures import Enclosed
from contracts.failures import FailureKind
from contracts.plans import Candidate, PlanHeader
from contracts.runs import AttemptRecord
from contracts.teams import AgentStatus
from contracts.tools import ToolOutcome
from rules import bounds, turns
from rules.turns import AskAgain, Finish, Limits, Progress, Stop
from rules.usages import total
from workflows.agents import Agents
from workflows.attempting import Attempting, Books, Ended
from workflows.inner_turns import InnerTurn, InnerTurns, StartInner
from workflows.outcome import attempt_by, count_by
from workflows.parked import ParkedTurn, slim
from workflows.reserving import Reserver
from workflows.sharing_warming import Ask
from workflows.talk import Conversation
from workflows.tool_endings import Asking
from workflows.turn_tools import Desk, ToolCaller

CANCELLED = Ended(AgentStatus.CANCELLED, "cancelled", FailureKind.STOPPED)


Gate = Callable[[], AbstractAsyncContextManager[None]]
"""What each call of a model is held within: a run's slots, a conversation's nothing."""


Share = Callable[[ModelCall, Candidate, Ask], Awaitable[ModelReply | CallFailure]]
"""Makes an attempt with what a run shares at its providers."""


@dataclass(frozen=True)
class TurnAsk:
    """What was said to whom, and after what. Without text: what ends the conversation so far.

    `unit` is what the turn is called in ledgers and bills: "t3" in a conversation, a team's step
    or item ("research[2]"), a call of a tool ("t3.1.2"). The calls of the model in it are
    numbered after `calls_before`. `turn` is its number in a conversation. `context` is the
    team's that the conversation begins with; attempts are made by way of `share`, where there is
    one. `enclosed` are files beside the text.
    """

    unit: str
    text: Value | None
    agent: AgentHeader
    conversation: Conversation
    listed: tuple[Listed, ...] = ()
    turn: int = 0
    calls_before: int = 0
    want_inline: bool = False
    context: ContextRef | None = None
    share: Share | None = None
    enclosed: Enclosed | None = None


class AgentBooks:
    """The books of a run or of a conversation, as an agent's calls use them."""

    def __init__(self, books: Books, agent: AgentHeader) -> None:
        self._books = books
        self.header = header_of(agent)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._books, name)


def header_of(agent: AgentHeader) -> PlanHeader:
    """Return an agent's candidates and rules as attempts look for them."""
    return PlanHeader(
        team=agent.name,
        steps=1,
        pages=1,
        candidates=agent.candidates,
        retry=agent.retry,
        cost_budget=agent.budget,
        on_budget=agent.on_budget,
    )


class ModelTurn(Attempting):
    """One call of the model within a turn: its attempts."""

    def __init__(
        self,
        books: Books,
        reserver: Reserver,
        ask: TurnAsk,
        call: int,
        conversation: Conversation,
        messages: tuple[NewMessage, ...],
    ) -> None:
        super().__init__(books, ask.agent.node, reserver, ask.unit)
        self._ask, self._conversation, self._messages = ask, conversation, messages
        self._spool_unit = f"{ask.unit}.{call}"

    async def answer(self) -> TurnReply | Ended:
        """Attempt until there is an answer, or none can be had."""
        outcome = await self._answer()
        if isinstance(outcome, Ended):
            return outcome
        assert isinstance(outcome, TurnReply)
        return outcome

    @property
    def candidate(self) -> Candidate:
        """Who answered, or was asked last."""
        return self._books.header.candidates[self._node.candidates[self._candidate]]

    @property
    def partial_text(self) -> str:
        """The beginning of an answer that was not finished."""
        return self._partial_preview

    async def _make(
        self, call: ModelCall, candidate: Candidate, has_next: bool
    ) -> ModelReply | CallFailure:
        async def ask(asked: ModelCall) -> ModelReply | CallFailure:
            assert isinstance(asked, TurnCall)
            return await attempt_by(
                TurnActivities.call_turn, asked, candidate, self._node.priority, has_next
            )

        share = self._ask.share
        outcome = await (ask(call) if share is None else share(call, candidate, ask))
        if isinstance(outcome, CallFailure):
            self._partial_preview = outcome.partial_preview or self._partial_preview
        return outcome

    async def _count_tokens(self, call: ModelCall, candidate: Candidate) -> int | None:
        assert isinstance(call, TurnCall)
        return await count_by(TurnActivities.count_turn, call, candidate)

    def _starts_over(self) -> bool:
        """A call of a tool cannot be gone on with in its middle, so a turn with tools begins anew.

        Histories from before this rule went on.
        """
        tools = any(one.listing.facts for one in self._ask.listed)
        return tools and workflow.patched("turns-with-tools-restart")

    def _fixed_bound(self) -> int:
        facts = [fact for one in self._ask.listed for fact in one.listing.facts]
        sizes = [self._conversation.size]
        sizes += [m.content.size_bytes + bounds.MESSAGE_TOKENS for m in self._messages]
        sizes += self._conversation.file_bounds(self._messages, self._ask.agent.file_rates)
        sizes += [fact.definition_bytes for fact in facts]
        return bounds.input_bound(self._node.prompt_bytes, sizes)

    def _call(self, max_tokens: int, bound: int) -> TurnCall:
        node, ask = self._node, self._ask
        boxes = tuple(one.listing.toolbox for one in ask.listed if one.listing.toolbox)
        told = bool(boxes) and any(
            one.listing.whole and one.listing.toolbox == boxes[0] for one in ask.listed
        )
        return TurnCall(
            plan=IN_TOOLBOX if told else ask.agent.plan,
            unit=self._spool_unit,
            attempt=self._number,
            candidate=node.candidates[self._candidate],
            max_tokens=max_tokens,
            input_bound=bound,
            timeout=node.timeout,
            first_token_timeout=node.first_token_timeout,
            idle_timeout=node.idle_timeout,
            want_inline=node.structured or ask.want_inline,
            continuation=self._continuation,
            repair=self._repair,
            transcript=self._conversation.transcript,
            messages=self._messages,
            toolboxes=boxes,
            shared=SharedUse(context=ask.context) if ask.context is not None else None,
        )


class TurnRun(InnerTurn, StartInner):
    """One turn. `conversation` is where the talk goes on from, once `run` gave an answer."""

    def __init__(
        self,
        books: Books,
        reserver: Reserver,
        ask: TurnAsk,
        desk: Desk,
        agents: Agents,
        gate: Gate = nullcontext,
    ) -> None:
        self._all_books = books
        self._books = cast(Books, AgentBooks(books, ask.agent))
        self._reserver, self._ask, self._desk = reserver, ask, desk
        self._agents, self._gate = agents, gate
        inner = InnerTurns(self, ask.agent, ask.unit, reserver, agents, desk)
        self._tools = ToolCaller(ask.turn, ask.agent, ask.listed, desk, inner, agents.quick)
        self._progress = Progress()
        self._limits = Limits(ask.agent.max_calls, ask.agent.argument_repairs)
        self._records: list[ToolRecord] = []
        self._notes: dict[str, None] = {}
        """Each once: what the agents that are its tools had to do without."""
        self._started = workflow.now()
        self._model: ModelTurn | None = None
        self.conversation = ask.conversation
        self.tell: Callable[[str], None] = _keep_quiet
        """Is told how far the turn is."""
        self.park: Callable[[ParkedTurn], Awaitable[None]] | None = None
        """Is called before each further call of the model; waits where the history is to end."""
        self._messages: tuple[NewMessage, ...] = ()
        if ask.text is not None:
            self._messages = (NewMessage(content=ask.text, enclosed=ask.enclosed),)

    async def inner(
        self, call: Asking, asked: ToolOutcome, agent: AgentHeader, reserver: Reserver
    ) -> InnerTurn:
        listed = await self._agents.listed(agent)
        problems = [problem for one in listed for problem in one.listing.problems]
        self._notes.update({f"{call.fact.name}: {problem}": None for problem in problems})
        ask = TurnAsk(
            unit=call.id,
            text=asked.text,
            agent=agent,
            conversation=Conversation(),
            listed=listed,
            turn=self._ask.turn,
        )
        return TurnRun(self._all_books, reserver, ask, self._desk, self._agents, self._gate)

    async def run(self) -> TurnResult:
        """Return the turn's result. Cancelled, it settles what is in flight and returns too."""
        while True:
            outcome = await self._call_model(self._messages)
            if isinstance(outcome, Ended):
                return self._ended(outcome)
            self._progress = replace(self._progress, calls=self._progress.calls + 1)
            self.conversation = self.conversation.carried_on(outcome, self._messages)
            if self._tools.hands_over(outcome.asked):
                return self._completed(outcome)
            decision = turns.after_answer(len(outcome.asked), self._progress, self._limits)
            if isinstance(decision, Finish):
                return self._completed(outcome)
            if isinstance(decision, Stop):
                return self._ended(Ended(AgentStatus.FAILED, decision.reason, decision.kind))
            try:
                self._messages, further = await self._call_tools(outcome.asked)
                if isinstance(further, Stop):
                    return self._ended(Ended(AgentStatus.FAILED, further.reason, further.kind))
                self._progress = further.progress
                if self.park is not None:
                    await self.park(self._parked())
            except asyncio.CancelledError:
                return self._ended(CANCELLED)

    def go_on_from(self, parked: ParkedTurn) -> None:
        """Go on with a turn that a history before this one began."""
        self._progress, self.conversation = parked.progress, parked.conversation
        self._messages, self._records = parked.messages, list(parked.records)
        self._started = parked.started_at

    def _parked(self) -> ParkedTurn:
        return ParkedTurn(
            calls=self._progress.calls,
            repairs=self._progress.repairs,
            calls_before=self._ask.calls_before,
            conversation=self.conversation,
            messages=self._messages,
            records=tuple(slim(record) for record in self._records),
            started_at=self._started,
        )

    async def _call_tools(
        self, asked: tuple[AskedTool, ...]
    ) -> tuple[tuple[NewMessage, ...], AskAgain | Stop]:
        """Call what an answer asks for; return what the model is told, and what follows."""
        if self._books.stopping:
            raise asyncio.CancelledError
        self.tell(f"call {self._progress.calls}: {', '.join(one.name for one in asked)}"[:200])
        ended = await self._tools.call(asked, self._unit_of(self._progress.calls))
        self._records += [one.record for one in ended]
        facts = [one.called for one in ended]
        further = turns.after_tools(facts, self._progress, self._limits)
        return tuple(one.message for one in ended), further

    async def _call_model(self, messages: tuple[NewMessage, ...]) -> TurnReply | Ended:
        number = self._ask.calls_before + self._progress.calls + 1
        try:
            async with self._gate():
                self._model = ModelTurn(
                    self._books, self._reserver, self._ask, number, self.conversation, messages
                )
                return await self._model.answer()
        except asyncio.CancelledError:  # before it had its turn
            return CANCELLED

    def _unit_of(self, call: int) -> str:
        """Return what a call of the model is called in spools."""
        return f"{self._ask.unit}.{self._ask.calls_before + call}"

    def _completed(self, reply: TurnReply) -> TurnResult:
        result = self._result(AgentStatus.COMPLETED)
        return result.model_copy(
            update={
                "output": reply.output,
                "model": reply.model or result.model,
                "finish_reason": reply.finish_reason,
                "notes": (*reply.notes, *self._notes),
                "transcript": reply.transcript,
                "asked": reply.asked,
            }
        )

    def _ended(self, ended: Ended) -> TurnResult:
        kind = ended.kind
        if ended.status is AgentStatus.BUDGET_EXCEEDED:
            kind = "BudgetExceeded"
        return self._result(ended.status).model_copy(
            update={
                "error": ended.error,
                "kind": kind,
                "partial_text": self._model.partial_text if self._model else "",
            }
        )

    def _result(self, status: AgentStatus) -> TurnResult:
        """Return what all results have."""
        spent = self._spent()
        candidate = self._model.candidate if self._model else None
        return TurnResult(
            turn=self._ask.turn,
            status=status,
            tools=tuple(self._records),
            usage=total([a.usage for a in spent if a.usage is not None]),
            cost=sum((a.cost for a in spent), Decimal(0)),
            calls=self._progress.calls,
            attempts=len(spent),
            unit=self._unit_of(max(self._progress.calls, 1)),
            provider=candidate.provider if candidate else None,
            model=candidate.model if candidate else None,
            started_at=self._started,
            ended_at=workflow.now(),
            first_token_at=next((a.first_token_at for a in spent if a.first_token_at), None),
        )

    def _spent(self) -> list[AttemptRecord]:
        """Return the turn's attempts, and those of the tools that asked a model within it."""
        unit, before = self._ask.unit, self._ask.calls_before
        inner = f"{unit}."
        return [
            attempt
            for attempt in self._books.attempts.values()
            if (attempt.step == unit and attempt.number > before)
            or (attempt.step.startswith(inner) and _call_of(attempt.step, inner) > before)
        ]


def _keep_quiet(_: str) -> None:
    """Tell nobody."""


def _call_of(unit: str, before: str) -> int:
    """Return the number of the model's call that a tool's unit belongs to: 2 of "t3.2.1"."""
    return int(unit.removeprefix(before).partition(".")[0])
