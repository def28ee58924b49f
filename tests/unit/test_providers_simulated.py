"""The simulated provider: answers made of the input, bounded, counted, paced and repeatable."""

import asyncio
import json
import time

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import ChatRequest, Message, ToolDefinition, ToolParameter
from contracts.parts import FileInlinePart
from providers import tokens
from providers.simulated import SimulatedClient, pieces
from providers.spi import Generation, LLMClient, TokenCounting
from tests.support.cases import cases

pytestmark = pytest.mark.unit

REPORT = """The outage began at 09:14 when the primary database ran out of disk space.
Orders placed in the web shop failed for 47 minutes. About 1,200 customers saw an error page.

The alert for disk space had been muted during maintenance in May. Nobody turned it on again.
The on-call engineer found the cause after 30 minutes, because the dashboards showed no error.

We will monitor free disk space on every database. Muted alerts will expire after one day.
The web shop will keep orders in a queue when the database is not reachable."""


def fast(**options) -> SimulatedClient:
    return SimulatedClient(tokens_per_second=0, **options)


def ask(prompt: str | list[Message], **fields) -> ChatRequest:
    messages = [Message("user", prompt)] if isinstance(prompt, str) else prompt
    return ChatRequest(messages, **fields)


async def answer(prompt: str | list[Message], **fields) -> str:
    return (await fast().chat(ask(prompt, **fields))).text


# --- answers


async def test_an_answer_is_extracted_from_the_source():
    text = await answer(f"Summarize this report.\n\n{REPORT}")
    flat = " ".join(REPORT.split())
    assert text.count(".") <= 5
    assert all(sentence.strip(". ") in flat for sentence in text.split(". "))
    assert "Summarize" not in text


async def test_the_question_steers_the_answer():
    of_alert = await answer(f"{REPORT}\n\nWhat happened to the alert?")
    of_orders = await answer(f"{REPORT}\n\nWhat happened to the orders? Answer in one sentence.")
    assert "alert for disk space had been muted" in of_alert
    assert "rders" in of_orders
    assert of_orders.count(".") == 1


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
async def test_so_many_points_as_were_asked_for(count):
    text = await answer(f"List {count} key points of this report:\n\n{REPORT}")
    assert [line.split(".")[0] for line in text.splitlines()] == [
        str(n) for n in range(1, count + 1)
    ]
    assert len(set(text.splitlines())) == count


async def test_bullets_numbers_in_words_and_short_sources():
    text = await answer("Give me three bullet points:\n\nThe cat sat; the dog ran, the bird flew.")
    lines = text.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("- ") for line in lines)


async def test_so_many_sentences_and_words():
    two = await answer(f"Summarize in two sentences.\n\n{REPORT}")
    assert two.count(".") == 2
    brief = await answer(f"Summarize in at most 12 words.\n\n{REPORT}")
    assert 0 < len(brief.split()) <= 12


async def test_a_request_without_a_text_is_restated_not_invented():
    text = await answer("Design a REST API for user management")
    assert "user management" in text
    three = await answer("Write three sentences about a board that shows who is called.")
    assert three.count(".") == 3
    assert "a board that shows who is called" in three
    assert await answer("?") != ""


async def test_an_order_before_a_colon_takes_all_that_follows():
    source = "Write the tests first. Then write the code.\n\nRead both again."
    text = await answer(f"Make this shorter, and return only the text:\n\n{source}")
    assert "Make this" not in text
    assert "Read both again." in text


async def test_headings_are_no_points():
    source = (
        "# Permissions\n1. You may run it.\n2. You may copy it.\n\n# Duties\n1. You must say so."
    )
    text = await answer(f"List three points:\n\n{source}")
    assert text == "1. You may run it.\n2. You may copy it.\n3. You must say so."


async def test_earlier_turns_and_tool_results_are_a_source():
    turns = [
        Message("user", REPORT),
        Message("assistant", "Noted."),
        Message("user", "How many customers saw an error page?"),
    ]
    assert "1,200 customers" in await answer(turns)


async def test_unicode_scripts():
    text = await answer(
        "Summarize in one sentence.\n\n今天天气很好。我们去公园散步。孩子们在公园玩球。"
    )
    assert text in {"今天天气很好。", "我们去公园散步。", "孩子们在公园玩球。"}
    emoji = await answer("Summarize:\n\nDie Größe stimmt 👩‍👩‍👧. Çok güzel bir gün.")
    assert "👩‍👩‍👧" in emoji


# --- judging


async def test_a_score_is_on_the_scale_and_better_texts_score_higher():
    prompt = "Score this memo from 0 to 10. Answer with the number only.\n\n"
    poor = int(await answer(prompt + "bad memo bad memo bad memo"))
    good = int(await answer(prompt + f"{REPORT}\n\n1. Watch disks.\n2. Expire muted alerts."))
    assert 0 <= poor < good <= 10
    assert good >= 8


