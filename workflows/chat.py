"""The chat workflow: one conversation, from its first message to its end.

One turn at a time, in the order in which messages were accepted; between turns it may go on in
a new history, so that neither a replay nor the history grows with the conversation. What it
knows is references and numbers (`workflows.chat_state`), what can be said to it is in
`workflows.chat_control`, and a turn is `workflows.turns`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.artifacts import Value
    from contracts.chats import (
        CHAT_WORKFLOW,
        ChatResult,
        ChatStart,
        EndRequest,
        PendingTool,
        ToolWord,
        TurnResult,
        turn_unit,
    )
    from contracts.enclosures import Enclosed
    from contracts.teams import AgentStatus
    from workflows import carrying
    from workflows.agents import Agents, list_tools
    from workflows.chat_control import ChatControl
    from workflows.chat_display import ChatDisplay
    from workflows.chat_state import ChatState
    from workflows.compacting import CompactingTurn, SummingTurn
    from workflows.talk import Conversation
    from workflows.turn_clock import bounded
    from workflows.turn_money import TurnReserver
    from workflows.turn_tools import Desk
    from workflows.turns import TurnAsk, TurnRun

MOST_EVENTS = 2_000
"""Of one history: some 150 plain turns, which replay in a blink. The server's own suggestion
comes at twice as many."""


@workflow.defn(name=CHAT_WORKFLOW)
class ChatWorkflow(ChatControl):
    """One conversation."""

    @workflow.init
    def __init__(self, start: ChatStart) -> None:
        self._state = ChatState(start, workflow.now())
        self._display = ChatDisplay(self._state)
        self._reserver = TurnReserver(self._state)
        self._moving = False
        self._ending: EndRequest | None = None
        self._words: dict[str, ToolWord] = {}
        self._current: asyncio.Task[TurnResult] | None = None
        self._desk = _WorkflowDesk(self._state, self._words)
        self._agents = Agents()

    @workflow.run
    async def run(self, start: ChatStart) -> ChatResult:
        """Hold the conversation to its end."""
        state = self._state
        try:
            await self._list_tools()
            state.phase = "active"
            await (self._answer_once() if start.single else self._converse())
            cancelled = False
        except asyncio.CancelledError:
            cancelled = True
            await self._settled()
        state.phase = "terminated"
        self._display.update()
        await workflow.wait_condition(workflow.all_handlers_finished)
        if cancelled:
            raise asyncio.CancelledError
        return ChatResult(
            chat_id=start.chat_id,
            agent=state.agent.name,
            turns=state.turns,
            messages=state.messages,
            cost=state.ledger.counted,
            transcript=state.conversation.transcript,
            reason=self._ending.reason if self._ending else "",
        )

    async def _converse(self) -> None:
        """Answer what was said, one by one, until the conversation is ended."""
        state = self._state
        while True:
            await workflow.wait_condition(lambda: bool(state.queue) or self._ending is not None)
            if self._ending is not None:
                return
            if state.queue[0].text is not None:
                await self._list_tools()  # meanwhile it waits still, and can be asked for
            said = state.queue.pop(0)
            if said.clear:
                state.forget()
            if said.turn is not None and said.compact:
                await self._sum_up(said.turn)
            elif said.turn is not None and said.text is not None:
                await self._take_turn(said.turn, said.text, said.enclosed)
            if self._ending is None and self._grown():
                await self._move_on()

    async def _answer_once(self) -> None:
        """Answer what is carried, as it stands."""
        self._state.last_turn = 1
        if self._ending is None:
            await self._take_turn(1, None)
            self._ending = self._ending or EndRequest(reason="answered")

    async def _take_turn(
        self, turn: int, text: Value | None, enclosed: Enclosed | None = None
    ) -> None:
        """Answer one message, and write down what came of it."""
        ask = self._ask(turn, text, enclosed)
        if turn == 1 and text is not None:
            self._display.entitle(text)
        run = CompactingTurn(self._state, self._reserver, ask, self._begin, self._summed_up)
        result = await self._ended(ask, run.run())
        answered = result.status is AgentStatus.COMPLETED
        self._finish(result, run.conversation if answered else None)

    async def _sum_up(self, turn: int) -> None:
        """Sum up the conversation, because somebody wants it."""
        ask = self._ask(turn, None)
        run = SummingTurn(self._state, self._reserver, ask, self._summed_up)
        self._finish(await self._ended(ask, run.run()), None)

    def _ask(self, turn: int, text: Value | None, enclosed: Enclosed | None = None) -> TurnAsk:
        state = self._state
        return TurnAsk(
            unit=turn_unit(turn),
            turn=turn,
            text=text,
            agent=state.agent,
            conversation=state.conversation,
            listed=state.listed or (),
            enclosed=enclosed,
        )

    async def _ended(self, ask: TurnAsk, run: Coroutine[Any, Any, TurnResult]) -> TurnResult:
        """Wait for a turn's result, as long as the agent's turns may take."""
        state = self._state
        state.turn, state.saying, state.stopping = ask.turn, ask.text, False
        state.enclosed = ask.enclosed
        self._current = asyncio.create_task(run)
        try:
            limit, desk = state.agent.turn_timeout, self._desk
            return await bounded(self._current, limit, lambda: desk.asks, self._stop_turn)
        finally:
            if self._current.done():
                state.turn = state.enclosed = None

    def _finish(self, result: TurnResult, conversation: Conversation | None) -> None:
        self._state.finish(result, conversation)
        self._display.update()
        self._current = None

    def _begin(self, ask: TurnAsk) -> TurnRun:
        return TurnRun(self._state, self._reserver, ask, self._desk, self._agents)

    def _summed_up(self, conversation: Conversation) -> None:
        """Go on with a summary in place of the conversation; the original is in the store."""
        self._state.conversation, self._state.messages = conversation, 0

    def _stop_turn(self) -> None:
        if self._current is not None and not self._state.stopping:
            self._current.cancel()
        self._state.stopping = True

    async def _settled(self) -> None:
        """Stop what is under way and write down what it cost: the workflow was cancelled."""
        self._ending = self._ending or EndRequest(reason="cancelled")
        if self._current is not None:
            self._stop_turn()
            result = await asyncio.shield(self._current)
            self._state.turn = None
            self._state.finish(result, None)

    async def _list_tools(self) -> None:
        """Ask the workers for the agent's tools, where that is not known yet."""
        state = self._state
        if state.listed is not None:
            return
        state.listed = await list_tools(state.agent)

    def _grown(self) -> bool:
        """Whether it is time for a new history."""
        return carrying.suggested() or (workflow.info().get_current_history_length() >= MOST_EVENTS)

    async def _move_on(self) -> None:
        """Go on in a new history: nothing is in flight between two turns."""
        self._moving = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        state = self._state
        carried = state.carried().model_dump(mode="json", exclude_defaults=True)
        workflow.continue_as_new(
            state.start.model_copy(update={"header": state.agent, "carried": carried})
        )


class _WorkflowDesk(Desk):
    """Questions to a person, answered by the update `decide`."""

    def __init__(self, state: ChatState, words: dict[str, ToolWord]) -> None:
        self._state, self._words = state, words

    @property
    def asks(self) -> bool:
        return bool(self._state.pending or self._state.paused_for)

    async def word(self, pending: PendingTool, limit: float | None) -> ToolWord | None:
        self._state.pending[pending.call_id] = pending
        try:
            await workflow.wait_condition(
                lambda: pending.call_id in self._words,
                timeout=limit,
                timeout_summary=f"{pending.name} waits for a person",
            )
        except asyncio.TimeoutError:
            return None
        finally:
            self._state.pending.pop(pending.call_id, None)
        return self._words.pop(pending.call_id)
