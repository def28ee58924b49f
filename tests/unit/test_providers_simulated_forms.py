"""The simulated provider: answers that fit a schema, and calls of tools that a prompt asks for."""

import json

import jsonschema
import pytest

from contracts.messages import Message
from tests.unit.simulating import READ, REPORT, SCHEMAS, WEATHER, answer, ask, fast

pytestmark = pytest.mark.unit

# --- JSON


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_structured_answers_fit_their_schema(schema):
    text = await answer(f"Judge this report.\n\n{REPORT}", response_schema=schema)
    jsonschema.validate(json.loads(text), schema)


async def test_structured_answers_come_from_the_text():
    schema = SCHEMAS[2]
    found = json.loads(await answer(f"Judge this report.\n\n{REPORT}", response_schema=schema))
    assert found["when"] == "09:14"
    assert found["minutes"] in (47, 30)


async def test_as_many_items_as_were_asked_for_and_as_the_list_has():
    schema = {"type": "array", "items": {"type": "string"}}
    prompt = f"Name four causes, issues or 4 findings.\n\n{REPORT}"
    assert len(json.loads(await answer(prompt, response_schema=schema))) == 4
    contract = "List the clauses.\n\n1. Delivery. Within 30 days.\n2. Payment. At once.\n3. Term."
    clauses = json.loads(await answer(contract, response_schema=schema))
    assert clauses == ["Delivery. Within 30 days.", "Payment. At once.", "Term."]


async def test_json_mode_answers_an_object_with_the_named_keys():
    text = await answer(f'Answer as JSON with "summary" and "score".\n\n{REPORT}', json_mode=True)
    found = json.loads(text)
    assert set(found) == {"summary", "score"}
    assert isinstance(found["score"], int)


async def test_a_repair_turn_gets_the_whole_answer_again():
    schema = SCHEMAS[1]
    first = ask(f"Find the causes.\n\n{REPORT}", response_schema=schema)
    again = [
        *first.messages,
        Message("assistant", '{"wrong": true}'),
        Message(
            "user", "Your answer does not fit what was asked for:\n- x\nAnswer again with JSON."
        ),
    ]
    text = await answer(again, response_schema=schema)
    assert text == (await fast().chat(first)).text


# --- tools


async def test_the_tool_that_the_prompt_asks_for_is_called_once():
    reply = await fast().chat(
        ask("What's the weather in Paris, in celsius?", tools=[READ, WEATHER])
    )
    (call,) = reply.tool_calls
    assert call.name == "get_weather"
    assert call.arguments == {"location": "Paris", "units": "celsius"}
    assert json.loads(call.raw_arguments) == call.arguments
    assert reply.finish_reason == "tool_calls"
    assert reply.usage is not None
    assert reply.usage.completion_tokens > 0


async def test_a_tools_result_is_answered_from():
    first = await fast().chat(ask("What's the weather in Paris?", tools=[WEATHER]))
    turns = [
        Message("user", "What's the weather in Paris?"),
        first.message,
        Message("tool", "It is 19 degrees and sunny.", name="get_weather", tool_call_id="call_1"),
    ]
    reply = await fast().chat(ask(turns, tools=[WEATHER]))
    assert reply.tool_calls == ()
    assert "19 degrees" in reply.text


async def test_tools_are_left_alone_unless_asked_for():
    assert (await fast().chat(ask("Tell me a joke", tools=[WEATHER]))).tool_calls == ()
    question = "What's the weather in Paris?"
    none = await fast().chat(ask(question, tools=[WEATHER], tool_choice="none"))
    assert none.tool_calls == ()
    nowhere = await fast().chat(ask("what is the weather like?", tools=[WEATHER]))
    assert nowhere.tool_calls == ()


@pytest.mark.parametrize("choice", ["required", "any", "get_weather"])
async def test_a_demanded_tool_is_called_whatever_the_prompt(choice):
    reply = await fast().chat(ask("Tell me a joke", tools=[WEATHER], tool_choice=choice))
    assert [call.name for call in reply.tool_calls] == ["get_weather"]
    assert reply.tool_calls[0].arguments["location"]


async def test_a_file_tool_gets_the_path():
    reply = await fast().chat(ask("Please read the file docs/plan.md", tools=[WEATHER, READ]))
    assert reply.tool_calls[0].arguments == {"path": "docs/plan.md"}
