"""Conversations longer than one history."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from contracts.messages import Usage
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer, local_server
from tests.support.talks import talk

pytestmark = pytest.mark.integration


SOON = 60
"""Events of a history after which the server of these tests suggests a new one."""


@pytest.fixture(scope="module")
def hasty(server_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    setting = f"limit.historyCount.suggestContinueAsNew={SOON}"
    with local_server(server_binary, tmp_path_factory.mktemp("hasty"), setting) as running:
        yield running


@pytest.mark.slow
async def test_a_long_conversation_goes_on_in_new_histories(
    hasty: LocalServer, tmp_path: Path
) -> None:
    script = Script(default=Say("An answer.", usage=Usage(100, 50)))
    turns = 30
    async with talk(hasty.address, tmp_path, script) as one:
        runs = set()
        for n in range(turns):
            said = await one.chat.say(f"message {n}", request_id=f"r{n}")
            assert said.turn == n + 1
            await one.chat.wait(said.turn)
            runs.add((await one.chat.handle.describe()).run_id)
        view = await one.chat.view()
        again = await one.chat.say("message 3", request_id="r3")
        events = len((await one.chat.handle.fetch_history()).events)
        texts = await one.texts()
    assert len(runs) > 3
    assert events < 3 * SOON
    assert (again.turn, again.known) == (4, True)
    assert texts[::2] == [f"message {n}" for n in range(turns)]
    assert script.count() == turns
    assert view.cost == Decimal("0.006") * turns
    assert view.messages == turns


async def test_messages_that_come_while_it_moves_are_not_lost(
    hasty: LocalServer, tmp_path: Path
) -> None:
    script = Script()
    async with talk(hasty.address, tmp_path, script) as one:
        for burst in range(5):
            said = await asyncio.gather(*(one.chat.say(f"message {burst}.{n}") for n in range(8)))
            await one.chat.wait(max(s.turn for s in said))
        texts = await one.texts()
    assert sorted(texts[::2]) == [f"message {b}.{n}" for b in range(5) for n in range(8)]
    assert script.count() == 40
