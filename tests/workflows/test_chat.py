"""Conversations on a real server: one turn at a time, nothing lost, doubled or remembered wrongly.

Every workflow task is replayed from the history's beginning.
"""

import asyncio
import uuid
from decimal import Decimal
from pathlib import Path

import pytest

from client.chats import (
    Chat,
    ChatBusy,
    ChatError,
    ChatOver,
    Chats,
    MoneyWanted,
    TextPart,
    UnknownChat,
)
from contracts.agents import AgentBudget, ResponseFormat
from contracts.chats import MOST_WAITING, ChatStart, TurnResult
from contracts.teams import AgentStatus
from contracts.updates import BudgetRaise
from providers.exceptions import AuthenticationFailed, Overloaded, StreamInterrupted
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.talks import agent, begin, header, talk
from tests.support.teams import candidate

pytestmark = pytest.mark.integration

SLOW = Say("one two three four five six", held=1)
"""Says its first word, and the others when its script is told to go on, or never."""


async def test_C14_turns_build_on_each_other(server: LocalServer, tmp_path: Path) -> None:
    script = Script({"t1.1": [Say("Hi.")], "t2.1": [Say("Fine.")]})
    async with talk(server.address, tmp_path, script) as one:
        first, second = await one.ask("Hello"), await one.ask("How are you?")
        assert await one.texts() == ["Hello", "Hi.", "How are you?", "Fine."]
        view = await one.chat.view()
    assert [r.status for r in (first, second)] == [AgentStatus.COMPLETED] * 2
    assert (view.messages, view.last_turn, view.turn) == (2, 2, None)
    last = script.requests[-1][2]
    assert last.system == "Be kind."
    assert [m.content for m in last.messages] == ["Hello", "Hi.", "How are you?"]
    assert view.cost == first.cost + second.cost == Decimal("0.012")


async def test_the_history_holds_no_text(server: LocalServer, tmp_path: Path) -> None:
    secret, answer = "the question 4711 " * 60, "the answer 4712 " * 60
    async with talk(server.address, tmp_path, Script(default=Say(answer))) as one:
        sizes = []
        for _ in range(3):
            await one.ask(secret)
            events = (await one.chat.handle.fetch_history()).events
            whole = b"".join(event.SerializeToString() for event in events)
            sizes.append(len(whole))
    assert b"the question 4711" in whole, "not even a beginning: it is looked for in vain"
    assert secret.encode() not in whole
    assert answer.strip().encode() not in whole
    assert sizes[2] < 3 * sizes[0]


async def test_the_same_request_is_said_once(server: LocalServer, tmp_path: Path) -> None:
    script = Script()
    async with talk(server.address, tmp_path, script) as one:
        first = await one.chat.say("Hello", request_id="r1")
        again = await one.chat.say("Hello", request_id="r1")
        await one.chat.wait(1)
        late = await one.chat.say("Hello", request_id="r1")
        assert (await one.chat.view()).last_turn == 1
    assert (first.turn, first.known) == (1, False)
    assert (again.turn, late.turn) == (1, 1)
    assert script.count() == 1


async def test_saying_returns_before_the_answer_and_turns_go_one_by_one(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"t1.1": [SLOW]})
    async with talk(server.address, tmp_path, script) as one:
        said = [await one.chat.say(f"message {n}") for n in range(4)]
        view = await one.chat.view()
        assert view.turn == 1
        assert view.waiting == 3
        script.go.set()
        await one.chat.wait(said[-1].turn)
        texts = await one.texts()
    assert [s.turn for s in said] == [1, 2, 3, 4]
    assert script.most_in_flight == 1
    assert texts[::2] == [f"message {n}" for n in range(4)]


async def test_ten_messages_may_wait_and_no_eleventh(server: LocalServer, tmp_path: Path) -> None:
    script = Script({"t1.1": [Say("slow enough for any machine", seconds=120)]})
    async with talk(server.address, tmp_path, script) as one:
        await one.chat.say("first")
        while (await one.chat.view()).turn is None:
            await asyncio.sleep(0.02)
        for n in range(MOST_WAITING):
            await one.chat.say(f"message {n}")
        events = len((await one.chat.handle.fetch_history()).events)
        with pytest.raises(ChatBusy, match="10 messages wait"):
            await one.chat.say("one too many")
        history = (await one.chat.handle.fetch_history()).events
        accepted = "workflow_execution_update_accepted_event_attributes"
        assert not [e for e in history[events:] if e.HasField(accepted)]
        assert (await one.chat.view()).waiting == MOST_WAITING
        await one.chat.end()


@pytest.mark.parametrize("text", ["", "x" * 40_001])
async def test_what_cannot_be_said_is_refused_without_a_trace(
    server: LocalServer, tmp_path: Path, text: str
) -> None:
    async with talk(server.address, tmp_path, Script()) as one:
        await one.answer("first")
        before = len((await one.chat.handle.fetch_history()).events)
        with pytest.raises(ChatError, match=r"empty|at most"):
            await one.chat.say(text)
        after = (await one.chat.handle.fetch_history()).events
        assert not [
            e
            for e in after[before:]
            if e.HasField("workflow_execution_update_accepted_event_attributes")
        ]


