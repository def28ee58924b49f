"""Chat sessions (seed 003): validated messages to one agent, and how the talk stands."""

import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from client.chat.exceptions import (
    AgentError,
    AgentInitializationError,
    SessionInitializationError,
    ValidationError,
)
from client.chat.executor import AgentExecutor, Approve, Fund
from client.chat.messages import MessageValidator
from client.chat.values import (
    AgentConfig,
    AgentResponse,
    ChatConfig,
    ChatSession,
    SessionState,
)
from client.chats import TurnEvent
from client.engine.place import Serving
from providers.spi import LLMClient
from rules.turns import near_limit


class ChatSessionManager:
    """Manages one interactive session. Not thread-safe.

    `client` answers instead of the configured providers, `executor` replaces the agent's own;
    `approve` is asked about tool calls that want a person's word, `on_budget_wait` about answers
    that wait for money; `serving` is for tests. Raises SessionInitializationError for what cannot
    become a session.
    """

    def __init__(
        self,
        agent_config: AgentConfig,
        config: ChatConfig,
        *,
        client: LLMClient | None = None,
        executor: AgentExecutor | None = None,
        validator: MessageValidator | None = None,
        approve: Approve | None = None,
        on_budget_wait: Fund | None = None,
        serving: Serving | None = None,
    ) -> None:
        if not isinstance(agent_config, AgentConfig):
            raise SessionInitializationError(
                f"agent_config must be an AgentConfig, not {type(agent_config).__name__}"
            )
        self.agent_config, self.config = agent_config, config
        self._validator = validator or MessageValidator()
        self._client, self._serving, self._approve = client, serving, approve
        self._fund = on_budget_wait
        self._executor = executor
        self._state = SessionState.INITIALIZING
        self._count = 0
        self._started_at = datetime.now(UTC)

    async def start(self) -> ChatSession:
        """Initialize the session, or come back to the one that the configuration names.

        Raises SessionInitializationError, and InvalidToolError where a tool is the reason.
        """
        if self._state is SessionState.TERMINATED:
            raise SessionInitializationError("the session was terminated: make another one")
        if self._state is SessionState.ACTIVE:
            return self.get_session()
        executor = self._executor = self._executor or self._made()
        try:
            await executor.start()
        except AgentError:
            await executor.shutdown()
            raise
        self._started_at = datetime.now(UTC)
        self._count = sum(m.role == "user" for m in executor.get_history())
        self._state = SessionState.ACTIVE
        return self.get_session()

    def _made(self) -> AgentExecutor:
        try:
            return AgentExecutor(
                self.agent_config,
                self.config.enable_observability,
                client=self._client,
                provider=self.config.provider,
                session_id=self.config.session_id,
                max_messages=self.config.max_messages,
                approve=self._approve,
                on_budget_wait=self._fund,
                serving=self._serving,
            )
        except AgentInitializationError as error:
            raise SessionInitializationError(str(error)) from error

    async def process_message(self, message: str) -> AgentResponse:
        """Validate, say and answer a message.

        Raises ValidationError before anything is asked, and what `execute_turn` raises; the
        session goes on after either.
        """
        executor = self._checked(message)
        response = await executor.execute_turn(message)
        self._count += 1
        return response

    async def stream_message(self, message: str) -> AsyncGenerator[TurnEvent | AgentResponse, None]:
        """The same, with what happens as it does; the response comes last."""
        executor = self._checked(message)
        async with contextlib.aclosing(executor.stream_turn(message)) as events:
            async for event in events:
                if isinstance(event, AgentResponse):
                    self._count += 1
                yield event

    def get_session(self) -> ChatSession:
        """Return the session as it stands: a copy."""
        executor = self._executor
        if executor is None:
            return ChatSession(self.agent_config, state=self._state)
        return ChatSession(
            self.agent_config,
            session_id=executor.session_id,
            state=self._state,
            history=executor.get_history(),
            message_count=self._count,
            started_at=self._started_at,
        )

    def clear_history(self) -> None:
        """Forget what was said; the next message begins the conversation anew."""
        self._active().clear_history()
        self._count = 0

    def should_warn_context_limit(self) -> bool:
        """Return whether 80 % of `max_messages` turns are remembered."""
        return near_limit(self._count, self.config.max_messages)

    async def terminate(self) -> None:
        """End the session and release what it holds. Safe to repeat.

        A conversation that the configuration names by `session_id` stays, to be come back to.
        """
        if self._state is SessionState.TERMINATED:
            return
        self._state = SessionState.TERMINATED
        if self._executor is not None:
            await self._executor.shutdown()

    def _checked(self, message: str) -> AgentExecutor:
        executor = self._active()
        valid, why = self._validator.validate(message)
        if not valid:
            raise ValidationError(why or "the message cannot be said")
        return executor

    def _active(self) -> AgentExecutor:
        if self._state is SessionState.TERMINATED:
            raise SessionInitializationError("the session was terminated: make another one")
        if self._state is not SessionState.ACTIVE or self._executor is None:
            raise SessionInitializationError("the session is not started: await start() first")
        return self._executor