async def test_risks_are_rated_by_what_hurts():
    schema = {"type": "object", "properties": {"level": {"type": "integer"}}, "required": ["level"]}
    question = "As the buyer's counsel, rate the risk of this clause from 1 to 5: "
    harsh = (
        "The seller excludes all liability for loss, damage or delay and the buyer waives claims."
    )
    mild = "The goods shall be packed in wooden boxes and shipped on Monday morning by train."
    levels = [
        json.loads(await answer(question + clause, response_schema=schema))["level"]
        for clause in (mild, harsh)
    ]
    assert levels[0] < levels[1]
    assert all(1 <= level <= 5 for level in levels)


async def test_choices_and_yes_or_no():
    assert (
        await answer("Answer with one of: go, stop.\n\nThe build is red: stop the line.") == "stop"
    )
    said = await answer(f"Is this report good? Answer yes or no.\n\n{REPORT}")
    assert said.startswith(("Yes.", "No."))


# --- JSON


SCHEMAS = [
    {"type": "object", "required": ["score"], "properties": {"score": {"type": "number"}}},
    {
        "type": "array",
        "minItems": 2,
        "items": {
            "type": "object",
            "required": ["title", "text"],
            "additionalProperties": False,
            "properties": {
                "title": {"type": "string", "maxLength": 30},
                "text": {"type": "string"},
            },
        },
    },
    {
        "type": "object",
        "required": ["severity", "again", "minutes", "when", "owner"],
        "properties": {
            "severity": {"enum": ["low", "medium", "high"]},
            "again": {"type": "boolean"},
            "minutes": {"type": "integer", "minimum": 1, "maximum": 600},
            "when": {"type": "string", "pattern": r"\d\d:\d\d"},
            "owner": {"type": ["string", "null"]},
        },
    },
    {
        "$defs": {"point": {"type": "object", "properties": {"rank": {"type": "integer"}}}},
        "type": "object",
        "properties": {
            "points": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/point"}},
            "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "step": {"type": "integer", "multipleOf": 5, "minimum": 7, "maximum": 40},
            "choice": {"anyOf": [{"type": "null"}, {"const": "fixed"}]},
            "both": {"allOf": [{"type": "string"}, {"maxLength": 12}]},
        },
        "required": ["points", "share", "step", "choice", "both"],
    },
]


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


# --- bounds


async def test_max_tokens_ends_the_answer_with_length():
    reply = await fast().chat(ask(f"Summarize.\n\n{REPORT}", max_tokens=7))
    assert reply.finish_reason == "length"
    assert reply.usage is not None
    assert 0 < reply.usage.completion_tokens <= 7
    whole = await answer(f"Summarize.\n\n{REPORT}")
    assert whole.startswith(reply.text)


async def test_A18_stop_sequences_end_the_answer_before_them():
    whole = await answer(f"Summarize.\n\n{REPORT}")
    stop = whole.split()[4]
    reply = await fast().chat(ask(f"Summarize.\n\n{REPORT}", stop=["not there", stop]))
    assert reply.text == whole[: whole.index(stop)]
    assert reply.finish_reason == "stop"


