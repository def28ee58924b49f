"""The simulated provider: words at a pace, usage that adds up, prefixes that are kept."""

import asyncio
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import ChatRequest, Message
from contracts.parts import FileInlinePart
from providers import tokens
from providers.simulated import SimulatedClient, pieces
from providers.spi import Generation, LLMClient, TokenCounting
from tests.support.cases import cases
from tests.unit.simulating import REPORT, SCHEMAS, WEATHER, ask, fast

pytestmark = pytest.mark.unit

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
