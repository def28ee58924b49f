"""Conversations, as a Python caller holds them: open one, say something, follow the answer.

Strategy: whatever is sent carries a request id and is sent again, with the same id, until the
conversation has taken it, so that a lost connection, a worker that is being replaced or a history
that is being continued neither lose nor double a word. The answer is read from the spool while it
is written and its end from a query, so that following costs no history.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, TypeVar

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError
from temporalio.workflow import UpdateMethodMultiParam

from client.chat_asking import asked
from client.chat_following import FIRST_LOOK_S, Followed, Placed, follow, follow_placed
from client.chat_sending import PATIENCE_S, new_id, over, send, send_with_start
from client.chat_starting import beginning, lines
from client.chat_values import (
    ChatBusy,
    ChatError,
    ChatLine,
    ChatOver,
    MoneyWanted,
    StreamTrouble,
    TextPart,
    TurnEvent,
    UnknownChat,
)
from client.connection import ServerUnreachable
from client.enclosing import TooLarge, enclose
from client.runs import ASK_LIMIT, NoWorker, Runs
from contracts.base import Json
from contracts.chats import (
    CHAT_WORKFLOW,
    AgentChange,
    AgentHeader,
    ChatStart,
    ChatView,
    ClearRequest,
    CompactRequest,
    EndRequest,
    SayAccepted,
    SayRequest,
    StopRequest,
    ToolWord,
    TurnQuery,
    TurnResult,
    TurnView,
)
from contracts.messages import Message
from contracts.parts import Part
from contracts.queues import WORKFLOW_QUEUE
from contracts.updates import Accepted, BudgetRaise, BudgetView, Command
from stores.artifacts import ArtifactStore
from stores.spooling import Spools
from stores.transcripts import Transcripts
from stores.values import load_value, store_value
from workflows.chat import ChatWorkflow

__all__ = [
    "Chat",
    "ChatBusy",
    "ChatError",
    "ChatLine",
    "ChatOver",
    "Chats",
    "MoneyWanted",
    "Placed",
    "StreamTrouble",
    "TextPart",
    "TurnEvent",
    "UnknownChat",
]

IDLE_S = 15.0

T = TypeVar("T")
C = TypeVar("C", bound=Command)
A = TypeVar("A")


class Chats:
    """All conversations of one server and store; `queue` is worked on by who shall answer."""

    def __init__(self, runs: Runs, queue: str = WORKFLOW_QUEUE) -> None:
        self.runs, self.queue = runs, queue

    @property
    def client(self) -> Client:
        """The server's client. Raises NoServer."""
        return self.runs.client

    async def open(
        self, chat_id: str, header: AgentHeader, max_messages: int = 50, *, purpose: str = ""
    ) -> "Chat":
        """Start a conversation, or join the one of that id, whoever its agent is.

        `purpose` is for those that no person holds ("test"): lists leave them out. Raises
        ChatOver where it has ended, ServerUnreachable.
        """
        start = ChatStart(
            chat_id=chat_id,
            header=header,
            max_messages=max_messages,
            searchable=await self.runs.searchable(),
        )
        chat = Chat(self, chat_id, start, purpose)
        await chat.start()
        return chat

    def get(self, chat_id: str) -> "Chat":
        """Return the conversation of an id, which need not exist. It is not started by this."""
        return Chat(self, chat_id)

    async def latest(self, limit: int = 20, where: str = "") -> list[ChatLine]:
        """Return the most recent conversations, newest first. Raises NoServer.

        `where` narrows the search, in the server's query language.
        """
        return [line async for line in lines(self.client, where, limit)]


