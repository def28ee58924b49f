"""Conversations, as a Python caller holds them: open one, say something, follow the answer.

Strategy: whatever is sent carries a request id and is sent again, with the same id, until the
conversation has taken it, so that a lost connection, a worker that is being replaced or a history
that is being continued neither lose nor double a word. The answer is read from the spool while it
is written and its end from a query, so that following costs no history.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from client.connection import ServerUnreachable
from client.runs import ASK_LIMIT, NoWorker, Runs
from contracts.base import Json
from contracts.chats import (
    CHAT_BUSY,
    CHAT_ENDED,
    CHAT_MOVING,
    CHAT_WORKFLOW,
    AgentChange,
    AgentHeader,
    ChatStart,
    ChatView,
    ClearRequest,
    EndRequest,
    PendingTool,
    SayAccepted,
    SayRequest,
    StopRequest,
    ToolWord,
    TurnQuery,
    TurnResult,
    TurnView,
    turn_unit,
)
from contracts.messages import Message
from contracts.runs import WORKFLOW_QUEUE
from contracts.spools import SpoolRecord
from contracts.updates import Accepted, BudgetRaise, BudgetView, Command
from stores.artifacts import ArtifactStore
from stores.assembling import TextAssembler
from stores.transcripts import Transcripts
from stores.values import load_value, store_value
from workflows.chat import ChatWorkflow

T = TypeVar("T")

PATIENCE_S = 60.0
"""How long a message is sent again and again, and an answer waited for without a sign of life."""

FIRST_LOOK_S, LATER_LOOK_S = 0.02, 0.5
"""Between two questions whether a turn has ended: more often once its answer has."""

_AGAIN = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.NOT_FOUND,
    }
)


class ChatError(Exception):
    """A conversation refuses what was asked of it; the text says why."""


class ChatOver(ChatError):
    """The conversation has ended. Its id is never used again."""


class ChatBusy(ChatError):
    """As many messages wait as may."""


class UnknownChat(ChatError):
    """There is no conversation of this id."""


@dataclass(frozen=True)
class ChatLine:
    """A conversation in a list."""

    chat_id: str
    agent: str
    open: bool
    started_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True)
class TextPart:
    """What was just written: keep `keep` characters of the unit's text, then add `added`."""

    unit: str
    keep: int
    added: str


TurnEvent = TextPart | SpoolRecord | PendingTool | TurnResult
"""What is told of a turn: text, a tool's event (in a record), a question, at last its result."""


class Chats:
    """All conversations of one server and store; `queue` is worked on by who shall answer."""

    def __init__(self, runs: Runs, queue: str = WORKFLOW_QUEUE) -> None:
        self.runs, self.queue = runs, queue

    @property
    def client(self) -> Client:
        """The server's client. Raises NoServer."""
        return self.runs.client

    async def open(self, chat_id: str, header: AgentHeader, max_messages: int = 50) -> "Chat":
        """Start a conversation, or join the one of that id, whoever its agent is.

        Raises ChatOver where it has ended, ServerUnreachable.
        """
        chat = Chat(
            self, chat_id, ChatStart(chat_id=chat_id, header=header, max_messages=max_messages)
        )
        await chat.start()
        return chat

    def get(self, chat_id: str) -> "Chat":
        """Return the conversation of an id, which need not exist. It is not started by this."""
        return Chat(self, chat_id)

    async def latest(self, limit: int = 20) -> list[ChatLine]:
        """Return the most recent conversations, newest first. Raises NoServer."""
        found = []
        query = f"WorkflowType = '{CHAT_WORKFLOW}'"
        async for one in self.client.list_workflows(query, limit=limit):
            memo = await one.memo()
            found.append(
                ChatLine(
                    chat_id=one.id,
                    agent=str(memo.get("agent", "")),
                    open=one.status is WorkflowExecutionStatus.RUNNING,
                    started_at=one.start_time,
                    closed_at=one.close_time,
                )
            )
        return found


