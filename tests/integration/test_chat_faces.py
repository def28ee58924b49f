"""Seed 003's faces over durable conversations: a caller's own client, on the session's server."""

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from client.chat import (
    AgentError,
    AgentExecutor,
    AgentInitializationError,
    AgentResponse,
    ChatConfig,
    ChatSessionManager,
    ConfigLoader,
    HoloDeckError,
    InvalidToolError,
    LLMConnectionError,
    LLMError,
    MessageProcessingError,
    SessionInitializationError,
    SessionState,
    TokenUsage,
    ValidationError,
)
from client.chats import TextPart
from providers.exceptions import ServerFailed, Unreachable
from tests.support.engines import FakeClient
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

PLAIN = """\
name: helper
model: {provider: simulated, name: gpt-4, max_tokens: 50}
instructions: Be kind to people.
"""


@pytest.fixture(autouse=True)
def surroundings(server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every executor find the session's server, and a home of its own."""
    monkeypatch.setenv("CALLBOARD_TEMPORAL_ADDRESS", server.address)
    monkeypatch.setenv("CALLBOARD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "agent.yaml"
    file.write_text(PLAIN)
    return file


def manager(path: Path, client: FakeClient, **more: Any) -> ChatSessionManager:
    agent = ConfigLoader().load_agent(path)
    return ChatSessionManager(agent, ChatConfig(path, **more), client=client)


@pytest.fixture
async def client() -> AsyncIterator[FakeClient]:
    yield FakeClient("Hello to you.")
    await asyncio.sleep(0.05)


async def test_the_seeds_usage_example(path: Path, client: FakeClient) -> None:
    session_manager = manager(path, client, verbose=True)
    await session_manager.start()
    said = []
    for user_input in ("Hello", "\x1b", "exit"):
        if user_input.lower() in ["exit", "quit"]:
            break
        try:
            response = await session_manager.process_message(user_input)
            said.append(f"Agent: {response.content}")
            said += [f"[Tool] {t.tool_name} → {t.status}" for t in response.tool_executions]
        except ValidationError as error:
            said.append(f"Error: {error}")
    await session_manager.terminate()
    assert said == [
        "Agent: Hello to you.",
        "Error: the message contains control characters (U+001B)",
    ]


async def test_C8_what_is_not_valid_is_not_asked(path: Path, client: FakeClient) -> None:
    chat = manager(path, client)
    await chat.start()
    with pytest.raises(ValidationError, match="empty") as caught:
        await chat.process_message("")
    assert isinstance(caught.value, AgentError)
    assert isinstance(caught.value, HoloDeckError)
    assert client.prompts == []
    assert chat.get_session().message_count == 0
    await chat.terminate()


async def test_C9_a_session_that_was_not_started(path: Path, client: FakeClient) -> None:
    chat = manager(path, client)
    with pytest.raises(SessionInitializationError, match="not started"):
        await chat.process_message("Hello")
    assert chat.get_session().state is SessionState.INITIALIZING
    assert chat.should_warn_context_limit() is False


async def test_C10_C31_a_session_starts_within_a_second(path: Path, client: FakeClient) -> None:
    took = []
    while len(took) < 10 and min(took, default=1.0) >= 1.0:
        chat = manager(path, client)
        began = time.perf_counter()
        session = await chat.start()
        took.append(time.perf_counter() - began)
    assert min(took) < 1.0, "C31: the quickest of ten"
    assert session.state is SessionState.ACTIVE
    assert session.state == "active"
    assert str(uuid.UUID(session.session_id)) == session.session_id
    assert [(m.role, m.content) for m in session.history] == [("system", "Be kind to people.")]
    assert session.message_count == 0
    assert (await chat.start()).session_id == session.session_id
    await chat.terminate()


async def test_C11_the_warning_counts_answered_messages(path: Path, client: FakeClient) -> None:
    chat = manager(path, client, max_messages=3)
    await chat.start()
    warned = []
    for _ in range(3):
        warned.append(chat.should_warn_context_limit())
        await chat.process_message("Hello")
    assert warned == [False, False, True]
    assert chat.get_session().message_count == 3
    await chat.terminate()


async def test_C14_the_history_is_a_copy_in_order(path: Path, client: FakeClient) -> None:
    chat = manager(path, client)
    await chat.start()
    await chat.process_message("one")
    await chat.process_message("two")
    history = chat.get_session().history
    assert [m.role for m in history] == ["system", "user", "assistant", "user", "assistant"]
    assert [m.content for m in history][1::2] == ["one", "two"]
    history.messages.clear()
    assert len(chat.get_session().history) == 5
    await chat.terminate()


async def test_C15_what_is_cleared_is_not_sent_again(path: Path, client: FakeClient) -> None:
    executor = AgentExecutor(ConfigLoader().load_agent(path), client=client)
    await executor.execute_turn("the old question")
    executor.clear_history()
    assert [m.role for m in executor.get_history()] == ["system"]
    await executor.execute_turn("the new question")
    assert "the old question" not in client.prompts[-1]
    assert "Be kind to people." in client.prompts[-1]
    assert [m.role for m in executor.get_history()] == ["system", "user", "assistant"]
    await executor.shutdown()


class Counting(AgentExecutor):
    """Counts how often it is shut down."""

    downs = 0

    async def shutdown(self) -> None:
        self.downs += 1
        await super().shutdown()


async def test_C16_terminating_twice_is_terminating_once(path: Path, client: FakeClient) -> None:
    agent = ConfigLoader().load_agent(path)
    executor = Counting(agent, client=client)
    chat = ChatSessionManager(agent, ChatConfig(path), executor=executor)
    await chat.start()
    await chat.process_message("Hello")
    await chat.terminate()
    await chat.terminate()
    assert executor.downs == 1
    assert chat.get_session().state is SessionState.TERMINATED
    with pytest.raises(SessionInitializationError, match="terminated"):
        await chat.process_message("Hello?")
    with pytest.raises(SessionInitializationError, match="terminated"):
        await chat.start()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unreachable("connection refused"), LLMConnectionError),
        (ServerFailed("it broke", status=500), LLMError),
    ],
)
async def test_C17_the_provider_fails_and_the_session_goes_on(
    path: Path, error: Exception, expected: type[Exception]
) -> None:
    path.write_text(PLAIN + "execution: {max_retries: 0}\n")
    client = FakeClient(error)
    chat = manager(path, client)
    await chat.start()
    with pytest.raises(expected) as caught:
        await chat.process_message("Hello")
    assert isinstance(caught.value, LLMError)
    assert chat.get_session().message_count == 0
    client.answer = "There you are."
    assert (await chat.process_message("Hello")).content == "There you are."
    assert [m.role for m in chat.get_session().history] == ["system", "user", "assistant"]
    await chat.terminate()
    await asyncio.sleep(0.05)


