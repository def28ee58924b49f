"""An agent that is talked to turn by turn (seed 003): a face over one durable conversation.

Making an executor plans the agent and asks no network; the first turn, or `start`, opens the
conversation. Its memory is the conversation's: what `get_history` returns was read from there.
"""

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from decimal import Decimal
from typing import Any

from client.agent_plans import PlannedAgent
from client.chat.exceptions import (
    AgentInitializationError,
    InvalidToolError,
    MessageProcessingError,
    SessionInitializationError,
    turn_error,
)
from client.chat.hosting import Hosting, OwnHosting, SharedHosting
from client.chat.spans import Spans
from client.chat.values import AgentConfig, AgentResponse, ChatHistory, TokenUsage, ToolExecution
from client.chats import Chat, ChatError, ChatOver, MoneyWanted, TurnEvent
from client.connection import ServerUnreachable
from client.devserver.errors import DevServerError
from client.engine.place import Serving
from client.engine.waiting import budget_of
from client.planning import PlanError
from client.runs import NoWorker
from config.problems import ConfigError
from contracts.base import Json
from contracts.chats import AgentHeader, PendingTool, ToolRecord, TurnResult
from contracts.messages import Message
from contracts.teams import AgentStatus
from contracts.updates import BudgetRaise
from providers.exceptions import ExecutionPlatformError
from providers.spi import LLMClient
from stores.exceptions import StoreError
from stores.transcripts import Transcripts
from stores.values import load_value

logger = logging.getLogger(__name__)

Approve = Callable[[PendingTool], Awaitable[bool]]
"""A person's word on a tool call that waits for one."""

Fund = Callable[[str], Awaitable[float | Decimal | None]]
"""Is told why an answer waits for money (`budget.on_budget: pause`): returns the conversation's new
budget in dollars, 0 to stop the answer, None to leave it waiting."""

_PLACE_ERRORS = (ServerUnreachable, NoWorker, DevServerError, StoreError, ConfigError)


