"""Sessions over HTTP: durable, followed by events that can be gone on with, one turn at a time."""

import asyncio
import time
import uuid
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest

from contracts.agents import AgentBudget
from tests.serving.following import followed, weather
from tests.serving.stage import Stage, events, served_agent, serving, stage
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration


async def test_a_session_from_its_beginning_to_its_end(server: LocalServer, tmp_path: Path) -> None:
    async with stage(server.address, tmp_path) as on:
        begun = await on.http.post("/sessions", json={"agent": "tested", "max_messages": 5})
        assert begun.status_code == 201
        path = begun.headers["location"]
        assert (begun.json()["state"], begun.json()["max_messages"]) == ("active", 5)
        for text in ("Hello", "And now?"):
            said = await on.http.post(f"{path}/messages", json={"content": text})
            assert said.json()["text"] == "An answer.", said.text
            assert said.json()["usage"]["total_tokens"] == 150
            assert said.json()["cost_usd"] == "0.006"
        assert said.json()["turn"] == 2
        told = (await on.http.get(f"{path}/messages")).json()["data"]
        assert [one["content"] for one in told] == ["Hello", "An answer.", "And now?", "An answer."]
        stands = (await on.http.get(path)).json()
        assert (stands["messages"], stands["last_turn"], stands["cost_usd"]) == (2, 2, "0.012")
        ended = await on.http.delete(path)
        assert ended.json()["state"] == "terminated"
        assert (await on.http.delete(path)).status_code == 200
        listed = (await on.http.get("/sessions")).json()["data"]
        assert path.removeprefix("/sessions/") in [one["id"] for one in listed]


async def test_an_ended_session_takes_no_message(server: LocalServer, tmp_path: Path) -> None:
    async with stage(server.address, tmp_path) as on:
        path = await on.begin()
        await on.http.delete(path)
        answers = [
            await on.http.post(f"{path}/messages", json={"content": "Hello"}),
            await on.http.get(path),
            await on.http.post("/sessions", json={"agent": "tested", "id": path.split("/")[-1]}),
        ]
    assert [answer.status_code for answer in answers] == [410, 410, 410]
    assert {answer.json()["error"]["code"] for answer in answers} == {"session_ended"}
    assert on.script.count() == 0


async def test_C30_an_unknown_session_is_404(server: LocalServer, tmp_path: Path) -> None:
    async with stage(server.address, tmp_path) as on:
        for method, path in (
            ("GET", "/sessions/nobody"),
            ("DELETE", "/sessions/nobody"),
            ("GET", "/sessions/nobody/messages"),
        ):
            answer = await on.http.request(method, path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                404,
                "session_not_found",
            )
        said = await on.http.post("/sessions/nobody/messages", json={"content": "x"})
        assert said.status_code == 404


async def test_C30_a_silent_session_expires(server: LocalServer, tmp_path: Path) -> None:
    now = [0.0]

    def clock() -> float:
        return time.time() + now[0]

    async with stage(server.address, tmp_path, None, clock=clock) as on:
        path = await on.begin()
        now[0] = 1700.0
        assert (await on.http.post(f"{path}/messages", json={"content": "x"})).status_code == 200
        now[0] += 1740.0  # half an hour, but for what a busy machine may take
        assert (await on.http.get(path)).status_code == 200
        now[0] += 1801.0
        gone = await on.http.get(path)
        again = await on.http.post(f"{path}/messages", json={"content": "x"})
    for answer in (gone, again):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "session_expired")


async def test_C30_expired_sessions_are_ended_though_nobody_asks(
    server: LocalServer, tmp_path: Path
) -> None:
    async with stage(server.address, tmp_path, None, ttl_s=3.0) as on:
        path = await on.begin()
        chat = on.gateway.chats.get(f"serve-local-{path.split('/')[-1]}")
        result = await asyncio.wait_for(chat.handle.result(), 60)
    assert result.reason == "expired"