def test_C17_a_provider_without_a_key_is_told_at_construction(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EP_OPENAI_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    path.write_text(PLAIN.replace("simulated", "openai"))
    with pytest.raises(AgentInitializationError, match="OPENAI_API_KEY"):
        AgentExecutor(ConfigLoader().load_agent(path))


async def test_C17_a_session_of_such_an_agent_cannot_be_initialized(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EP_OPENAI_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    path.write_text(PLAIN.replace("simulated", "openai"))
    chat = ChatSessionManager(ConfigLoader().load_agent(path), ChatConfig(path))
    with pytest.raises(SessionInitializationError, match="OPENAI_API_KEY"):
        await chat.start()
    assert chat.get_session().state is SessionState.INITIALIZING
    await chat.terminate()


TOOLS = "tools:\n"
TWICE = TOOLS + 2 * "  - {name: look, type: function, function: look, file: tools.py}\n"


@pytest.mark.parametrize(
    "tools",
    [
        TWICE,
        TOOLS + "  - {name: look, type: function, function: look, file: none.py}\n",
        TOOLS + "  - {name: look, type: function, function: nothing, file: tools.py}\n",
    ],
    ids=["two of a name", "no file", "no function"],
)
def test_C18_a_tool_that_cannot_be_used_is_named(path: Path, tools: str) -> None:
    (path.parent / "tools.py").write_text(
        'def look(at: str) -> str:\n    """Look at something."""\n    return at\n'
    )
    path.write_text(PLAIN + tools)
    with pytest.raises(InvalidToolError, match="look") as caught:
        ConfigLoader().load_agent(path)
    assert isinstance(caught.value, AgentError)


async def test_C23_a_response_has_tokens_and_time(path: Path, client: FakeClient) -> None:
    executor = AgentExecutor(ConfigLoader().load_agent(path), client=client)
    response = await executor.execute_turn("Hello")
    assert response.tokens_used == TokenUsage(100, 50, 150)
    assert response.execution_time >= 0
    assert response.cost == pytest.approx(0.006)
    await executor.shutdown()


async def test_C24_sessions_know_nothing_of_each_other(path: Path) -> None:
    both = FakeClient(lambda prompt: "I fail" if "boom" in prompt else f"Hello {prompt[-5:]}")
    one, two = manager(path, both), manager(path, both)
    first, second = await asyncio.gather(one.start(), two.start())
    assert first.session_id != second.session_id
    await asyncio.gather(one.process_message("I am Alice"), two.process_message("I am Bobby"))
    texts = [" ".join(m.content for m in s.get_session().history) for s in (one, two)]
    assert "Alice" in texts[0]
    assert "Bobby" not in texts[0]
    assert "Bobby" in texts[1]
    assert "Alice" not in texts[1]
    await one.terminate()
    assert (await two.process_message("Still here")).content
    await two.terminate()
    await asyncio.sleep(0.05)


async def test_C29_a_turns_time_is_kept_and_the_session_goes_on(path: Path) -> None:
    path.write_text(PLAIN + "execution: {turn_timeout: 0.05}\n")
    client = FakeClient("Late.", seconds=60.0)
    executor = AgentExecutor(ConfigLoader().load_agent(path), client=client)
    await executor.start()
    began = time.perf_counter()
    with pytest.raises(LLMError, match=r"0\.05 s"):
        await executor.execute_turn("Hello")
    assert time.perf_counter() - began < 30
    await executor.shutdown()
    await asyncio.sleep(0.05)


async def test_a_turn_that_is_cancelled_is_stopped(path: Path) -> None:
    client = FakeClient("Late.", seconds=90.0)
    executor = AgentExecutor(ConfigLoader().load_agent(path), client=client)
    await executor.start()
    task = asyncio.create_task(executor.execute_turn("Hello"))
    while not client.prompts:
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    client.seconds = 0.0
    assert (await asyncio.wait_for(executor.execute_turn("Again"), 60)).content == "Late."
    await executor.shutdown()
    await asyncio.sleep(0.05)


async def test_what_happens_can_be_seen_as_it_does(path: Path, client: FakeClient) -> None:
    executor = AgentExecutor(ConfigLoader().load_agent(path), client=client)
    text, last = "", None
    async for event in executor.stream_turn("Hello"):
        if isinstance(event, TextPart):
            text = text[: event.keep] + event.added
        last = event
    assert text == "Hello to you."
    assert isinstance(last, AgentResponse)
    await executor.shutdown()


async def test_a_named_session_is_come_back_to(path: Path) -> None:
    name = f"session-{uuid.uuid4()}"
    agent = ConfigLoader().load_agent(path)
    roles = []
    for said in ("Hello", "Hello again"):
        executor = AgentExecutor(agent, client=FakeClient("Yes."), session_id=name)
        await executor.start()
        roles.append(len(executor.get_history()))
        await executor.execute_turn(said)
        await executor.shutdown()
    assert roles == [1, 3]
    await asyncio.sleep(0.05)


async def test_what_has_ended_says_so(path: Path, client: FakeClient) -> None:
    executor = AgentExecutor(ConfigLoader().load_agent(path), client=client)
    await executor.execute_turn("Hello")
    await executor.shutdown()
    await executor.shutdown()
    with pytest.raises(SessionInitializationError, match="shut down"):
        await executor.execute_turn("Hello?")


async def test_a_message_that_is_too_long_for_the_conversation(
    path: Path, client: FakeClient
) -> None:
    executor = AgentExecutor(ConfigLoader().load_agent(path), client=client)
    with pytest.raises(MessageProcessingError, match="at most"):
        await executor.execute_turn("x" * 10_000_000)
    assert (await executor.execute_turn("Hello")).content == "Hello to you."
    await executor.shutdown()


def test_C33_without_observability_nothing_of_it_is_imported(path: Path) -> None:
    import subprocess

    code = (
        "import sys, client.chat as c\n"
        f"a = c.ConfigLoader().load_agent({str(path)!r})\n"
        "c.AgentExecutor(a, client=type('C', (__import__('tests.support.engines', fromlist=['x'])"
        ".FakeClient,), {})())\n"
        "sys.exit(any(m.split('.')[0] == 'opentelemetry' for m in sys.modules))\n"
    )
    root = Path(__file__).parent.parent.parent
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, timeout=60, check=False)
    assert ended.returncode == 0
