"""Files in a conversation: kept by reference, shown with every later call, reserved for, bounded.

Every workflow task is replayed from the history's beginning.
"""

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from client.chats import ChatError, Chats
from contracts.agents import AgentBudget
from contracts.enclosures import FileLoad, FileRates
from contracts.files import INLINE_BYTES
from contracts.parts import FileInlinePart, TextPart
from contracts.teams import AgentStatus
from stores.transcripts import Transcripts
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer, local_server
from tests.support.talks import agent, begin, header, talk
from tests.support.teams import candidate

pytestmark = pytest.mark.integration

CAT = FileInlinePart(
    data=b"\x89PNG\r\n\x1a\n" + os.urandom(50_000), mime_type="image/png", name="cat.png"
)
NOTES = FileInlinePart(data="Käse: 4 €".encode(), mime_type="text/markdown", name="notes.md")
REPORT = FileInlinePart(
    data=b"%PDF-1.4 /Type /Pages /Count 3 /Type /Page /Type /Page /Type /Page",
    mime_type="application/pdf",
    name="report.pdf",
)


async def test_files_are_shown_with_their_message_and_with_all_that_follow(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script()
    async with talk(server.address, tmp_path, script) as one:
        await one.ask("What is this?", parts=[CAT, NOTES, TextPart(text="and")])
        waits = (await one.chat.view()).files
        result = await one.ask("Are you sure?")
        view = await one.chat.view()
        history = (await one.chat.handle.fetch_history()).to_json()
        assert result.transcript is not None
        kept = await Transcripts(one.h.store).read(result.transcript)
    first, second = (request.messages for _, _, request in script.requests)
    seen = (CAT, TextPart(text="notes.md:\nKäse: 4 €"), TextPart(text="and"))
    assert first[0].parts == second[0].parts == seen
    assert (first[0].content, second[-1].parts) == ("What is this?", ())
    assert [getattr(p, "uri", "")[:9] for p in kept[0].parts] == ["artifact:", "artifact:", ""]
    assert (waits.images, waits.kinds) == (1, ("image",))
    assert view.files == waits
    assert len(history) < 40_000, "no file is a part of a history"


async def test_what_files_may_take_is_held_by_who_answers(
    server: LocalServer, tmp_path: Path
) -> None:
    dear = candidate(model="gpt-4o-mini")
    async with harness(server.address, tmp_path, Script()) as h:
        made = await header(h, agent(budget=AgentBudget(session=Decimal(50), turn=Decimal(5))))
        one = await begin(h, made)
        await one.ask("Look.", parts=[CAT, REPORT])
        plain = await one.ask("And now?")
        (first, second) = (await one.chat.view()).attempts
        changed = await header(
            h, agent(budget=AgentBudget(session=Decimal(50), turn=Decimal(5))), dear
        )
        await one.chat.use_agent(changed)
        await one.ask("You too?")
        third = (await one.chat.view()).attempts[-1]
    assert made.file_rates == FileRates(image=12_000, page=8_000, whole=2_000_000)
    pieces = 12_000 + 3 * 8_000
    assert pieces < first.input_bound < pieces + 5_000
    assert pieces < second.input_bound < pieces + 5_000
    assert third.input_bound > 50_000 + 3 * 8_000, "another model counts the same files anew"
    assert plain.status is AgentStatus.COMPLETED


async def test_a_file_may_be_all_that_is_said_and_is_forgotten_with_the_rest(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script()
    async with talk(server.address, tmp_path, script) as one:
        assert (await one.ask("", parts=[CAT])).status is AgentStatus.COMPLETED
        await one.ask("Anew.", clear=True)
        assert (await one.chat.view()).files == FileLoad()
        with pytest.raises(ChatError, match="empty"):
            await one.chat.say("")
    assert script.requests[0][2].messages[0].parts == (CAT,)
    assert [m.parts for m in script.requests[1][2].messages] == [()]


async def test_more_than_a_request_holds_is_refused_before_anything_is_paid(
    server: LocalServer, tmp_path: Path
) -> None:
    half = FileInlinePart(data=bytes(INLINE_BYTES // 2 + 1), mime_type="image/png", name="half.png")
    script = Script()
    async with talk(server.address, tmp_path, script) as one:
        with pytest.raises(ChatError, match=r"files have 20,000,002 bytes together"):
            await one.chat.say("Both.", parts=[half, half])
        await one.ask("One.", parts=[half])
        with pytest.raises(ChatError, match=r"of the conversation have 20,000,002 bytes"):
            await one.chat.say("And the other.", parts=[half])
        assert (await one.ask("Anew.", clear=True, parts=[half])).status is AgentStatus.COMPLETED
    assert script.count() == 2


async def test_a_summary_stands_for_the_files_too(server: LocalServer, tmp_path: Path) -> None:
    script = Script(default=Say("A cat."))
    async with talk(server.address, tmp_path, script) as one:
        await one.ask("Look.", parts=[CAT])
        said = await one.chat.compact()
        await one.chat.wait(said.turn)
        assert (await one.chat.view()).files == FileLoad()
        await one.ask("What was it?")
    assert script.requests[1][2].messages[0].parts == (CAT,), "the summary is of what was shown"
    assert all(not m.parts for m in script.requests[2][2].messages)


@pytest.fixture(scope="module")
def hasty(server_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server that suggests a new history early."""
    setting = "limit.historyCount.suggestContinueAsNew=10"
    with local_server(server_binary, tmp_path_factory.mktemp("hasty"), setting) as running:
        yield running


async def test_files_go_on_into_a_new_history(hasty: LocalServer, tmp_path: Path) -> None:
    script = Script()
    async with talk(hasty.address, tmp_path, script) as one:
        runs = set()
        for text in ("Look.", "Again.", "And again."):
            await one.ask(text, parts=[CAT] if text == "Look." else [])
            runs.add((await one.chat.handle.describe()).run_id)
        view = await one.chat.view()
    assert len(runs) > 1
    assert view.files.images == 1
    assert script.requests[-1][2].messages[0].parts == (CAT,)
    assert view.attempts[-1].input_bound > 12_000


async def test_the_same_message_twice_is_one(server: LocalServer, tmp_path: Path) -> None:
    script = Script()
    async with talk(server.address, tmp_path, script) as one:
        await one.ask("Look.", parts=[CAT], request_id="one")
        again = await one.chat.say("Look.", parts=[CAT], request_id="one")
        chat = Chats(one.h.runs).get(one.chat.chat_id)
        assert (await chat.view()).files.images == 1
    assert (again.turn, script.count()) == (1, 1)