async def test_C30_there_are_so_many_sessions_at_most(server: LocalServer, tmp_path: Path) -> None:
    async with stage(server.address, tmp_path, None, most=2) as on:
        # Those of other tests on this server do not count; the keeper has asked for them, too.
        await on.sessions._lines("serve-", 4, only_open=True)
        await asyncio.sleep(0.2)
        on.sessions._touched.clear()
        first = await on.begin()
        await on.begin()
        refused = await on.http.post("/sessions", json={"agent": "tested"})
        await on.http.delete(first)
        after = await on.http.post("/sessions", json={"agent": "tested"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_sessions")
    assert after.status_code == 201


async def test_C24_an_id_is_one_session_with_one_agent(server: LocalServer, tmp_path: Path) -> None:
    agents = (served_agent("one"), served_agent("two"))
    wanted = {"agent": "one", "id": f"s-{uuid.uuid4()}"}
    async with stage(server.address, tmp_path, None, *agents) as on:
        codes = [(await on.http.post("/sessions", json=wanted)).status_code for _ in range(2)]
        other = await on.http.post("/sessions", json={**wanted, "agent": "two"})
        bad = await on.http.post("/sessions", json={"agent": "one", "id": "../x"})
    assert codes == [201, 200]
    assert (other.status_code, other.json()["error"]["code"]) == (409, "session_exists")
    assert bad.status_code == 400


async def test_a_session_goes_on_with_the_agent_as_it_is_served_now(
    server: LocalServer, tmp_path: Path
) -> None:
    """What a turn may cost is what is held for it: the file's word of today, not of back then."""
    dear = served_agent(budget=AgentBudget(session=Decimal(10), turn=Decimal(5)))
    cheap = served_agent(budget=AgentBudget(session=Decimal(10), turn=Decimal("0.0001")))
    async with harness(server.address, tmp_path, Script(), cached_workflows=20) as h:
        async with serving(h, [dear]) as on:
            path = await on.begin()
            said = await on.http.post(f"{path}/messages", json={"content": "Hello"})
        async with serving(h, [cheap]) as on:
            refused = await on.http.post(f"{path}/messages", json={"content": "Hello"})
            await on.settled()
    assert said.status_code == 200
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
    assert h.script.count() == 1


# a person's word, stopping, waiting


async def test_a_tool_call_waits_for_a_word(server: LocalServer, tmp_path: Path) -> None:
    asks = Say("", calls=(("weather", {"city": "Rome"}),), finish="tool_calls")
    script = Script(
        {"t1.1": [asks], "t2.1": [asks], "t1.2": [Say("Sun.")], "t2.2": [Say("I may not look.")]}
    )
    one = served_agent(tools=(weather(tmp_path, approval="always"),))
    async with stage(server.address, tmp_path, script, one, tools=True) as on:
        path = await on.begin()
        said = await on.http.post(f"{path}/messages", json={"content": "Rome?"})
        assert said.status_code == 202
        (pending,) = said.json()["pending"]
        assert (pending["name"], pending["arguments"]) == ("weather", {"city": "Rome"})
        unknown = await on.http.post(f"{path}/tools/none", json={"approved": True})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "call_not_found")
        word = await on.http.post(f"{path}/tools/{pending['call_id']}", json={"approved": True})
        assert word.json()["status"] == "done"
        told = await followed(on, f"{path}/messages")
        assert told[-1].data["text"] == "Sun."

        async with on.http.stream(
            "POST", f"{path}/messages", json={"content": "Again?", "stream": True}
        ) as answer:
            told = []
            async for event in events(answer):
                told.append(event)
                if event.name == "approval":
                    no = {"approved": False, "comment": "not today"}
                    await on.http.post(f"{path}/tools/{event.data['call_id']}", json=no)
        assert told[-1].data["text"] == "I may not look."
    assert "not today" in script.requests[-1][2].messages[-1].content


async def test_in_a_single_answer_nobody_can_give_a_word(
    server: LocalServer, tmp_path: Path
) -> None:
    asks = Say("", calls=(("weather", {"city": "Rome"}),), finish="tool_calls")
    one = served_agent(tools=(weather(tmp_path, approval="always"),))
    opened = stage(server.address, tmp_path, Script(default=asks), one, tools=True)
    body = {"model": "tested", "messages": [{"role": "user", "content": "Rome?"}]}
    async with opened as on:
        answer = await on.http.post("/v1/chat/completions", json=body)
        await on.settled()
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "approval_required")


