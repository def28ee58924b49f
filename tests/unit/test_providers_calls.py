"""Seed 001's in-process helpers: one request, retry with a fake clock, fallback."""

from collections.abc import Sequence

import pytest

from contracts.messages import ChatChunk, ChatRequest, Message, ToolDefinition, Usage
from providers import registry
from providers.calls import execute_request, execute_with_fallback, execute_with_retry
from providers.exceptions import (
    AuthenticationFailed,
    ContentRefused,
    Overloaded,
    PersonaNotFoundError,
    ProviderError,
    RateLimited,
    RouterError,
    TimeoutError,
)
from providers.router import PersonaRouter
from providers.spi import LLMClient

pytestmark = pytest.mark.unit

REQUEST = ChatRequest([Message("user", "Hello")])


class Scripted(LLMClient):
    """Plays one entry per call: a text, an error, or texts followed by an error."""

    def __init__(self, *script: str | BaseException | Sequence[str | BaseException]) -> None:
        self.script = list(script)
        self.requests: list[ChatRequest] = []

    async def stream(self, req: ChatRequest):
        self.requests.append(req)
        entry = self.script[min(len(self.requests), len(self.script)) - 1]
        for part in [entry] if isinstance(entry, str | BaseException) else entry:
            if isinstance(part, BaseException):
                raise part
            yield ChatChunk(delta_text=part)
        yield ChatChunk(finish_reason="stop", usage=Usage(1, 1))


class Clock:
    """Remembers waits instead of waiting."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


POLICY = """
providers:
  main: {capabilities: [system_prompts]}
  spare: {capabilities: [system_prompts, tool_calling]}
personas:
  writer: {requires: [system_prompts], provider_preferences: [main]}
  writer_openai: {provider_preferences: [spare]}
  alone: {requires: [system_prompts], provider_preferences: [main]}
  either: {requires: [system_prompts], provider_preferences: [main, spare]}
