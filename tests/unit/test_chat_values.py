"""Seed 003's values, its validator, its stream and its errors."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from client.chat import (
    AgentError,
    AgentResponse,
    ChatConfig,
    ChatHistory,
    HoloDeckError,
    LLMConnectionError,
    LLMError,
    MessageProcessingError,
    MessageValidator,
    TokenUsage,
    ToolEvent,
    ToolEventType,
    ToolExecution,
    ToolExecutionError,
    ToolExecutionStream,
)
from client.chat.exceptions import AgentError as Base
from client.chat.exceptions import turn_error
from contracts.chats import TurnResult
from contracts.failures import FailureKind
from contracts.messages import Message, Usage
from contracts.teams import AgentStatus

pytestmark = pytest.mark.unit

NBSP, ZERO_WIDTH = "\u00a0", "\u200b"


def why(message: object, most: int = 10_000) -> str | None:
    valid, reason = MessageValidator(most).validate(message)  # type: ignore[arg-type]
    assert valid is (reason is None)
    return reason


@pytest.mark.parametrize("message", [None, "", " \t\n", NBSP, f" {NBSP}\n"])
def test_C1_a_message_without_anything_in_it_is_empty(message: str | None) -> None:
    assert "empty" in (why(message) or "")


def test_C2_the_length_counts_without_the_space_around() -> None:
    assert why("a" * 10_000) is None
    assert why("a" * 10_001) is not None
    assert why(f"   {'a' * 10_000}\n ") is None


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\x7f", "\x0b", "\x0c"])
def test_C3_control_characters_are_refused(char: str) -> None:
    assert "control characters" in (why(f"a{char}b") or "")


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a\rb", "a\r\nb", "👩‍👩‍👧 と 漢字"])
def test_C4_text_of_any_language_may_be_said(text: str) -> None:
    assert why(text) is None


def test_C6_the_limit_can_be_another_and_is_told() -> None:
    assert why("a" * 100, 100) is None
    reason = why("a" * 101, 100) or ""
    assert "100 at most" in reason
    assert "10,000" not in reason


@pytest.mark.parametrize("text", ["a\u009bb", ZERO_WIDTH, ZERO_WIDTH * 3, "a\x1f"])
def test_C7_unseen_characters_are_refused(text: str) -> None:
    assert why(text) is not None


def test_half_a_character_is_refused() -> None:
    assert "surrogates" in (why("a\ud800") or "")


def test_a_long_message_is_judged_at_once() -> None:
    assert "at most" in (why("a" * 10_000_000) or "")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FailureKind.UNREACHABLE, LLMConnectionError),
        (FailureKind.TIMEOUT, LLMError),
        ("TurnTimeout", LLMError),
        (FailureKind.SERVER_FAILED, LLMError),
        (FailureKind.AUTHENTICATION_FAILED, LLMError),
        ("ToolFailed", ToolExecutionError),
        ("TurnLimit", MessageProcessingError),
        ("BudgetExceeded", MessageProcessingError),
    ],
)
def test_C17_failures_become_the_seeds_errors(kind: str, expected: type[Exception]) -> None:
    result = TurnResult(turn=1, status=AgentStatus.FAILED, kind=kind, error="why")
    error = turn_error(result)
    assert type(error) is expected
    assert isinstance(error, AgentError)
    assert isinstance(error, HoloDeckError)
    assert str(error) == "why"


def test_C17_a_connection_error_is_an_error_of_the_provider() -> None:
    assert issubclass(LLMConnectionError, LLMError)
    assert Base is AgentError


async def events(call: ToolExecution, *, verbose: bool = False) -> list[ToolEvent]:
    return [event async for event in ToolExecutionStream(verbose).stream_execution(call)]


DONE = ToolExecution("t", {"city": "Bern"}, "sunny", "completed", 0.5)
FAILED = ToolExecution("t", {"city": "Bern"}, None, "failed", 0.5, "no such city")
RUNNING = ToolExecution("t", {"city": "Bern"}, status="running")


@pytest.mark.parametrize(
    ("call", "kinds"),
    [
        (DONE, ["started", "completed"]),
        (FAILED, ["started", "failed"]),
        (RUNNING, ["started", "progress"]),
    ],
)
async def test_C20_events_of_a_call(call: ToolExecution, kinds: list[str]) -> None:
    told = await events(call)
    assert [event.event_type for event in told] == [ToolEventType(kind) for kind in kinds]
    assert {event.tool_name for event in told} == {"t"}
    assert all(event.timestamp.tzinfo is not None for event in told)
    assert told[0].timestamp <= told[1].timestamp
    assert all(type(event.data) is dict for event in told)


async def test_C20_a_failure_says_why_and_time_never_goes_back() -> None:
    assert (await events(FAILED))[1].data["error"] == "no such city"
    now = datetime.now(UTC)
    odd = ToolExecution("t", status="completed", started_at=now, completed_at=now - timedelta(1))
    told = await events(odd)
    assert told[0].timestamp == told[1].timestamp
    naive = ToolExecution("t", status="running", started_at=datetime(2020, 1, 1))
    assert (await events(naive))[0].timestamp.tzinfo is not None


async def test_C21_parameters_and_results_are_shown_when_asked_for() -> None:
    quiet, told = await events(DONE), await events(DONE, verbose=True)
    assert "parameters" not in quiet[0].data
    assert "result" not in quiet[1].data
    assert told[0].data["parameters"] == {"city": "Bern"}
    assert told[1].data["result"] == "sunny"


def test_C23_tokens_add_up() -> None:
    assert TokenUsage(10, 5, 15) + TokenUsage(1, 2, 3) == TokenUsage(11, 7, 18)
    with pytest.raises(ValueError, match="must be 15"):
        TokenUsage(10, 5, 14)
    with pytest.raises(ValueError, match="prompt_tokens"):
        TokenUsage(-1, 1, 0)
    assert TokenUsage.of(Usage(10, 5, 18)) == TokenUsage(10, 8, 18)


def test_C23_a_response_may_have_no_tokens_but_never_less_than_no_time() -> None:
    response = AgentResponse("hi", [], None, 0.0)
    assert response.tokens_used is None
    with pytest.raises(ValueError, match="execution_time"):
        AgentResponse("hi", [], None, -1.0)


def test_C26_a_chats_configuration(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("name: a")
    config = ChatConfig(path)
    assert (config.verbose, config.enable_observability, config.max_messages) == (False, False, 50)
    for wrong, said in ((tmp_path / "no.yaml", "no such file"), (tmp_path, "is no file")):
        with pytest.raises(ValueError, match=said):
            ChatConfig(wrong)
    for most in (0, -1):
        with pytest.raises(ValueError, match="max_messages"):
            ChatConfig(path, max_messages=most)


def test_C14_a_history_shares_nothing_with_its_source() -> None:
    said = [Message("user", "hi")]
    history = ChatHistory.of("be kind", said)
    history.messages.clear()
    assert said == [Message("user", "hi")]
    assert [m.role for m in ChatHistory.of("", said)] == ["user"]