async def test_an_answer_is_stopped(server: LocalServer, tmp_path: Path) -> None:
    script = Script({"t1.1": [Say("one two three four", held=1)]})
    async with stage(server.address, tmp_path, script) as on:
        path = await on.begin()
        asked = on.http.post(f"{path}/messages", json={"content": "Hello"})
        waiting = asyncio.create_task(asked)
        while not script.in_flight:
            await asyncio.sleep(0.02)
        assert (await on.http.post(f"{path}/stop", json={})).json()["status"] == "done"
        stopped = await asyncio.wait_for(waiting, 30)
        after = await on.http.post(f"{path}/messages", json={"content": "Again"})
    assert (stopped.status_code, stopped.json()["error"]["code"]) == (409, "stopped")
    assert after.json()["text"] == "An answer."


async def test_who_waits_in_a_session_that_is_ended_is_told(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script(default=Say("one two three four", held=1))
    async with stage(server.address, tmp_path, script) as on:
        path = await on.begin()
        both = [
            asyncio.create_task(on.http.post(f"{path}/messages", json={"content": "Hello"}))
            for _ in range(2)
        ]
        while (await on.http.get(path)).json()["last_turn"] < 2:
            await asyncio.sleep(0.05)
        await on.http.delete(path)
        answers = await asyncio.wait_for(asyncio.gather(*both), 30)
        await on.settled()
    codes = sorted((a.status_code, a.json()["error"]["code"]) for a in answers)
    assert codes == [(409, "stopped"), (410, "session_ended")]


async def test_two_clients_at_once_are_answered_one_by_one_and_too_many_are_refused(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script(default=Say("An answer.", seconds=0.4))
    async with stage(server.address, tmp_path, script) as on:
        path = await on.begin()
        both = await asyncio.gather(
            *(on.http.post(f"{path}/messages", json={"content": f"m{n}"}) for n in range(2))
        )
        assert sorted(answer.json()["turn"] for answer in both) == [1, 2]
        assert script.most_in_flight == 1
        script.default = Say("slow", held=1)
        quick = [await _no_wait(on, path, n) for n in range(12)]
        await on.http.delete(path)
    assert [answer.status_code for answer in quick] == [202] * 11 + [409]
    assert quick[-1].json()["error"]["code"] == "session_busy"
    assert quick[-1].headers["retry-after"] == "1"


async def _no_wait(on: Stage, path: str, number: int) -> httpx2.Response:
    return await on.http.post(f"{path}/messages", json={"content": f"n{number}", "wait": False})


# summing up


async def test_a_session_is_summed_up_when_it_is_asked_for(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"t2-summary": [Say("Ships sail on Monday.")]})
    async with stage(server.address, tmp_path, script) as on:
        path = await on.begin()
        nothing = await on.http.post(f"{path}/compact", json={})
        await on.http.post(f"{path}/messages", json={"content": "Which ships?"})
        once = {"Idempotency-Key": uuid.uuid4().hex}
        summed = await on.http.post(f"{path}/compact", json={}, headers=once)
        again = await on.http.post(f"{path}/compact", json={}, headers=once)
        told = (await on.http.get(f"{path}/messages")).json()["data"]
        live = await on.http.get(f"{path}/messages", headers={"Accept": "text/event-stream"})
        await on.settled()
        unknown = await on.http.post(f"{path}/compact", json={"surprise": 1})
    assert (nothing.status_code, unknown.status_code) == (400, 400)
    assert "nothing to sum up" in nothing.json()["error"]["message"]
    assert summed.json()["text"] == again.json()["text"] == "Ships sail on Monday."
    assert summed.json()["turn"] == 2
    assert script.count("t2-summary") == 1
    assert [one["role"] for one in told] == ["user"]
    assert "Ships sail on Monday." in told[0]["content"]
    assert '"text":"Ships sail on Monday."' in live.text, "who comes later sees the same"
