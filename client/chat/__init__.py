"""Seed 003's face: an agent with tools that is talked to.

    agent = ConfigLoader().load_agent("agent.yaml")
    manager = ChatSessionManager(agent, ChatConfig(Path("agent.yaml")))
    await manager.start()
    response = await manager.process_message("Hello")
    await manager.terminate()

Each name is as the seed writes it; a session is the same durable conversation that
`starter.py chat` holds.
"""

from client.chat.exceptions import (
    AgentError,
    AgentInitializationError,
    HoloDeckError,
    InvalidToolError,
    LLMConnectionError,
    LLMError,
    MessageProcessingError,
    SessionInitializationError,
    ToolExecutionError,
    ValidationError,
)
from client.chat.executor import AgentExecutor
from client.chat.loading import ConfigLoader
from client.chat.messages import MessageValidator
from client.chat.session import ChatSessionManager
from client.chat.streaming import ToolExecutionStream
from client.chat.values import (
    AgentConfig,
    AgentResponse,
    ChatConfig,
    ChatHistory,
    ChatSession,
    SessionState,
    TokenUsage,
    ToolEvent,
    ToolEventType,
    ToolExecution,
    ToolStatus,
)

__all__ = [
    "AgentConfig",
    "AgentError",
    "AgentExecutor",
    "AgentInitializationError",
    "AgentResponse",
    "ChatConfig",
    "ChatHistory",
    "ChatSession",
    "ChatSessionManager",
    "ConfigLoader",
    "HoloDeckError",
    "InvalidToolError",
    "LLMConnectionError",
    "LLMError",
    "MessageProcessingError",
    "MessageValidator",
    "SessionInitializationError",
    "SessionState",
    "TokenUsage",
    "ToolEvent",
    "ToolEventType",
    "ToolExecution",
    "ToolExecutionError",
    "ToolExecutionStream",
    "ToolStatus",
    "ValidationError",
]