"""


@pytest.fixture
def route(tmp_path):
    """Return a function that makes a router for two scripted clients."""

    def route(main: LLMClient, spare: LLMClient) -> PersonaRouter:
        registry.register("main", lambda model: main)
        registry.register("spare", lambda model: spare)
        path = tmp_path / "policy.yaml"
        path.write_text(POLICY)
        return PersonaRouter(path)

    yield route
    registry.unregister("main")
    registry.unregister("spare")


async def test_a_request_returns_its_text():
    assert await execute_request(Scripted(["Hel", "lo"]), REQUEST) == "Hello"


async def test_a_requests_timeout_is_the_callers():
    class Slow(LLMClient):
        async def stream(self, req: ChatRequest):
            import asyncio

            await asyncio.sleep(5)
            yield ChatChunk(delta_text="late", finish_reason="stop")

    with pytest.raises(TimeoutError, match=r"0\.05 seconds"):
        await execute_request(Slow(), REQUEST, timeout=0.05)


# --- retry


async def test_A23_two_failures_then_a_result():
    clock, client = Clock(), Scripted(ProviderError("one"), Overloaded("two"), "fine")
    assert await execute_with_retry(client, REQUEST, sleep=clock.sleep) == "fine"
    assert len(client.requests) == 3
    assert clock.waits == [4, 4]


async def test_A23_three_failures_raise_the_last():
    clock = Clock()
    client = Scripted(Overloaded("one"), Overloaded("two"), Overloaded("three"))
    with pytest.raises(Overloaded, match="three"):
        await execute_with_retry(client, REQUEST, sleep=clock.sleep)
    assert len(client.requests) == 3
    assert clock.waits == [4, 4]


async def test_A23_waits_grow_to_ten_seconds():
    clock = Clock()
    with pytest.raises(Overloaded):
        await execute_with_retry(
            Scripted(Overloaded("busy")), REQUEST, attempts=7, sleep=clock.sleep
        )
    assert clock.waits == [4, 4, 4, 8, 10, 10]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        RouterError("no"),
        PersonaNotFoundError("no"),
        AuthenticationFailed("no"),
        ContentRefused("no"),
        RateLimited("the quota is used up", retryable=False),
        RateLimited("come back tomorrow", retry_after=3600),
        KeyError("bug"),
    ],
)
async def test_A23_what_would_not_change_is_raised_at_once(error):
    clock, client = Clock(), Scripted(error, "fine")
    with pytest.raises(type(error)):
        await execute_with_retry(client, REQUEST, sleep=clock.sleep)
    assert len(client.requests) == 1
    assert clock.waits == []


@pytest.mark.parametrize("error", [TimeoutError("late"), ConnectionResetError("reset")])
async def test_timeouts_and_lost_connections_are_retried(error):
    clock, client = Clock(), Scripted(error, "fine")
    assert await execute_with_retry(client, REQUEST, sleep=clock.sleep) == "fine"


async def test_a_longer_retry_after_is_waited_for():
    clock, client = Clock(), Scripted(RateLimited("slow down", retry_after=17), "fine")
    assert await execute_with_retry(client, REQUEST, sleep=clock.sleep) == "fine"
    assert clock.waits == [17]


async def test_a_retried_answer_has_no_trace_of_the_broken_one():
    client = Scripted(["Hel", Overloaded("busy")], "Hello")
    assert await execute_with_retry(client, REQUEST, sleep=Clock().sleep) == "Hello"


# --- fallback


async def test_A21_the_fallback_answers_alone(route):
    main, spare = Scripted(Overloaded("busy")), Scripted("from spare")
    assert await execute_with_fallback("writer", REQUEST, route(main, spare)) == "from spare"
    assert (len(main.requests), len(spare.requests)) == (1, 1)


async def test_A21_a_working_provider_is_not_doubled(route):
    main, spare = Scripted("from main"), Scripted("from spare")
    assert await execute_with_fallback("writer", REQUEST, route(main, spare)) == "from main"
    assert spare.requests == []


async def test_A21_without_a_fallback_the_original_error_is_raised(route):
    cause = OSError("the socket")
    original = Overloaded("busy")
    original.__cause__ = cause
    with pytest.raises(Overloaded) as raised:
        await execute_with_fallback("alone", REQUEST, route(Scripted(original), Scripted("x")))
    assert raised.value is original
    assert raised.value.__cause__ is cause


async def test_a_failed_fallback_names_the_first_failure_as_its_cause(route):
    main, spare = Scripted(Overloaded("first")), Scripted(Overloaded("second"))
    with pytest.raises(Overloaded, match="second") as raised:
        await execute_with_fallback("writer", REQUEST, route(main, spare))
    assert str(raised.value.__cause__) == "first"


async def test_A22_after_visible_text_there_is_no_fallback(route):
    main, spare = Scripted(["Hel", Overloaded("busy")]), Scripted("Hello")
    with pytest.raises(Overloaded) as raised:
        await execute_with_fallback("writer", REQUEST, route(main, spare))
    assert raised.value.partial_text == "Hel"
    assert spare.requests == []


async def test_a_bug_is_no_reason_to_fall_back(route):
    spare = Scripted("from spare")
    with pytest.raises(KeyError):
        await execute_with_fallback("writer", REQUEST, route(Scripted(KeyError("bug")), spare))
    assert spare.requests == []


async def test_an_unknown_persona_is_not_hidden_by_the_fallback(route):
    with pytest.raises(PersonaNotFoundError):
        await execute_with_fallback("nobody", REQUEST, route(Scripted("x"), Scripted("y")))


async def test_A17_a_request_with_tools_goes_to_who_has_them(route):
    main, spare = Scripted("main"), Scripted("spare")
    tools = ChatRequest([Message("user", "Hello")], tools=[ToolDefinition("t")])
    assert await execute_with_fallback("either", tools, route(main, spare)) == "spare"
    assert main.requests == []


async def test_A25_three_phases_carry_their_context(route):
    main, spare = Scripted("requirements", "review"), Scripted("architecture")
    router = route(main, spare)
    first = await execute_request(router.get_client("writer"), REQUEST)
    second = await execute_request(
        router.get_client("writer_openai"),
        ChatRequest(
            [
                Message("user", "Analyze"),
                Message("assistant", first),
                Message("user", "Design the architecture"),
            ]
        ),
    )
    await execute_request(
        router.get_client("writer"),
        ChatRequest([Message("user", "Review this"), Message("assistant", second)]),
    )
    (phase2,) = spare.requests
    assert [m.role for m in phase2.messages] == ["user", "assistant", "user"]
    assert phase2.messages[1].content == "requirements"
    assert [m.content for m in main.requests[1].messages] == ["Review this", "architecture"]
