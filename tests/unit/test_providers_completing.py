"""A client that only completes, asked as any other: seed 004's signature and shorter ones."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.messages import ChatChunk, ChatRequest, Message, ToolDefinition, ToolParameter
from providers.exceptions import InvalidRequest, ProviderError
from providers.spi import LLMClient, LLMResponse, Timeouts

pytestmark = pytest.mark.unit

LOOK = ToolDefinition("look", "Looks.", [ToolParameter("what", "string", required=True)])


class Completes(LLMClient):
    """As the seed writes it."""

    def __init__(self, response: LLMResponse | None = None) -> None:
        self.response = response or LLMResponse("fine", "m", 1, 2)
        self.asked: dict[str, Any] = {}

    async def complete(
        self,
        prompt: str,
        model: str = "my-default",  # type: ignore[override]
        temperature: float = 0.7,  # type: ignore[override]
        max_tokens: int = 1000,  # type: ignore[override]
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        self.asked = {"prompt": prompt, "model": model, "temperature": temperature}
        self.asked |= {"max_tokens": max_tokens, "tools": tools, **kwargs}
        return self.response


class Turns(Completes):
    """Has both ways."""

    async def complete_with_tools(self, messages: Any, model: Any, tools: Any) -> LLMResponse:  # type: ignore[override]
        self.asked = {"messages": messages, "model": model, "tools": tools}
        return self.response


def request(*texts: str, **more: Any) -> ChatRequest:
    return ChatRequest(messages=[Message("user", text) for text in texts or ["hello"]], **more)


async def test_what_the_request_does_not_say_is_left_to_the_client() -> None:
    client = Completes()
    reply = await client.chat(request())
    assert (reply.text, reply.usage.total_tokens if reply.usage else 0) == ("fine", 3)
    assert client.asked == {
        "prompt": "hello", "model": "my-default", "temperature": 0.7, "max_tokens": 1000,
        "tools": None,
    }  # fmt: skip


async def test_what_it_says_is_passed_on() -> None:
    client = Completes()
    await client.chat(request(model="m", temperature=0.0, max_tokens=7, tools=[LOOK]))
    assert (client.asked["model"], client.asked["temperature"]) == ("m", 0.0)
    assert client.asked["max_tokens"] == 7
    assert client.asked["tools"] == [
        {
            "name": "look",
            "description": "Looks.",
            "parameters": {
                "type": "object",
                "properties": {"what": {"type": "string"}},
                "required": ["what"],
            },
        }
    ]


async def test_a_parameter_without_a_default_is_given_none() -> None:
    class Strict(Completes):
        async def complete(self, prompt: str, model: str | None, temperature: float | None) -> Any:  # type: ignore[override]
            self.asked = {"model": model, "temperature": temperature}
            return self.response

    client = Strict()
    await client.chat(request())
    assert client.asked == {"model": None, "temperature": None}


async def test_several_turns_become_one_prompt_where_there_is_no_other_way() -> None:
    client = Completes()
    await client.chat(request("one", "two", system="be brief"))
    assert client.asked["prompt"] == "system: be brief\n\nuser: one\n\nuser: two"


async def test_tools_and_turns_go_where_they_are_understood() -> None:
    client = Turns()
    await client.chat(request())
    assert client.asked["prompt"] == "hello"
    await client.chat(request(tools=[LOOK]))
    assert [m.content for m in client.asked["messages"]] == ["hello"]
    assert client.asked["tools"][0]["name"] == "look"
    await client.chat(request(system="be brief"))
    assert [m.role for m in client.asked["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    "call",
    [
        {"id": "1", "name": "look", "arguments": {"what": "it"}},
        {"id": "1", "function": {"name": "look", "arguments": '{"what": "it"}'}},
    ],
)
async def test_tool_calls_are_read_in_both_spellings(call: dict[str, Any]) -> None:
    reply = await Completes(LLMResponse("", "m", 1, 2, "tool_calls", [call])).chat(request())
    assert [(c.id, c.name, c.arguments) for c in reply.tool_calls] == [
        ("1", "look", {"what": "it"})
    ]


async def test_arguments_that_are_no_json_are_told() -> None:
    call = {"name": "look", "arguments": "{what"}
    reply = await Completes(LLMResponse("", "m", 1, 2, "tool_calls", [call])).chat(request())
    assert reply.tool_calls[0].id == "call_0"
    assert "no valid JSON" in (reply.tool_calls[0].arguments_error or "")


class Promises(LLMClient):
    """As the seed's signature can be read: a coroutine that gives an iterator."""

    closed = False

    async def chat(self, req: ChatRequest) -> Any:  # type: ignore[override]
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[ChatChunk]:
        try:
            yield ChatChunk(delta_text="fi")
            yield ChatChunk(delta_text="ne", finish_reason="stop")
        finally:
            self.closed = True


async def test_a_chat_that_gives_an_iterator_when_awaited() -> None:
    client = Promises()
    assert (await client.complete("hello")).content == "fine"
    left = Promises()
    stream = left.open(request(), Timeouts.of(5))
    async for _ in stream:
        break
    await stream.aclose()
    assert left.closed


class Answers(LLMClient):
    """Answers with whatever it is given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def complete(self, prompt: str, **_: Any) -> Any:  # type: ignore[override]
        return self.answer


class Synchronous(LLMClient):
    def complete(self, prompt: str, **_: Any) -> Any:  # type: ignore[override]
        return LLMResponse("fine", "m", 1, 2)


class Chats(LLMClient):
    """Has a `chat` that gives whatever it is given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def chat(self, req: ChatRequest, timeout: float | None = None) -> Any:
        return self.answer


async def strings() -> AsyncIterator[Any]:
    yield "fine"


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (Answers(None), "must answer with an LLMResponse, not with NoneType"),
        (Answers("fine"), "must answer with an LLMResponse, not with str"),
        (Answers({"content": "fine"}), "must answer with an LLMResponse, not with dict"),
        (Answers(LLMResponse("", "m", 1, 2, tool_calls=[{}])), "LLMResponse .KeyError."),
        (Synchronous(), "Synchronous must .* coroutine functions"),
        (Chats(iter([])), "an asynchronous iterator of chunks, not list_iterator"),
        (Chats(strings()), "must yield ChatChunks, not str"),
    ],
)
async def test_an_answer_of_another_kind_was_paid_for_and_is_not_asked_for_again(
    client: LLMClient, said: str
) -> None:
    with pytest.raises(ProviderError, match=said) as caught:
        await client.open(request(), Timeouts(9, 9, 9)).collect()
    assert (caught.value.retryable, caught.value.sent) == (False, True)
    assert not caught.value.usage_final


async def test_a_wish_that_a_client_has_no_parameter_for_is_named_and_nothing_is_sent() -> None:
    class Short(Completes):
        async def complete(self, prompt: str) -> Any:  # type: ignore[override]
            return self.response

    assert (await Short().chat(request())).text == "fine"
    with pytest.raises(
        InvalidRequest, match=r"complete\(\) has no parameter model, max_tokens"
    ) as e:
        await Short().chat(request(model="m", max_tokens=7))
    assert not e.value.sent