class AgentExecutor:
    """Executes turns of one agent. Not thread-safe: one conversation an instance.

    `client` answers instead of the configured providers; `provider` keeps to one of them.
    `session_id` names the conversation: one that goes on is joined, and is left open by
    `shutdown`, so that it can be come back to. `approve` is asked about tool calls that want a
    person's word; without it they wait for `starter.py approve`. `serving` replaces how turns are
    worked on, for tests. Raises AgentInitializationError, InvalidToolError.
    """

    def __init__(
        self,
        agent_config: AgentConfig,
        enable_observability: bool = False,
        *,
        client: LLMClient | None = None,
        provider: str | None = None,
        session_id: str | None = None,
        max_messages: int = 50,
        approve: Approve | None = None,
        on_budget_wait: Fund | None = None,
        serving: Serving | None = None,
    ) -> None:
        self.agent_config = agent_config
        self.session_id = session_id or str(uuid.uuid4())
        self._lasting = session_id is not None
        self._max_messages, self._approve, self._fund = max_messages, approve, on_budget_wait
        observed = enable_observability or agent_config.spec.observability.enabled
        self._spans = Spans(agent_config.spec) if observed else None
        try:
            self._hosting: Hosting = (
                SharedHosting(provider)
                if client is None
                else OwnHosting(client, self.session_id, serving)
            )
            self._planned: PlannedAgent = self._hosting.plan(agent_config.loaded)
        except (PlanError, ExecutionPlatformError, ConfigError) as error:
            raise AgentInitializationError(str(error)) from None
        self._chat: Chat | None = None
        self._messages: list[Message] = []
        self._clear_next = False
        self._closed = False

    async def start(self) -> None:
        """Open or join the conversation. Raises SessionInitializationError, InvalidToolError."""
        await self._opened()

    async def execute_turn(self, message: str) -> AgentResponse:
        """Say something and return the answer.

        A turn that waits for a person whom nobody asks here says so in the log. Raises
        MessageProcessingError, ToolExecutionError, LLMError (and LLMConnectionError); the
        conversation is as it was before then. Cancelled, it stops the answer.
        """
        async with contextlib.aclosing(self.stream_turn(message)) as events:
            async for event in events:
                if isinstance(event, AgentResponse):
                    return event
                self._note_wait(event)
        raise AssertionError("unreachable: a turn ends with its response")

    async def stream_turn(self, message: str) -> AsyncGenerator[TurnEvent | AgentResponse, None]:
        """Say something; yield what happens as it does, the response last.

        Raises as above. Left early, it stops the answer.
        """
        if not isinstance(message, str):
            kind = type(message).__name__
            raise MessageProcessingError(f"a message must be a text, not {kind}")
        chat = await self._opened()
        place = await chat.place()
        try:
            said = await chat.say(message, clear=self._clear_next)
        except (ChatError, *_PLACE_ERRORS) as error:
            raise MessageProcessingError(str(error)) from None
        self._clear_next = False
        ended = False
        try:
            async with contextlib.aclosing(chat.follow(said.turn, place)) as events:
                async for event in events:
                    if isinstance(event, TurnResult):
                        ended = True
                        yield await self._response(chat, event)
                    else:
                        yield event
                        if isinstance(event, PendingTool) and self._approve is not None:
                            await self._decide(chat, event, self._approve)
                        if isinstance(event, MoneyWanted) and self._fund is not None:
                            await self._ask_for_money(chat, said.turn, await self._fund(event.why))
        except (ChatError, *_PLACE_ERRORS) as error:
            raise MessageProcessingError(str(error)) from None
        except (asyncio.CancelledError, GeneratorExit):
            if not ended:
                with contextlib.suppress(Exception):
                    await asyncio.shield(chat.stop(said.turn))
            raise

    async def _ask_for_money(self, chat: Chat, turn: int, answer: float | Decimal | None) -> None:
        """Do what was said about money. Raises ValueError for what are no dollars."""
        if answer is None:
            return
        dollars = budget_of(answer)
        if dollars:
            await chat.raise_budget(BudgetRaise(to=dollars))
        else:
            await chat.stop(turn)

    async def _decide(self, chat: Chat, pending: PendingTool, approve: Approve) -> None:
        """Ask about a tool call. Who is asked and fails ends the answer."""
        try:
            approved = await approve(pending)
        except BaseException:
            with contextlib.suppress(Exception):
                await asyncio.shield(chat.stop(pending.turn))
            raise
        with contextlib.suppress(ChatError):  # somebody else was quicker
            await chat.decide(pending.call_id, approved=approved)

    def _note_wait(self, event: TurnEvent) -> None:
        here = f"python starter.py %s {self.session_id}"
        if isinstance(event, PendingTool) and self._approve is None:
            wants = f"wants a word on {event.name}: {here % 'approve'} {event.call_id}"
        elif isinstance(event, MoneyWanted) and self._fund is None:
            wants = f"has spent its budget: {here % 'budget'} --raise DOLLARS"
        else:
            return
        logger.warning("the conversation waits for a person. It %s", wants)

    def get_history(self) -> ChatHistory:
        """Return the conversation as the agent remembers it: a copy, the system text first."""
        return ChatHistory.of(self._planned.plan.system, self._messages)

    def clear_history(self) -> None:
        """Forget the conversation but for the system text: the next message begins it anew."""
        self._messages = []
        self._clear_next = True

    async def shutdown(self) -> None:
        """End the conversation, unless it was given its id, and clean up. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        if self._chat is not None and not self._lasting:
            with contextlib.suppress(ChatError, *_PLACE_ERRORS):
                await self._chat.end("shutdown")
        self._chat = None
        await self._hosting.close()

    async def _opened(self) -> Chat:
        if self._closed:
            raise SessionInitializationError("the agent was shut down")
        if self._chat is None:
            try:
                chats = await self._hosting.open()
                header: AgentHeader = await self._planned.stored(chats.runs.store)
                chat = await chats.open(self.session_id, header, self._max_messages)
                view = await chat.active()
                self._messages = await chat.messages(view)
            except ChatOver as error:
                raise SessionInitializationError(str(error)) from None
            except (ChatError, *_PLACE_ERRORS) as error:
                raise SessionInitializationError(f"the session cannot begin: {error}") from None
            if view.problems:
                raise InvalidToolError("; ".join(view.problems))
            self._chat = chat
        return self._chat

    async def _response(self, chat: Chat, result: TurnResult) -> AgentResponse:
        """Return what a turn gave, or raise why it gave nothing."""
        if self._spans is not None:
            self._spans.note(self.session_id, result)
        if result.status is not AgentStatus.COMPLETED:
            raise turn_error(result)
        output = await chat.output(result)
        self._messages = await self._remembered(chat, result)
        began, ended = result.started_at, result.ended_at
        return AgentResponse(
            content=output if isinstance(output, str) else json.dumps(output, ensure_ascii=False),
            tool_executions=[await self._tool(chat, record) for record in result.tools],
            tokens_used=TokenUsage.of(result.usage) if result.usage else None,
            execution_time=max((ended - began).total_seconds(), 0.0) if began and ended else 0.0,
            cost=float(result.cost),
            notes=list(result.notes),
        )

    async def _remembered(self, chat: Chat, result: TurnResult) -> list[Message]:
        assert result.transcript is not None
        return await Transcripts(chat.store).read(result.transcript)

    async def _tool(self, chat: Chat, record: ToolRecord) -> ToolExecution:
        parameters: Json = await load_value(chat.store, record.arguments)
        text: Any = await load_value(chat.store, record.text)
        failed = record.status == "failed"
        return ToolExecution(
            tool_name=record.name,
            parameters=parameters if isinstance(parameters, dict) else {"arguments": parameters},
            result=None if failed else str(text),
            status=record.status,
            execution_time=record.execution_time,
            error_message=(record.error or str(text)) if failed else None,
            started_at=record.started_at,
            completed_at=record.ended_at,
            call_id=record.call_id,
        )