class Chat:
    """One conversation."""

    def __init__(self, chats: Chats, chat_id: str, start: ChatStart | None = None) -> None:
        self._chats, self.chat_id, self._start = chats, chat_id, start
        self._spools = chats.runs.spools
        self._store = chats.runs.store

    @property
    def handle(self) -> "WorkflowHandle[ChatWorkflow, Any]":
        """The Temporal handle behind it."""
        return self._chats.client.get_workflow_handle_for(ChatWorkflow.run, self.chat_id)

    @property
    def store(self) -> ArtifactStore:
        """Where its texts are."""
        return self._store

    async def start(self) -> None:
        """Start it, or join it where it goes on. Raises ChatOver, ServerUnreachable."""
        start = self._start
        assert start is not None
        try:
            await self._chats.client.start_workflow(
                CHAT_WORKFLOW,
                start,
                id=self.chat_id,
                task_queue=self._chats.queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=f"conversation with {start.header.name}",
                memo={"agent": start.header.name},
            )
        except WorkflowAlreadyStartedError:
            raise ChatOver(f"conversation {self.chat_id} has ended: begin another") from None
        except RPCError as error:
            raise ServerUnreachable(f"the Temporal server is away: {error.message}") from None

    # saying

    async def say(
        self, text: str, *, request_id: str | None = None, clear: bool = False
    ) -> SayAccepted:
        """Say something; return once it has its turn, which may be long before its answer.

        The same `request_id` twice is said once. `clear`: forget what was said before. Raises
        ChatBusy, ChatOver, ChatError, NoWorker, StoreUnavailable.
        """
        said = SayRequest(
            request_id=request_id or uuid.uuid4().hex,
            text=await store_value(self._store, text),
            clear=clear,
        )
        if self._start is None:
            return await self._until_taken(lambda: self._update(ChatWorkflow.say, said))
        return await self._until_taken(lambda: self._say_with_start(said))

    async def _say_with_start(self, said: SayRequest) -> SayAccepted:
        start = self._start
        assert start is not None
        operation = WithStartWorkflowOperation(
            ChatWorkflow.run,
            start,
            id=self.chat_id,
            task_queue=self._chats.queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"conversation with {start.header.name}",
            memo={"agent": start.header.name},
        )
        return await self._chats.client.execute_update_with_start_workflow(
            ChatWorkflow.say,
            said,
            start_workflow_operation=operation,
            id=said.request_id,
            rpc_timeout=ASK_LIMIT,
        )

    async def clear(self) -> Accepted:
        """Forget the conversation, once all that was said before is answered."""
        return await self._command(ChatWorkflow.clear, ClearRequest(request_id=_new_id()))

    async def stop(self, turn: int | None = None) -> Accepted:
        """End the answer under way; what it cost is kept."""
        return await self._command(ChatWorkflow.stop, StopRequest(request_id=_new_id(), turn=turn))

    async def end(self, reason: str = "") -> Accepted:
        """End the conversation for good; one that has ended stays so."""
        try:
            return await self._command(
                ChatWorkflow.end, EndRequest(request_id=_new_id(), reason=reason)
            )
        except ChatOver:
            return Accepted(status="unchanged")

    async def use_agent(self, header: AgentHeader) -> Accepted:
        """Let another model, or a changed agent, answer from the next turn on."""
        return await self._command(
            ChatWorkflow.use_agent, AgentChange(request_id=_new_id(), header=header)
        )

    async def decide(
        self, call_id: str, *, approved: bool, comment: str = "", by: str = ""
    ) -> Accepted:
        """Give a person's word on a tool call that waits for one."""
        word = ToolWord(
            request_id=_new_id(), call_id=call_id, approved=approved, comment=comment, by=by
        )
        return await self._command(ChatWorkflow.decide, word)

    async def raise_budget(self, raised: BudgetRaise) -> BudgetView:
        """Raise what the conversation may cost."""
        return await self._until_taken(lambda: self._update(ChatWorkflow.raise_budget, raised))

    async def _command(self, update: Any, command: Command) -> Accepted:
        accepted: Accepted = await self._until_taken(lambda: self._update(update, command))
        return accepted

    async def _update(self, update: Any, command: Command) -> Any:
        return await self.handle.execute_update(
            update, command, id=command.request_id or None, rpc_timeout=ASK_LIMIT
        )

    async def _until_taken(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send until it was taken or refused: the request id makes it one, however often."""
        until, wait = time.monotonic() + PATIENCE_S, FIRST_LOOK_S
        while True:
            try:
                return await send()
            except WorkflowUpdateFailedError as error:
                if (refusal := _refusal(error)) is not None:
                    raise refusal from None
                last: Exception = error
            except WorkflowAlreadyStartedError:
                raise ChatOver(f"conversation {self.chat_id} has ended: begin another") from None
            except WorkflowUpdateRPCTimeoutOrCancelledError as error:
                last = error
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND and await self._is_over():
                    raise ChatOver(
                        f"conversation {self.chat_id} has ended: begin another"
                    ) from None
                if error.status not in _AGAIN:
                    raise ChatError(f"the server refuses: {error.message}") from None
                last = error
            if time.monotonic() > until:
                raise NoWorker(
                    f"conversation {self.chat_id}: nobody takes the message "
                    f"({type(last).__name__}); start a worker with `python starter.py dev`"
                ) from None
            await asyncio.sleep(wait)
            wait = min(wait * 2, 1.0)

    async def _is_over(self) -> bool:
        """Whether it has ended. Raises UnknownChat where there is none."""
        try:
            status = (await self.handle.describe(rpc_timeout=ASK_LIMIT)).status
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise UnknownChat(f"there is no conversation {self.chat_id}") from None
            return False
        return status not in (
            WorkflowExecutionStatus.RUNNING,
            WorkflowExecutionStatus.CONTINUED_AS_NEW,
        )

    # reading

    async def view(self) -> ChatView:
        """Return how the conversation stands. Raises UnknownChat, NoWorker, ServerUnreachable."""
        return await self._ask(lambda: self.handle.query(ChatWorkflow.chat, rpc_timeout=ASK_LIMIT))

    async def turn(self, number: int) -> TurnView:
        """Return how far a turn is. Raises as `view` does."""
        asked = TurnQuery(turn=number)
        return await self._ask(
            lambda: self.handle.query(ChatWorkflow.turn, asked, rpc_timeout=ASK_LIMIT)
        )

    async def active(self) -> ChatView:
        """Wait until the conversation can be spoken to; return how it stands."""
        until = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(NoWorker):
                view = await self.view()
                if view.phase != "initializing":
                    return view
            if time.monotonic() > until:
                raise NoWorker(
                    f"conversation {self.chat_id} does not begin: no worker answers. Start one "
                    "with `python starter.py dev`"
                )
            await asyncio.sleep(FIRST_LOOK_S)

    async def messages(self, view: ChatView | None = None) -> list[Message]:
        """Return what the model remembers, oldest first, without the system text."""
        transcript = (view or await self.view()).transcript
        return await Transcripts(self._store).read(transcript) if transcript else []

    async def output(self, result: TurnResult) -> Json:
        """Return a turn's answer; None for one without. Raises the store's errors."""
        return await load_value(self._store, result.output) if result.output else None

    def place(self) -> int:
        """Return where the spool ends now: follow a turn from there that is said after this."""
        try:
            return self._spools.path(self.chat_id).stat().st_size
        except OSError:
            return 0

    async def wait(self, turn: int) -> TurnResult:
        """Wait for a turn's end."""
        async for event in self.follow(turn, self.place()):
            if isinstance(event, TurnResult):
                return event
        raise AssertionError("unreachable: a turn that is followed has a result")

    async def follow(self, turn: int, place: int = 0) -> AsyncGenerator[TurnEvent, None]:
        """Yield what happens in a turn as it does, its result at last.

        May begin at any time and anywhere: the text is the one coherent text, whatever attempts
        and workers it took. Raises ChatOver where the turn will have no result, NoWorker after
        PATIENCE_S without a sign of life.
        """
        events: asyncio.Queue[TurnEvent | Exception] = asyncio.Queue()
        nudge = asyncio.Event()
        tasks = [
            asyncio.create_task(self._read(turn, place, events, nudge)),
            asyncio.create_task(self._look(turn, events, nudge)),
        ]
        try:
            while True:
                event = await events.get()
                if isinstance(event, Exception):
                    raise event
                yield event
                if isinstance(event, TurnResult):
                    return
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(
        self,
        turn: int,
        place: int,
        events: "asyncio.Queue[TurnEvent | Exception]",
        nudge: asyncio.Event,
    ) -> None:
        """Pass the turn's text and its tools' events on; nudge whoever asks for its end."""
        own, assembler = turn_unit(turn) + ".", TextAssembler()
        async with contextlib.aclosing(self._spools.follow(self.chat_id, place)) as records:
            async for record, _ in records:
                if not record.agent.startswith(own):
                    continue
                if record.tool is not None:
                    events.put_nowait(record)
                    continue
                change = assembler.feed(record)
                if change is not None and record.kind != "ended":
                    events.put_nowait(TextPart(record.agent, change.keep, change.added))
                if record.kind == "ended":
                    nudge.set()

    async def _look(
        self,
        turn: int,
        events: "asyncio.Queue[TurnEvent | Exception]",
        nudge: asyncio.Event,
    ) -> None:
        """Ask for the turn's end, and for what it asks a person."""
        asked: set[str] = set()
        heard = time.monotonic()
        wait = 0.1
        while True:
            try:
                view = await self.turn(turn)
                heard = time.monotonic()
            except (NoWorker, ServerUnreachable) as error:
                if time.monotonic() - heard > PATIENCE_S:
                    events.put_nowait(error)
                    return
                await asyncio.sleep(LATER_LOOK_S)
                continue
            except Exception as error:
                events.put_nowait(error)
                return
            for pending in view.pending:
                if pending.call_id not in asked:
                    asked.add(pending.call_id)
                    events.put_nowait(pending)
            if view.result is not None:
                events.put_nowait(view.result)
                return
            if view.state == "forgotten":
                events.put_nowait(ChatOver(f"turn {turn} has no answer, or it is long forgotten"))
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(nudge.wait(), wait)
            wait = FIRST_LOOK_S if nudge.is_set() else min(wait * 1.5, LATER_LOOK_S)
            nudge.clear()

    async def _ask(self, query: Callable[[], Awaitable[T]]) -> T:
        try:
            return await query()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise UnknownChat(f"there is no conversation {self.chat_id}") from None
            if error.status is RPCStatusCode.UNAVAILABLE:
                raise ServerUnreachable(f"the Temporal server is away: {error.message}") from None
            raise NoWorker(f"conversation {self.chat_id}: no worker answers") from None
        except WorkflowQueryFailedError as error:
            raise NoWorker(f"conversation {self.chat_id} could not be asked: {error}") from None


def _refusal(error: WorkflowUpdateFailedError) -> ChatError | None:
    """Return what a refused update is to its sender; None where it is to be sent again."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        if cause.type == CHAT_MOVING:
            return None
        kind = {CHAT_BUSY: ChatBusy, CHAT_ENDED: ChatOver}.get(cause.type or "", ChatError)
        if cause.type == "AcceptedUpdateCompletedWorkflow":
            return None
        return kind(cause.message)
    return ChatError(str(cause or error))


def _new_id() -> str:
    return uuid.uuid4().hex
