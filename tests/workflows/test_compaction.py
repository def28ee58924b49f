"""Long conversations on a real server: summed up between two turns, paid, visible, never lost."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from client.chats import ChatError, TextPart
from contracts.agents import AgentBudget, AgentSpec
from contracts.chats import TurnResult
from contracts.teams import AgentStatus
from providers.exceptions import AuthenticationFailed
from rules import compaction
from stores.transcripts import Transcripts
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.talks import agent, talk

pytestmark = pytest.mark.integration

LONG = "a long answer " * 100


def brief(**more: object) -> AgentSpec:
    """Return an agent that keeps a thousand bytes of its conversation."""
    return agent(execution={"compact_over_bytes": 1_000, "max_retries": 0}, **more)


async def test_a_long_conversation_is_summed_up_before_the_next_turn(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"t1.1": [Say(LONG)], "t2-summary": [Say("It was long.")]})
    async with talk(server.address, tmp_path, script, brief()) as one:
        await one.ask("First?")
        second = await one.ask("Second?")
        third = await one.ask("Third?")
        view = await one.chat.view()
        assert view.transcript is not None
        original = await Transcripts(one.chat.store).read_original(view.transcript)
        shown = [message.content for message in script.requests[2][2].messages]
    assert [name for name, _, _ in script.requests] == ["t1.1", "t2-summary", "t2.1", "t3.1"]
    assert shown == [compaction.summary("tested", "It was long."), "Second?"]
    asked = script.requests[1][2]
    assert [m.content.strip() for m in asked.messages] == [
        "First?",
        LONG.strip(),
        compaction.REQUEST,
    ]
    # The summary is the turn's: on its bill, an attempt like any other, and no call of its limit.
    assert (second.attempts, second.calls, second.cost) == (2, 1, Decimal("0.012"))
    assert (third.attempts, view.messages) == (1, 2)
    assert original[0].content == "First?"
    assert len(original) == 6


async def test_nobody_is_shown_the_summary_as_an_answer(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"t1.1": [Say(LONG)], "t2-summary": [Say("Not for you.")]})
    async with talk(server.address, tmp_path, script, brief()) as one:
        await one.ask("First?")
        accepted = await one.chat.say("Second?")
        seen = [event async for event in one.chat.follow(accepted.turn)]
    text = "".join(event.added for event in seen if isinstance(event, TextPart))
    assert text == "An answer."


async def test_without_a_summary_the_turn_goes_on_with_all_of_it(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"t1.1": [Say(LONG)], "t2-summary": [AuthenticationFailed("no", status=401)]})
    async with talk(server.address, tmp_path, script, brief()) as one:
        await one.ask("First?")
        second = await one.ask("Second?")
    assert second.status is AgentStatus.COMPLETED
    assert script.requests[-1][2].messages[0].content == "First?"


async def test_a_turn_that_is_stopped_during_the_summary_is_over(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"t1.1": [Say(LONG)], "t2-summary": [Say("It was long.", seconds=30)]})
    async with talk(server.address, tmp_path, script, brief()) as one:
        await one.ask("First?")
        accepted = await one.chat.say("Second?")
        while script.count("t2-summary") == 0:
            await asyncio.sleep(0.02)
        await one.chat.stop()
        second: TurnResult = await asyncio.wait_for(one.chat.wait(accepted.turn), 30)
        assert second.status is AgentStatus.CANCELLED
        third = await one.ask("Third?")
    assert third.status is AgentStatus.COMPLETED
    assert (script.count("t2.1"), script.count("t3-summary")) == (0, 1)


async def test_a_summary_that_the_turn_cannot_pay_is_left_out(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"t1.1": [Say(LONG)]})
    budget = AgentBudget(session=Decimal(10), turn=Decimal("0.0601"))
    async with talk(server.address, tmp_path, script, brief(budget=budget)) as one:
        await one.ask("First?")
        second = await one.ask("Second?")
    assert (second.status, script.count("t2-summary")) == (AgentStatus.COMPLETED, 0)


async def test_who_asks_for_a_summary_gets_it_as_an_answer(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"t1.1": [Say(LONG)], "t2-summary": [Say("It was long.")]})
    async with talk(server.address, tmp_path, script) as one:
        with pytest.raises(ChatError, match="nothing to sum up"):
            await one.chat.compact()
        await one.ask("First?")
        accepted = await one.chat.compact(request_id="once")
        assert (await one.chat.compact(request_id="once")).turn == accepted.turn
        result = await asyncio.wait_for(one.chat.wait(accepted.turn), 30)
        assert await one.chat.output(result) == "It was long."
        with pytest.raises(ChatError, match="nothing to sum up"):
            await one.chat.compact()
        view = await one.chat.view()
        await one.ask("Third?")
        shown = [message.content for message in script.requests[-1][2].messages]
    assert (result.turn, result.status, result.calls) == (2, AgentStatus.COMPLETED, 1)
    assert (result.cost, result.attempts) == (Decimal("0.006"), 1)
    assert result.notes == ("the agent goes on from this summary of 2 messages",)
    assert (view.messages, view.turn, view.last_turn) == (0, None, 2)
    assert shown == [compaction.summary("tested", "It was long."), "Third?"]


async def test_a_summary_that_fails_or_is_stopped_leaves_the_conversation_as_it_was(
    server: LocalServer, tmp_path: Path
) -> None:
    refused = AuthenticationFailed("no", status=401)
    script = Script({"t2-summary": [refused], "t3-summary": [Say("Too late.", seconds=60)]})
    async with talk(server.address, tmp_path, script) as one:
        await one.ask("First?")
        before = (await one.chat.view()).transcript
        failed = await one.chat.wait((await one.chat.compact()).turn)
        accepted = await one.chat.compact()
        while script.count("t3-summary") == 0:
            await asyncio.sleep(0.02)
        await one.chat.stop(accepted.turn)
        stopped = await asyncio.wait_for(one.chat.wait(accepted.turn), 30)
        view = await one.chat.view()
    assert (failed.status, failed.kind) == (AgentStatus.FAILED, "AuthenticationFailed")
    assert stopped.status is AgentStatus.CANCELLED
    assert (view.transcript, view.messages) == (before, 1)


async def test_what_was_forgotten_is_not_summed_up(server: LocalServer, tmp_path: Path) -> None:
    script = Script({"t1.1": [Say("An answer.", seconds=1)]})
    async with talk(server.address, tmp_path, script) as one:
        await one.chat.say("First?")
        await one.chat.clear()
        result = await one.chat.wait((await one.chat.compact()).turn)
    assert (result.status, result.attempts) == (AgentStatus.COMPLETED, 0)
    assert result.notes == ("there was nothing to sum up",)
