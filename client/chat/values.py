"""The values of seed 003: what a turn gave, what a session is, what a tool did.

They are mutable dataclasses, as the seed shows them, and are imported by nothing inside.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

from config.agentfile import LoadedAgent
from contracts.agents import AgentSpec
from contracts.messages import Message, Usage


class SessionState(StrEnum):
    """States of a session."""

    INITIALIZING = "initializing"
    ACTIVE = "active"
    TERMINATED = "terminated"


class ToolStatus(StrEnum):
    """States of a tool's execution."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    SUCCESS = "completed"
    FAILED = "failed"


class ToolEventType(StrEnum):
    """Kinds of a tool's events."""

    STARTED = "started"
    PROGRESS = "progress"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass
class TokenUsage:
    """Tokens of a turn: a view of `Usage`. Raises ValueError where the sum is another."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0

    def __post_init__(self) -> None:
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if self.total_tokens != self.prompt_tokens + self.completion_tokens:
            raise ValueError(
                f"total_tokens must be {self.prompt_tokens + self.completion_tokens}, "
                f"not {self.total_tokens}"
            )

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
        )

    @classmethod
    def of(cls, usage: Usage) -> "TokenUsage":
        """Return the view of what a vendor reported."""
        prompt = usage.prompt_tokens
        completion = max(usage.completion_tokens, usage.total_tokens - prompt)
        return cls(prompt, completion, prompt + completion)


@dataclass
class ToolEvent:
    """Tool execution event. `timestamp` has a time zone."""

    event_type: ToolEventType
    tool_name: str
    timestamp: datetime
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class ToolExecution:
    """One call of a tool. `execution_time` in seconds; `status` is a `ToolStatus`' value."""

    tool_name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    result: str | None = None
    status: str = "pending"
    execution_time: float | None = None
    error_message: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    call_id: str = ""


@dataclass
class AgentResponse:
    """Agent response container. `cost` is in dollars, `execution_time` in seconds."""

    content: str
    tool_executions: list[ToolExecution] = field(default_factory=list)
    tokens_used: TokenUsage | None = None
    execution_time: float = 0.0
    cost: float = 0.0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.execution_time < 0:
            raise ValueError(f"execution_time must be 0 or more, not {self.execution_time}")


@dataclass
class ChatHistory:
    """A conversation: the system text, then what was said, oldest first."""

    messages: list[Message] = field(default_factory=list)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)

    def __getitem__(self, index: int) -> Message:
        return self.messages[index]

    @classmethod
    def of(cls, system: str, messages: Sequence[Message]) -> "ChatHistory":
        """Return a history that shares nothing with its source."""
        first = [Message("system", system)] if system else []
        return cls(copy.deepcopy([*first, *messages]))


@dataclass
class AgentConfig:
    """An agent as it was loaded."""

    loaded: LoadedAgent

    @property
    def spec(self) -> AgentSpec:
        """The agent as the workers see it."""
        return self.loaded.agent

    @property
    def path(self) -> Path:
        """The agent's file."""
        return self.loaded.source

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.spec.name

    @property
    def description(self) -> str:
        """What the agent is for."""
        return self.spec.description

    @property
    def instructions(self) -> str:
        """The agent's system text."""
        return self.spec.instructions

    @property
    def tools(self) -> list[str]:
        """The names of the agent's tools."""
        return [tool.name for tool in self.spec.tools]


@dataclass
class ChatConfig:
    """Chat configuration. Raises ValueError that names the field.

    `max_messages` is how long a conversation may grow before people are warned (at 80 %).
    `session_id` names a conversation to come back to, `provider` keeps to one provider.
    """

    agent_config_path: Path
    verbose: bool = False
    enable_observability: bool = False
    max_messages: int = 50
    session_id: str | None = None
    provider: str | None = None

    def __post_init__(self) -> None:
        self.agent_config_path = Path(self.agent_config_path)
        if not self.agent_config_path.exists():
            raise ValueError(f"agent_config_path: {self.agent_config_path}: no such file")
        if not self.agent_config_path.is_file():
            raise ValueError(f"agent_config_path: {self.agent_config_path} is no file")
        most = self.max_messages
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise ValueError(f"max_messages must be 1 or more, not {most!r}")


@dataclass
class ChatSession:
    """A session as it stands: a copy, which changes nothing."""

    agent_config: AgentConfig
    session_id: str = field(default_factory=lambda: str(uuid4()))
    state: SessionState = SessionState.INITIALIZING
    history: ChatHistory = field(default_factory=ChatHistory)
    message_count: int = 0
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    metadata: dict[str, Any] = field(default_factory=dict)
