"""OpenAI's own client, on a real socket: it cannot tell that the answers are durable."""

from pathlib import Path

import openai
import pytest
from pydantic import BaseModel

from contracts.messages import Usage
from contracts.tools import FunctionTool
from providers.exceptions import AuthenticationFailed, ContextTooLong, Overloaded
from serving.catalogue import of_persona
from tests.serving.stage import once, served_agent, stage
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


async def test_an_answer(server: LocalServer, tmp_path: Path) -> None:
    script = Script(default=Say("Good day.", usage=Usage(12, 3, cached_tokens=4)))
    async with stage(server.address, tmp_path, script) as on, on.openai() as client:
        answer = await client.chat.completions.create(
            model="tested",
            messages=[{"role": "system", "content": "Be short."}, *HELLO],
            temperature=0.5,
            max_completion_tokens=40,
            stop=["END"],
            seed=7,
            user="somebody",
        )
        await on.settled()
    assert answer.choices[0].message.content == "Good day."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "tested"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (12, 15)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    sent = script.requests[-1][2]
    assert (sent.system, sent.temperature, sent.seed) == ("Be kind.", 0.5, 7)
    assert (sent.max_tokens, sent.stop) == (40, ["END"])
    assert [(m.role, m.content) for m in sent.messages] == [
        ("system", "Be short."),
        ("user", "Hello"),
    ]


async def test_a_whole_conversation_is_brought_along(server: LocalServer, tmp_path: Path) -> None:
    async with stage(server.address, tmp_path) as on, on.openai() as client:
        talk = [
            *HELLO,
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": [{"type": "text", "text": "And "}, _text("now?")]},
        ]
        answer = await client.chat.completions.create(model="tested", messages=talk)
    assert answer.choices[0].message.content == "An answer."
    sent = on.script.requests[-1][2]
    assert [m.content for m in sent.messages] == ["Hello", "Hi.", "And now?"]


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