async def test_a_failed_turn_leaves_no_trace_in_the_conversation(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"t2.1": [AuthenticationFailed("no such key")]})
    async with talk(server.address, tmp_path, script) as one:
        await one.ask("Hello")
        failed = await one.ask("And now?")
        assert (await one.chat.view()).messages == 1
        assert await one.texts() == ["Hello", "An answer."]
        await one.ask("Once more")
        assert await one.texts() == ["Hello", "An answer.", "Once more", "An answer."]
    assert failed.status is AgentStatus.FAILED
    assert failed.kind == "AuthenticationFailed"


async def test_retries_and_the_next_candidate_are_as_in_runs(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"t1.1": [Overloaded("busy"), AuthenticationFailed("no"), Say("at last")]})
    two = (candidate(), candidate("second"))
    async with harness(server.address, tmp_path, script, ("scripted", "second")) as h:
        one = await begin(h, await header(h, agent(), *two))
        result = await one.ask("Hello")
        attempts = (await one.chat.view()).attempts
    assert result.status is AgentStatus.COMPLETED
    assert result.provider == "second"
    assert [a.outcome for a in attempts] == ["Overloaded", "AuthenticationFailed", "completed"]


@pytest.mark.parametrize("how", ["restart", "continue"])
async def test_an_answer_that_is_cut_is_one_coherent_text(
    server: LocalServer, tmp_path: Path, how: str
) -> None:
    cut = StreamInterrupted("cut")
    rest = {"restart": "one two three four", "continue": " three four"}[how]
    script = Script({"t1.1": [Say("one two", fails=cut), Say(rest)]})
    async with talk(
        server.address, tmp_path, script, agent(execution={"on_interrupt": how})
    ) as one:
        said = await one.chat.say("Count")
        shown = ""
        async for event in one.chat.follow(said.turn):
            if isinstance(event, TextPart):
                shown = shown[: event.keep] + event.added
        assert await one.texts() == ["Count", "one two three four"]
    assert shown == "one two three four"


async def test_C15_clearing_is_in_order_with_what_is_said(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"t2.1": [SLOW]})
    async with talk(server.address, tmp_path, script) as one:
        await one.ask("first")
        await one.chat.say("second")
        await one.chat.clear()
        third = await one.chat.say("third")
        script.go.set()
        await one.chat.wait(third.turn)
        assert await one.texts() == ["third", "An answer."]
        assert (await one.chat.view()).messages == 1
        await one.chat.clear()
        assert await one.texts() == []
        await one.ask("fourth", clear=True)
        assert await one.texts() == ["fourth", "An answer."]
    second = next(r for unit, _, r in script.requests if unit == "t2.1")
    assert [m.content for m in second.messages] == ["first", "An answer.", "second"]


async def test_an_answer_can_be_stopped_and_the_chat_goes_on(
    server: LocalServer, tmp_path: Path
) -> None:
    async with talk(server.address, tmp_path, Script({"t1.1": [SLOW]})) as one:
        said = await one.chat.say("Tell me all")
        async for event in one.chat.follow(said.turn):
            if isinstance(event, TextPart) and event.added:
                break
        await one.chat.stop(said.turn)
        result = await one.chat.wait(said.turn)
        view = await one.chat.view()
        assert view.cost > 0
        assert view.reserved == 0
        await one.ask("Briefly")
        assert await one.texts() == ["Briefly", "An answer."]
    assert result.status is AgentStatus.CANCELLED
    assert result.partial_text.startswith("one")


TURN_S = 2.5
"""Too short for an answer that does not come, long enough for one on a busy machine."""


async def test_C29_a_turn_that_takes_too_long_is_ended(server: LocalServer, tmp_path: Path) -> None:
    spec = agent(execution={"turn_timeout": TURN_S})
    async with talk(server.address, tmp_path, Script({"t1.1": [SLOW]}), spec) as one:
        result = await one.ask("Hello")
        assert (await one.ask("Again")).status is AgentStatus.COMPLETED
    assert result.status is AgentStatus.FAILED
    assert result.kind == "TurnTimeout"
    assert f"{TURN_S} s" in (result.error or "")


async def test_C16_an_ended_conversation_is_never_opened_again(
    server: LocalServer, tmp_path: Path
) -> None:
    async with talk(server.address, tmp_path, Script()) as one:
        await one.ask("Hello")
        await one.chat.end("done")
        assert (await one.chat.end("again")).status == "unchanged"
        await one.chat.handle.result()
        made = await header(one.h, agent())
        with pytest.raises(ChatOver, match="has ended"):
            await one.chat.say("Are you there?")
        with pytest.raises(ChatOver, match="has ended"):
            await Chats(one.h.runs).open(one.chat.chat_id, made)
        with pytest.raises(ChatOver, match="has ended"):
            await Chats(one.h.runs).get(one.chat.chat_id).say("Hello?")
        with pytest.raises(UnknownChat):
            await Chats(one.h.runs).get("nobody").view()


