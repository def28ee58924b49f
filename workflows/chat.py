"""The chat workflow: one conversation, from its first message to its end.

One turn at a time, in the order in which messages were accepted; between turns it may go on in
a new history, so that neither a replay nor the history grows with the conversation. What it
knows is references and numbers (`workflows.chat_state`), what can be said to it is in
`workflows.chat_control`, and a turn is `workflows.turns`.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.artifacts import Value
    from contracts.chats import (
        CHAT_WORKFLOW,
        ChatResult,
        ChatStart,
        EndRequest,
        Listed,
        PendingTool,
        ToolWord,
        TurnResult,
    )
    from contracts.teams import AgentStatus
    from contracts.tool_activities import ToolActivities
    from contracts.tools import ToolList, ToolListing, tool_queue
    from workflows import carrying
    from workflows.chat_control import ChatControl
    from workflows.chat_display import ChatDisplay
    from workflows.chat_state import ChatState
    from workflows.turn_money import TurnReserver
    from workflows.turn_tools import Desk
    from workflows.turns import TurnAsk, TurnRun

MOST_EVENTS = 2_000
"""Of one history: some 150 plain turns, which replay in a blink. The server's own suggestion
comes at twice as many."""

LISTING = timedelta(seconds=60)
"""For a worker to list an agent's tools, servers that have to be started included."""


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
            said = state.queue.pop(0)
            if said.clear:
                state.forget()
            if said.turn is not None and said.text is not None:
                await self._list_tools()
                await self._take_turn(said.turn, said.text)
            if self._ending is None and self._grown():
                await self._move_on()

    async def _answer_once(self) -> None:
        """Answer what is carried, as it stands."""
        self._state.last_turn = 1
        if self._ending is None:
            await self._take_turn(1, None)
            self._ending = self._ending or EndRequest(reason="answered")

    async def _take_turn(self, turn: int, text: Value | None) -> None:
        """Answer one message, and write down what came of it."""
        state = self._state
        ask = TurnAsk(
            run_id=state.start.chat_id,
            turn=turn,
            text=text,
            agent=state.agent,
            conversation=state.conversation,
            listed=state.listed or (),
        )
        state.turn, state.stopping = turn, False
        if turn == 1 and text is not None:
            self._display.entitle(text)
        run = TurnRun(state, self._reserver, ask, self._desk)
        self._current = asyncio.create_task(run.run())
        try:
            result = await self._bounded(self._current, state.agent.turn_timeout)
        finally:
            if self._current.done():
                state.turn = None
        answered = result.status is AgentStatus.COMPLETED
        state.finish(result, run.conversation if answered else None)
        self._display.update()
        self._current = None

    async def _bounded(self, task: "asyncio.Task[TurnResult]", limit: float) -> TurnResult:
        """Wait for a turn, and stop it once its time is over. What a person takes is not its."""
        left = limit
        while not task.done():
            began, asks = workflow.now(), self._asks()
            over = await self._over(task, asks, None if asks else left)
            if over:
                self._stop_turn()
                return _timed_out(await asyncio.shield(task), limit)
            if not asks:
                left = max(left - (workflow.now() - began).total_seconds(), 0.001)
        return task.result()

    async def _over(self, task: "asyncio.Task[TurnResult]", asks: bool, left: float | None) -> bool:
        """Wait until a turn has ended, or asks or no longer asks a person; True if time is up."""
        try:
            await workflow.wait_condition(
                lambda: task.done() or self._asks() is not asks,
                timeout=left,
                timeout_summary="turn timeout",
            )
        except asyncio.TimeoutError:
            return True
        return False

    def _asks(self) -> bool:
        """Whether the turn waits for a person."""
        return bool(self._state.pending or self._state.paused_for)

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
        listings = [await self._listing(queue) for queue in state.agent.queues]
        state.listed = tuple(
            Listed(queue=queue, listing=listing)
            for queue, listing in zip(state.agent.queues, listings, strict=True)
        )

    async def _listing(self, queue: str | None) -> ToolListing:
        """Return the tools of one queue; where nobody serves it, why there are none."""
        name = tool_queue(queue, workflow.info().task_queue)
        try:
            return await workflow.execute_activity_method(
                ToolActivities.list_tools,
                ToolList(agent=self._state.agent.agent, queue=queue),
                task_queue=name,
                start_to_close_timeout=LISTING,
                schedule_to_close_timeout=LISTING * 2,
                retry_policy=RetryPolicy(maximum_attempts=3),
                summary="list the tools",
            )
        except ActivityError as error:
            return ToolListing(problems=(f"the tools of queue {name}: {error.cause}",))

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


def _timed_out(result: TurnResult, limit: float) -> TurnResult:
    """Return the result of a turn that was stopped for its time; an answer that came is kept."""
    if result.status is not AgentStatus.CANCELLED:
        return result
    return result.model_copy(
        update={
            "status": AgentStatus.FAILED,
            "kind": "TurnTimeout",
            "error": f"timeout: the turn took longer than {limit:g} s",
        }
    )


class _WorkflowDesk(Desk):
    """Questions to a person, answered by the update `decide`."""

    def __init__(self, state: ChatState, words: dict[str, ToolWord]) -> None:
        self._state, self._words = state, words

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