class Chat:
    """One conversation."""

    def __init__(
        self, chats: Chats, chat_id: str, start: ChatStart | None = None, purpose: str = ""
    ) -> None:
        self._chats, self.chat_id = chats, chat_id
        self._start, self._purpose = start, purpose
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

    @property
    def runs(self) -> Runs:
        """Where it was found: the server and the store."""
        return self._chats.runs

    @property
    def spools(self) -> Spools:
        """Where its answers are written."""
        return self._spools

    async def start(self) -> None:
        """Start it, or join it where it goes on. Raises ChatOver, ServerUnreachable."""
        start = self._start
        assert start is not None
        try:
            await self._chats.client.start_workflow(
                CHAT_WORKFLOW, start, **beginning(start, self._chats.queue, self._purpose)
            )
        except WorkflowAlreadyStartedError:
            raise over(self.chat_id) from None
        except RPCError as error:
            raise ServerUnreachable(f"the Temporal server is away: {error.message}") from None

    # saying

    async def say(
        self,
        text: str,
        *,
        request_id: str | None = None,
        clear: bool = False,
        parts: Sequence[Part] = (),
    ) -> SayAccepted:
        """Say something; return once it has its turn, which may be long before its answer.

        The same `request_id` twice is said once. `clear`: forget what was said before. `parts` are
        files, and texts between them, that are shown behind the text: they go to the store, and
        into each request from now on. Raises ChatBusy, ChatOver, ChatError (also for more than a
        request holds), NoWorker, StoreUnavailable.
        """
        try:
            enclosed = await enclose(self._store, parts) if parts else None
        except TooLarge as error:
            raise ChatError(str(error)) from None
        said = SayRequest(
            request_id=request_id or new_id(),
            text=await store_value(self._store, text),
            clear=clear,
            enclosed=enclosed,
        )
        if self._start is None:
            return await self._command(ChatWorkflow.say, said)
        execute = self._chats.client.execute_update_with_start_workflow
        return await send_with_start(self.handle, execute, self._begin, ChatWorkflow.say, said)

    def _begin(self) -> WithStartWorkflowOperation[ChatWorkflow, Any]:
        start = self._start
        assert start is not None
        return WithStartWorkflowOperation(
            ChatWorkflow.run, start, **beginning(start, self._chats.queue, self._purpose)
        )

    async def clear(self) -> Accepted:
        """Forget the conversation, once all that was said before is answered."""
        return await self._command(ChatWorkflow.clear, ClearRequest(request_id=new_id()))

    async def compact(self, *, request_id: str | None = None) -> SayAccepted:
        """Have the conversation summed up, in a turn of its own whose answer is the summary.

        Raises ChatError where there is nothing to sum up, and as `say` does.
        """
        request = CompactRequest(request_id=request_id or new_id())
        return await self._command(ChatWorkflow.compact, request)

    async def stop(self, turn: int | None = None) -> Accepted:
        """End the answer under way; what it cost is kept."""
        return await self._command(ChatWorkflow.stop, StopRequest(request_id=new_id(), turn=turn))

    async def end(self, reason: str = "") -> Accepted:
        """End the conversation for good; one that has ended stays so."""
        try:
            return await self._command(
                ChatWorkflow.end, EndRequest(request_id=new_id(), reason=reason)
            )
        except ChatOver:
            return Accepted(status="unchanged")

    async def use_agent(self, header: AgentHeader) -> Accepted:
        """Let another model, or a changed agent, answer from the next turn on."""
        return await self._command(
            ChatWorkflow.use_agent, AgentChange(request_id=new_id(), header=header)
        )

    async def decide(
        self, call_id: str, *, approved: bool, comment: str = "", by: str = ""
    ) -> Accepted:
        """Give a person's word on a tool call that waits for one."""
        word = ToolWord(
            request_id=new_id(), call_id=call_id, approved=approved, comment=comment, by=by
        )
        return await self._command(ChatWorkflow.decide, word)

    async def raise_budget(self, raised: BudgetRaise) -> BudgetView:
        """Raise what the conversation may cost."""
        return await self._command(ChatWorkflow.raise_budget, raised)

    async def _command(self, update: UpdateMethodMultiParam[[Any, C], A], command: C) -> A:
        return await send(self.handle, update, command)

    # reading

    async def view(self) -> ChatView:
        """Return how the conversation stands. Raises UnknownChat, NoWorker, ServerUnreachable."""
        handle = self.handle
        return await asked(
            self.chat_id, lambda: handle.query(ChatWorkflow.chat, rpc_timeout=ASK_LIMIT)
        )

    async def turn(self, number: int) -> TurnView:
        """Return how far a turn is. Raises as `view` does."""
        handle, of = self.handle, TurnQuery(turn=number)
        return await asked(
            self.chat_id, lambda: handle.query(ChatWorkflow.turn, of, rpc_timeout=ASK_LIMIT)
        )

    async def _check_keys(self) -> None:
        """Raise WrongKey where the conversation is sealed with a key that is not here.

        The worker beside us leaves it alone then, and nobody else would say why.
        """
        with contextlib.suppress(RPCError):
            await (await self.handle.describe(rpc_timeout=ASK_LIMIT)).memo()

    async def active(self) -> ChatView:
        """Wait until the conversation can be spoken to; return how it stands.

        Raises NoWorker, WrongKey, and as `view` does.
        """
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                view = await self.view()
            except NoWorker:
                await self._check_keys()
            else:
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

    async def place(self) -> int:
        """Return where the spool ends now: follow a turn from there that is said after this."""
        return await self._spools.end(self.chat_id)

    async def wait(self, turn: int) -> TurnResult:
        """Wait for a turn's end."""
        async for event in self.follow(turn, await self.place()):
            if isinstance(event, TurnResult):
                return event
        raise AssertionError("unreachable: a turn that is followed has a result")

    def follow(self, turn: int, place: int = 0) -> AsyncGenerator[TurnEvent, None]:
        """Yield what happens in a turn as it does, its result at last.

        May begin at any time and anywhere: the text is the one coherent text, whatever attempts
        and workers it took. Raises ChatOver where the turn will have no result, NoWorker after
        PATIENCE_S without a sign of life.
        """
        return follow(Followed(self._spools, self.chat_id, self.turn, turn, place))

    def follow_placed(
        self, turn: int, place: int = 0, after: int = 0, idle_s: float = IDLE_S
    ) -> AsyncGenerator[Placed | None, None]:
        """Yield the same, each with the place behind it; None after each `idle_s` of silence.

        Who comes back with a place as `after`, and the same `place`, is told what came after it.
        """
        followed = Followed(self._spools, self.chat_id, self.turn, turn, place, after)
        return follow_placed(followed, idle_s)