async def test_opening_joins_the_one_that_goes_on(server: LocalServer, tmp_path: Path) -> None:
    async with talk(server.address, tmp_path, Script()) as one:
        await one.ask("Hello")
        other = await header(one.h, agent(instructions="Be rude."))
        again = await Chats(one.h.runs).open(one.chat.chat_id, other)
        said = await again.say("Still there?")
        await again.wait(said.turn)
        assert said.turn == 2
        assert len(await again.messages()) == 4
    assert one.h.script.requests[-1][2].system == "Be kind."


async def test_saying_starts_a_conversation_that_is_not_there(
    server: LocalServer, tmp_path: Path
) -> None:
    async with harness(server.address, tmp_path, Script()) as h:
        start = ChatStart(chat_id=f"chat-{uuid.uuid4()}", header=await header(h, agent()))
        chat = Chat(Chats(h.runs), start.chat_id, start)
        with pytest.raises(UnknownChat):
            await chat.view()
        said = await asyncio.gather(*(chat.say("Hello", request_id="r1") for _ in range(3)))
        await chat.wait(1)
        assert len(await chat.messages()) == 2
    assert {s.turn for s in said} == {1}


async def test_two_who_say_something_at_once_both_get_their_turn(
    server: LocalServer, tmp_path: Path
) -> None:
    async with talk(server.address, tmp_path, Script()) as one:
        other = Chats(one.h.runs).get(one.chat.chat_id)
        said = await asyncio.gather(one.chat.say("a"), other.say("b"), one.chat.say("c"))
        results = await asyncio.gather(*(one.chat.wait(s.turn) for s in said))
        texts = await one.texts()
    assert sorted(s.turn for s in said) == [1, 2, 3]
    assert all(isinstance(r, TurnResult) and r.output for r in results)
    assert sorted(texts[::2]) == ["a", "b", "c"]


async def test_no_cent_over_the_budget(server: LocalServer, tmp_path: Path) -> None:
    spec = agent(budget=AgentBudget(session=Decimal("0.016"), turn=Decimal("0.012")))
    async with talk(server.address, tmp_path, Script(), spec) as one:
        first, second, third = [await one.ask("Hello") for _ in range(3)]
        view = await one.chat.view()
        assert view.cost <= view.budget
        assert view.reserved == 0
        await one.chat.raise_budget(BudgetRaise(to=Decimal(1)))
        fourth = await one.ask("Hello")
    assert first.status is AgentStatus.COMPLETED
    refused = next(r for r in (second, third) if r.status is not AgentStatus.COMPLETED)
    assert refused.status is AgentStatus.BUDGET_EXCEEDED
    assert "budget.session" in (refused.error or "")
    assert fourth.status is AgentStatus.COMPLETED


async def test_a_turn_has_a_budget_of_its_own(server: LocalServer, tmp_path: Path) -> None:
    spec = agent(budget=AgentBudget(session=Decimal(1), turn=Decimal("0.0001")))
    async with talk(server.address, tmp_path, Script(), spec) as one:
        result = await one.ask("Hello")
    assert result.status is AgentStatus.BUDGET_EXCEEDED
    assert "budget.turn" in (result.error or "")


async def test_an_answer_that_must_be_json_is_mended(server: LocalServer, tmp_path: Path) -> None:
    form = ResponseFormat(schema_={"type": "object", "required": ["score"]})
    script = Script({"t1.1": [Say('{"points": 1}'), Say('{"score": 1}')]})
    async with talk(server.address, tmp_path, script, agent(response_format=form)) as one:
        result = await one.ask("Rate it")
        assert await one.chat.output(result) == {"score": 1}
        assert await one.texts() == ["Rate it", '{"score": 1}']


async def test_cancelled_it_settles_what_is_in_flight(server: LocalServer, tmp_path: Path) -> None:
    async with talk(server.address, tmp_path, Script({"t1.1": [SLOW]})) as one:
        said = await one.chat.say("Tell me all")
        async for event in one.chat.follow(said.turn):
            if isinstance(event, TextPart) and event.added:
                break
        await one.chat.handle.cancel()
        result = await one.chat.wait(said.turn)
        view = await one.chat.view()
    assert result.status is AgentStatus.CANCELLED
    assert view.phase == "terminated"
    assert view.reserved == 0
    assert view.cost > 0


async def test_who_follows_is_told_that_money_is_waited_for(
    server: LocalServer, tmp_path: Path
) -> None:
    budget = AgentBudget(session=Decimal("0.02"), turn=Decimal("0.02"), on_budget="pause")
    async with talk(server.address, tmp_path, Script(), agent(budget=budget)) as one:
        for text in ("Hello", "And", "Then"):
            accepted = await one.chat.say(text)
            wanted = []
            async for event in one.chat.follow(accepted.turn):
                if isinstance(event, MoneyWanted):
                    wanted.append(event)
                    await one.chat.raise_budget(BudgetRaise(to=Decimal(1)))
                if isinstance(event, TurnResult):
                    result = event
            if wanted:
                break
    assert len(wanted) == 1
    assert "budget.session 0.02" in wanted[0].why
    assert result.status is AgentStatus.COMPLETED
