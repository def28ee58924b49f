"""The events of a session: who follows, comes back or comes second sees the one text."""

import asyncio
from pathlib import Path

import pytest

from providers.exceptions import AuthenticationFailed, StreamInterrupted
from tests.serving.following import SSE, followed, names, text_of, weather
from tests.serving.stage import Event, events, served_agent, stage
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration


async def test_A30_tool_call_tool_result_usage_done(server: LocalServer, tmp_path: Path) -> None:
    asks = Say("I look.", calls=(("weather", {"city": "Rome"}),), finish="tool_calls")
    script = Script({"t1.1": [asks], "t1.2": [Say("There is sun.")]})
    one = served_agent(tools=(weather(tmp_path),))
    async with stage(server.address, tmp_path, script, one, tools=True) as on:
        path = await on.begin()
        told = await followed(on, f"{path}/messages", "POST", json={"content": "Rome?"})
    order = [name for name in names(told) if name not in ("text", "superseded")]
    assert order == ["tool_call", "tool_result", "usage", "done"]
    call, result = (next(e for e in told if e.name == n).data for n in ("tool_call", "tool_result"))
    assert (call["name"], call["arguments"]) == ("weather", {"city": "Rome"})
    assert (result["call_id"], result["status"]) == (call["call_id"], "completed")
    assert result["result"] == "sun in Rome"
    assert told[-2].data["total_tokens"] == 300
    assert told[-1].data["text"] == "I look.\n\nThere is sun."
    assert text_of(told) == "There is sun."


async def test_who_comes_back_at_any_event_misses_and_doubles_nothing(
    server: LocalServer, tmp_path: Path
) -> None:
    broken = Say("one two three", seconds=0.3, fails=StreamInterrupted("cut"))
    whole = Say("one two other four five six", seconds=0.6)
    script = Script({"t1.1": [broken, whole]})
    async with stage(server.address, tmp_path, script) as on:
        path = await on.begin()
        told = await followed(on, f"{path}/messages", "POST", json={"content": "Hello"})
        assert text_of(told) == "one two other four five six"
        assert sum(one.name == "text" for one in told) >= 4
        for number, one in enumerate(told[:-2], 1):
            rest = await followed(on, f"{path}/messages", last=one.id)
            assert text_of([*told[:number], *rest]) == "one two other four five six"
            assert [e.id for e in rest if e.id] == [e.id for e in told[number:] if e.id]
        over = await on.http.get(f"{path}/messages", headers={**SSE, "Last-Event-ID": told[-1].id})
        assert over.status_code == 204


async def test_a_second_viewer_sees_the_one_text(server: LocalServer, tmp_path: Path) -> None:
    script = Script(default=Say("one two three four five six", seconds=1.0))
    async with stage(server.address, tmp_path, script) as on:
        path = await on.begin()
        first = asyncio.create_task(
            followed(on, f"{path}/messages", "POST", json={"content": "Hello"})
        )
        await asyncio.sleep(0.5)
        second = await followed(on, f"{path}/messages?turn=1")
        told = await first
    assert text_of(told) == text_of(second) == "one two three four five six"
    assert told[-1].data == second[-1].data
    assert script.count() == 1


async def test_who_hangs_up_in_mid_answer_comes_back_for_the_rest(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script(default=Say("one two three four five six", seconds=1.0))
    seen: list[Event] = []
    async with stage(server.address, tmp_path, script) as on:
        path = await on.begin()
        asked = {"json": {"content": "Hello", "stream": True}}
        async with on.http.stream("POST", f"{path}/messages", **asked) as answer:
            async for one in events(answer):
                seen.append(one)
                if len(seen) == 3:
                    break
        rest = await followed(on, f"{path}/messages", last=seen[-1].id)
        await on.settled()
        assert (await on.http.get(path)).json()["cost_usd"] == "0.006"
    assert text_of([*seen, *rest]) == "one two three four five six"
    assert rest[-1].name == "done"


async def test_a_message_under_a_key_is_said_once(server: LocalServer, tmp_path: Path) -> None:
    key = {"Idempotency-Key": "m1"}
    async with stage(server.address, tmp_path) as on:
        path = await on.begin()
        asked = [
            on.http.post(f"{path}/messages", json={"content": "Hello"}, headers=key)
            for _ in range(3)
        ]
        answers = await asyncio.gather(*asked)
    assert {answer.json()["turn"] for answer in answers} == {1}
    assert on.script.count() == 1


async def test_an_answer_that_fails_ends_with_an_error_and_the_talk_goes_on(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"t1.1": [AuthenticationFailed("no")]})
    async with stage(server.address, tmp_path, script) as on:
        path = await on.begin()
        told = await followed(on, f"{path}/messages", "POST", json={"content": "Hello"})
        after = await on.http.post(f"{path}/messages", json={"content": "Again"})
    assert told[-1].name == "error"
    assert told[-1].data["code"] == "no_answer"
    assert "done" not in names(told)
    assert after.json()["text"] == "An answer."
