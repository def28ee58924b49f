"""Streams with something wrong anywhere in them: an answer or a typed error, never anything else.

Each hostile stream is changed at random places: a value of another type, a key that is gone, an
event twice, out of order or with a wrong byte. The seeds are fixed, so that a failure is the same
tomorrow.
"""

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from contracts.messages import ChatChunk
from providers.exceptions import ExecutionPlatformError
from providers.http_errors import Origin
from providers.reading import Answer, read_stream
from tests.providers.adapters import ADAPTERS, Adapter
from tests.wire.hostile import STREAMS

pytestmark = pytest.mark.unit

ROUNDS = 150
JUNK: tuple[Any, ...] = (
    None, [], {}, 0, -1, 1.5, True, "", "x", "\ud83d", [None], [[]], {"type": "x"}, "error",
    1e308, 10**30, float("nan"), [{"text": 5}], {"x": None},
)  # fmt: skip


def other(value: Any, chance: random.Random) -> Any:
    """The JSON value with one thing in it that is not as it should be."""
    way = chance.random()
    if isinstance(value, dict) and value:
        key = chance.choice(list(value))
        changed = dict(value)
        if way < 0.1:
            del changed[key]
        else:
            changed[key] = chance.choice(JUNK) if way < 0.35 else other(value[key], chance)
        return changed
    if isinstance(value, list) and value:
        index = chance.randrange(len(value))
        new = chance.choice(JUNK) if way < 0.3 else other(value[index], chance)
        return [*value[:index], new, *value[index + 1 :]]
    return chance.choice(JUNK)


def changed_event(event: bytes, chance: random.Random) -> bytes:
    lines = event.split(b"\n")
    for number, line in enumerate(lines):
        try:
            value = json.loads(line.removeprefix(b"data:"))
        except ValueError:
            continue
        lines[number] = b"data: " + json.dumps(other(value, chance)).encode()
    return b"\n".join(lines)


def changed(events: tuple[bytes, ...], chance: random.Random) -> bytes:
    told = list(events)
    for _ in range(chance.choice((1, 1, 2, 3))):
        at, way = chance.randrange(len(told)), chance.random()
        if way < 0.7:
            told[at] = changed_event(told[at], chance)
        elif way < 0.8:
            told.insert(at, chance.choice(told))
        elif way < 0.9:
            told.append(told.pop(at))
        else:
            place = chance.randrange(len(told[at]) or 1)
            told[at] = told[at][:place] + chance.randbytes(1) + told[at][place + 1 :]
    return b"".join(told)


async def _pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(adapter: Adapter, data: bytes, size: int) -> list[ChatChunk]:
    origin = Origin(adapter.name, "m")

    async def answer() -> Answer:
        return Answer(_pieces(data, size), adapter.parse(origin), origin)

    return [chunk async for chunk in read_stream(answer)]


def assert_sound(chunks: list[ChatChunk]) -> None:
    """Everything has its type, and can be stored."""
    for chunk in chunks:
        for text in (chunk.delta_text, chunk.delta_reasoning, chunk.finish_reason, chunk.model):
            (text or "").encode()
        if chunk.tool_call is not None:
            (chunk.tool_call.id + chunk.tool_call.name + chunk.tool_call.raw_arguments).encode()
            orjson.dumps(chunk.tool_call.arguments)
    assert sum(1 for chunk in chunks if chunk.finish_reason) == 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("adapter", [pytest.param(a, id=a.api) for a in ADAPTERS])
async def test_nothing_but_answers_and_typed_errors(adapter: Adapter, seed: int) -> None:
    chance = random.Random(seed)
    pool = [stream.events for stream in STREAMS if stream.api == adapter.api]
    answers = 0
    for _ in range(ROUNDS):
        data = changed(chance.choice(pool), chance)
        try:
            assert_sound(await read(adapter, data, chance.choice((7, 64, 1 << 20))))
        except ExecutionPlatformError as error:
            str(error).encode()
        else:
            answers += 1
    assert 0 < answers < ROUNDS