async def test_a_stream_is_what_was_answered(server: LocalServer, tmp_path: Path) -> None:
    text = "one two three four five"
    script = Script(default=Say(text, seconds=0.5))
    async with stage(server.address, tmp_path, script) as on, on.openai() as client:
        stream = await client.chat.completions.create(
            model="tested", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    parts = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(parts) == text
    assert len([part for part in parts if part]) >= 3
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 150
    assert len({chunk.id for chunk in chunks}) == 1


async def test_usage_is_told_only_where_it_is_asked_for(
    server: LocalServer, tmp_path: Path
) -> None:
    async with stage(server.address, tmp_path) as on, on.openai() as client:
        stream = await client.chat.completions.create(model="tested", messages=HELLO, stream=True)
        assert [chunk.usage async for chunk in stream if chunk.usage] == []


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools_of_the_request_are_the_callers_own(
    server: LocalServer, tmp_path: Path, streamed: bool
) -> None:
    calls = (("weather", {"city": "Paris"}), ("weather", {"city": "Rome"}))
    script = Script({"t1.1": [Say("Let me see.", calls=calls, finish="tool_calls"), Say("Sunny.")]})
    async with stage(server.address, tmp_path, script) as on, on.openai() as client:
        message, reason = await _asked(client, streamed)
        assert reason == "tool_calls"
        assert message["content"] == "Let me see."
        first, second = message["tool_calls"]
        assert first["function"] == {"name": "weather", "arguments": '{"city": "Paris"}'}
        assert first["id"] != second["id"]
        results = [
            {"role": "tool", "tool_call_id": one["id"], "content": "sun"}
            for one in message["tool_calls"]
        ]
        answer = await client.chat.completions.create(
            model="tested",
            messages=[*HELLO, message, *results],
            tools=[WEATHER],
            extra_headers=once(),
        )
        assert answer.choices[0].message.content == "Sunny."
    tools = script.requests[0][2].tools
    assert tools is not None
    assert tools[0].schema == WEATHER["function"]["parameters"]
    sent = script.requests[-1][2].messages
    assert [m.role for m in sent] == ["user", "assistant", "tool", "tool"]
    assert sent[1].tool_calls[0].arguments == {"city": "Paris"}
    assert sent[3].name == "weather"


async def _asked(client: openai.AsyncOpenAI, streamed: bool) -> tuple[dict, str]:  # type: ignore[type-arg]
    asked = {"model": "tested", "messages": HELLO, "tools": [WEATHER], "tool_choice": "auto"}
    if not streamed:
        answer = await client.chat.completions.create(**asked)  # type: ignore[call-overload]
        choice = answer.choices[0]
        return choice.message.model_dump(exclude_none=True), choice.finish_reason
    async with client.chat.completions.stream(**asked) as stream:  # type: ignore[arg-type]
        async for _ in stream:
            pass
        choice = (await stream.get_final_completion()).choices[0]
    message = choice.message.model_dump(exclude_none=True, exclude={"parsed"})
    for call in message["tool_calls"]:
        call["function"].pop("parsed_arguments", None)
        call.pop("index", None)
    return message, str(choice.finish_reason)


async def test_tool_choice_reaches_the_model(server: LocalServer, tmp_path: Path) -> None:
    calls = Say("", calls=(("weather", {}),), finish="tool_calls")
    script = Script({"t1.1": [calls, calls, Say("I cannot know.")]})
    async with stage(server.address, tmp_path, script) as on, on.openai() as client:
        for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
            answer = await client.chat.completions.create(
                model="tested", messages=HELLO, tools=[WEATHER], tool_choice=choice
            )
            assert answer.choices[0].message.content is None
        await client.chat.completions.create(
            model="tested", messages=HELLO, tools=[WEATHER], tool_choice="none"
        )
    assert [r.tool_choice for _, _, r in script.requests] == ["required", "weather", None]
    assert script.requests[-1][2].tools is None


class Person(BaseModel):
    """What is asked for."""

    name: str
    age: int


async def test_an_answer_in_a_form(server: LocalServer, tmp_path: Path) -> None:
    wrong, right = Say('{"name": "Ada"}'), Say('{"name": "Ada", "age": 36}')
    script = Script({"t1.1": [wrong, right]})
    async with stage(server.address, tmp_path, script) as on, on.openai() as client:
        answer = await client.chat.completions.parse(
            model="tested", messages=HELLO, response_format=Person
        )
        assert answer.choices[0].message.parsed == Person(name="Ada", age=36)
        asked = on.script.requests[-1][2]
        assert asked.response_schema is not None
        assert asked.response_schema["required"] == ["name", "age"]


async def test_a_streamed_form_never_shows_what_does_not_fit(
    server: LocalServer, tmp_path: Path
) -> None:
    wrong, right = Say('{"name": "Ada"}'), Say('{"name": "Ada", "age": 36}')
    script = Script({"t1.1": [wrong, right]})
    async with (
        stage(server.address, tmp_path, script) as on,
        on.openai() as client,
        client.chat.completions.stream(
            model="tested", messages=HELLO, response_format=Person
        ) as stream,
    ):
        seen = [event async for event in stream]
        final = await stream.get_final_completion()
    assert seen
    assert final.choices[0].message.content == '{"name": "Ada", "age": 36}'
    assert final.choices[0].message.parsed == Person(name="Ada", age=36)


async def test_the_agents_own_tools_are_called_here(server: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def weather(city: str) -> str:\n    return 'sun in ' + city\n"
    )
    tool = FunctionTool(
        name="weather", function="weather", file=str(tmp_path / "own.py"), folder=str(tmp_path)
    )
    asks = Say("I look.", calls=(("weather", {"city": "Rome"}),), finish="tool_calls")
    script = Script({"t1.1": [asks], "t1.2": [Say("There is sun.")]})
    one = served_agent(tools=(tool,))
    opened = stage(server.address, tmp_path, script, one, tools=True)
    async with opened as on, on.openai() as client:
        answer = await client.chat.completions.create(model="tested", messages=HELLO)
        stream = await client.chat.completions.create(model="tested", messages=HELLO, stream=True)
        parts = [c.choices[0].delta.content or "" async for c in stream if c.choices]
        with pytest.raises(openai.BadRequestError, match="has tools of its own"):
            await client.chat.completions.create(model="tested", messages=HELLO, tools=[WEATHER])
    assert answer.choices[0].message.content == "I look.\n\nThere is sun."
    assert "".join(parts) == "I look.\n\nThere is sun."
    assert script.requests[1][2].messages[-1].content == "sun in Rome"


# models


async def test_models_are_what_is_served(server: LocalServer, tmp_path: Path) -> None:
    agents = (served_agent("support", description="Helps."), of_persona("sales", 7, "Sells."))
    async with stage(server.address, tmp_path, None, *agents) as on, on.openai() as client:
        found = [model.id async for model in client.models.list()]
        assert found == ["support", "sales"]
        sales = await client.models.retrieve("sales")
        assert (sales.owned_by, sales.created) == ("callboard", 7)
        assert sales.callboard == {"kind": "persona", "description": "Sells."}
        with pytest.raises(openai.NotFoundError) as error:
            await client.models.retrieve("nobody")
    assert error.value.code == "model_not_found"


# errors


@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        (Overloaded("busy"), openai.InternalServerError, "overloaded"),
        (ContextTooLong("too long"), openai.BadRequestError, "context_length_exceeded"),
        (AuthenticationFailed("no"), openai.InternalServerError, "no_answer"),
    ],
)
async def test_C17_an_answer_that_cannot_be_had_is_an_error_of_its_kind(
    server: LocalServer,
    tmp_path: Path,
    failure: Exception,
    kind: type[openai.APIStatusError],
    code: str,
) -> None:
    opened = stage(server.address, tmp_path, Script(default=failure))
    async with opened as on, on.openai() as client:
        with pytest.raises(kind) as error:
            await client.chat.completions.create(model="tested", messages=HELLO)
        assert error.value.code == code
        assert error.value.response.headers["x-should-retry"] == "false"
        with pytest.raises(openai.APIError) as streamed:
            await _drained(client)
        assert streamed.value.code == code


async def _drained(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="tested", messages=HELLO, stream=True)
    async for _ in stream:
        pass


async def test_a_failure_under_a_key_stays_what_it_was(server: LocalServer, tmp_path: Path) -> None:
    script, key = Script(default=AuthenticationFailed("no")), once()
    async with stage(server.address, tmp_path, script) as on, on.openai() as client:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(
                    model="tested", messages=HELLO, extra_headers=key
                )
    assert script.count() == 1