async def test_an_answer_that_was_begun_is_gone_on_from_exactly():
    prompt = Message("user", f"Summarize.\n\n{REPORT}")
    whole = await answer([prompt])
    for cut in (1, 20, len(whole) // 2, len(whole)):
        partial = whole[:cut].rstrip()
        rest = await answer([prompt, Message("assistant", partial)])
        assert partial + rest == whole
        asked = [
            prompt,
            Message("assistant", partial),
            Message("user", "Continue where you stopped."),
        ]
        assert partial + await answer(asked) == whole


async def test_a_foreign_beginning_is_completed_without_repeating_it():
    prompt = Message("user", f"Summarize.\n\n{REPORT}")
    whole = await answer([prompt])
    begun = "Here is my own start. " + whole.split(". ")[0] + "."
    rest = await answer([prompt, Message("assistant", begun)])
    assert rest.strip()
    assert whole.split(". ")[0] not in rest


# --- tools


WEATHER = ToolDefinition(
    "get_weather",
    "Current weather for a location",
    [
        ToolParameter("location", "string", required=True),
        ToolParameter("units", "string", enum=["celsius", "fahrenheit"]),
    ],
)
READ = ToolDefinition("read_file", "Read a file", [ToolParameter("path", "string", required=True)])


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


# --- streaming, pace, usage


async def test_words_stream_one_by_one_and_make_up_the_text():
    stream = fast().chat(ask(f"Summarize.\n\n{REPORT}"))
    deltas = [chunk.delta_text async for chunk in stream if chunk.delta_text]
    assert len(deltas) > 20
    assert "".join(deltas) == stream.text
    assert all(len(delta.split()) == 1 for delta in deltas)


async def test_the_same_request_gets_the_same_answer_and_another_seed_the_same_text():
    request = ask(f"Summarize.\n\n{REPORT}", metadata={"run": "r", "agent": "a", "attempt": "1"})
    one, two = [await fast(seed=1).chat(request) for _ in range(2)]
    assert one == two
    assert (await fast(seed=2).chat(request)).text == one.text


async def test_the_pace_is_kept():
    started = time.monotonic()
    client = SimulatedClient(tokens_per_second=200, first_token_s=0.05)
    reply = await client.chat(ask(f"Summarize.\n\n{REPORT}", max_tokens=30))
    took = time.monotonic() - started
    assert reply.usage is not None
    assert took > 0.05 + 0.6 * 20 / 200


async def test_no_pace_lets_others_run():
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await fast().chat(ask("Give 200 keywords:\n\n" + REPORT * 20))
    task.cancel()
    assert turns > 3


async def test_a_long_prompt_is_answered_at_once():
    sentences = (
        f"Item {n} of the plan costs {n * 3} dollars and is due in week {n}. " for n in range(2000)
    )
    prompt = "Summarize in 5 points:\n\n" + "".join(sentences)[:100_000]
    client = fast()
    await client.chat(ask("warm up\n\n" + REPORT))
    best = min([await _first_word(client, prompt) for _ in range(3)])
    assert best < 1


async def _first_word(client: LLMClient, prompt: str) -> float:
    request = ask(prompt)
    started = time.process_time()
    async with client.chat(request) as stream:
        await anext(stream)
        return time.process_time() - started


async def test_usage_is_what_count_tokens_says_and_never_more_than_the_bytes():
    image = FileInlinePart(data=b"x" * 3000, mime_type="image/png")
    request = ask(
        [Message("system", "Be brief."), Message("user", REPORT, parts=(image,))],
        system="Ünïcode 👩‍👩‍👧",
        tools=[WEATHER],
        response_schema=SCHEMAS[0],
    )
    client = fast()
    reply = await client.chat(request)
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == await client.count_tokens(request)
    assert reply.usage.prompt_tokens <= 3000 + 2000 + len(REPORT.encode())
    assert not reply.usage.estimated


def test_the_client_declares_its_capabilities():
    assert isinstance(fast(), TokenCounting)
    assert isinstance(fast(), Generation)


@given(st.text(max_size=300))
def test_tokens_are_at_most_bytes_and_add_up(text):
    count = tokens.count_tokens(text)
    assert count <= len(text.encode("utf-8", "surrogatepass"))
    parts = list(pieces(text))
    assert "".join(parts) == text
    assert sum(tokens.word_tokens(part) for part in parts) == count
    assert (count == 0) == (not text.strip())


@cases(60)
@given(st.text(max_size=400).filter(str.strip), st.sampled_from([None, *SCHEMAS[:2]]))
async def test_any_prompt_is_answered(text, schema):
    reply = await fast().chat(ask(text, response_schema=schema, max_tokens=500))
    assert reply.finish_reason in {"stop", "length"}
    if schema is not None and reply.finish_reason == "stop":
        json.loads(reply.text)


# --- a prefix that requests share


def shared(question: str, **fields) -> ChatRequest:
    return ask([Message("user", REPORT * 10), Message("user", question)], **fields)


async def test_a_prefix_is_written_once_and_read_by_the_others():
    client = fast()
    name = await client.create_cache(ask(REPORT * 10), 60)
    first = await client.chat(
        shared("You are a clerk.\n\nWhat happened to the alert?", cache_key=name)
    )
    second = await client.chat(shared("What happened to the orders?", cache_key=name))
    third = await client.chat(shared("What happened to the orders?"))
    size = tokens.count_tokens(REPORT * 10)
    assert (first.usage.cache_write_tokens, first.usage.cached_tokens) == (size, 0)
    assert (second.usage.cache_write_tokens, second.usage.cached_tokens) == (0, size)
    assert (third.usage.cache_write_tokens, third.usage.cached_tokens) == (0, 0)
    assert second.text == third.text
    assert "alert for disk space had been muted" in first.text
    assert "clerk" not in first.text
    await client.delete_cache(name)
    again = await client.chat(shared("What happened to the orders?", cache_key=name))
    assert again.usage.cache_write_tokens == size


async def test_a_small_prefix_is_not_cached():
    request = ask([Message("user", REPORT), Message("user", "Why?")], cache_key="small")
    for _ in range(2):
        usage = (await fast().chat(request)).usage
        assert (usage.cache_write_tokens, usage.cached_tokens) == (0, 0)
