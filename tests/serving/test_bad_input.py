"""What callers do wrong: clear errors, and the server goes on."""

import asyncio
import socket
import uuid
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from serving.sse import EventStream
from tests.serving.stage import Stage, events, stage
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

HELLO = [{"role": "user", "content": "Hello"}]
CHAT = "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}


async def error(sending: Any) -> tuple[int, str | None, str]:
    """Return status, code and message of an error, which has OpenAI's form."""
    answer: httpx2.Response = await sending
    told = answer.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    return answer.status_code, told["code"], told["message"]


async def test_requests_that_cannot_be_understood(server: LocalServer, tmp_path: Path) -> None:
    async with stage(server.address, tmp_path) as on:
        http = on.http
        hello = {"model": "tested", "messages": HELLO}
        found = [
            await error(http.post(CHAT, content=b'{"model": ', headers=JSON)),
            await error(http.post(CHAT, content=orjson.dumps(hello))),
            await error(http.post(CHAT, json={**hello, "model": "testd"})),
            await error(http.post(CHAT, json={**hello, "max_tokens": -1})),
            await error(http.get(CHAT)),
            await error(http.get("/nowhere")),
            await error(http.post(CHAT, json=hello, headers={"Idempotency-Key": "x" * 201})),
        ]
        assert on.script.count() == 0
    codes = [(status, code) for status, code, _ in found]
    assert codes == [
        (400, None),
        (415, None),
        (404, "model_not_found"),
        (400, None),
        (405, None),
        (404, None),
        (400, None),
    ]
    assert "tested" in found[2][2]
    assert "max_tokens" in found[3][2]


async def test_a_message_of_10_MB(server: LocalServer, tmp_path: Path) -> None:
    body = orjson.dumps({"model": "tested", "messages": [{"role": "user", "content": "x" * 10**7}]})

    async def pieces() -> Any:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    async with stage(server.address, tmp_path) as on:
        declared = await error(on.http.post(CHAT, content=body, headers=JSON))
        chunked = await error(on.http.post(CHAT, content=pieces(), headers=JSON))
        path = await on.begin()
        said = await error(on.http.post(f"{path}/messages", content=body, headers=JSON))
        after = await on.http.post(CHAT, json={"model": "tested", "messages": HELLO})
        assert after.status_code == 200
        assert on.script.count() == 1
    for found in (declared, chunked, said):
        assert found[:2] == (413, "request_too_large")


async def test_a_large_conversation_below_the_cap_is_answered(
    server: LocalServer, tmp_path: Path
) -> None:
    """A message of a session has 10,000 characters at most; what is brought along may be large."""
    text = "word " * 100_000
    async with stage(server.address, tmp_path) as on:
        messages = [{"role": "user", "content": text}]
        with_money = {"model": "tested", "messages": messages}
        refused = await error(on.http.post(CHAT, json=with_money))
        assert refused[:2] == (429, "insufficient_quota")
        text = "word " * 4_000
        messages = [{"role": "user", "content": text}]
        answer = await on.http.post(CHAT, json={"model": "tested", "messages": messages})
        assert answer.status_code == 200
        assert on.script.requests[-1][2].messages[0].content == text


UNSAYABLE: list[tuple[Any, str]] = [
    ({"content": ""}, "empty"),
    ({"content": " \t\n"}, "empty"),
    ({"content": "a\x1bb"}, "control characters"),
    ({"content": "x" * 10_001}, "10,001"),
    ({"content": 7}, "content"),
    ({}, "content"),
    ({"content": "x", "surprise": 1}, "surprise"),
    ([], "JSON object"),
]


async def test_C1_C2_C3_C8_messages_that_cannot_be_said(
    server: LocalServer, tmp_path: Path
) -> None:
    async with stage(server.address, tmp_path) as on:
        path = await on.begin()
        for body, said in UNSAYABLE:
            found = await error(on.http.post(f"{path}/messages", json=body))
            assert found[0] == 400, body
            assert said in found[2]
        assert (await on.http.get(path)).json()["last_turn"] == 0
        after = await on.http.post(f"{path}/messages", json={"content": "x" * 10_000})
        assert after.status_code == 200
        nobody = (await on.http.post("/sessions", json={"agent": "zz"})).json()["error"]
        assert (nobody["code"], nobody["param"]) == ("model_not_found", "agent")


async def test_a_server_without_keys_answers_to_this_machines_names_only(
    server: LocalServer, tmp_path: Path
) -> None:
    """A page of another site may let its own name lead here."""
    async with stage(server.address, tmp_path) as on:
        for host, status in (
            ("evil.example:80", 403),
            ("localhost:80", 200),
            ("[::1]:80", 200),
            ("", 403),
        ):
            answer = await on.http.get("/v1/models", headers={"Host": host})
            assert answer.status_code == status, host


async def test_other_sites_pages_are_not_let_in(server: LocalServer, tmp_path: Path) -> None:
    ask = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with stage(server.address, tmp_path) as on:
        closed = await on.http.options(CHAT, headers=ask)
        simple = await on.http.get("/v1/models", headers={"Origin": "https://evil.example"})
    assert closed.status_code == 405
    assert "access-control-allow-origin" not in {**closed.headers, **simple.headers}
    async with stage(server.address, tmp_path, None, origins=["https://shop.example"]) as on:
        other = await on.http.options(CHAT, headers=ask)
        own = await on.http.options(CHAT, headers={**ask, "Origin": "https://shop.example"})
    assert other.headers.get("access-control-allow-origin") is None
    assert own.headers["access-control-allow-origin"] == "https://shop.example"


async def test_turns_that_there_are_not(server: LocalServer, tmp_path: Path) -> None:
    sse = {"Accept": "text/event-stream"}
    async with stage(server.address, tmp_path) as on:
        path = await on.begin()
        nothing = await error(on.http.get(f"{path}/messages", headers=sse))
        wrong = await error(on.http.get(f"{path}/messages?turn=-1", headers=sse))
        await on.http.post(f"{path}/messages", json={"content": "Hello"})
        never = await error(on.http.get(f"{path}/messages?turn=9", headers=sse))
    assert nothing[:2] == (409, "no_turn")
    assert wrong[0] == 400
    assert never[:2] == (404, "turn_not_found")


async def test_a_foreign_last_event_id_begins_anew(server: LocalServer, tmp_path: Path) -> None:
    sse = {"Accept": "text/event-stream", "Last-Event-ID": "somebody-elses"}
    async with stage(server.address, tmp_path) as on:
        path = await on.begin()
        await on.http.post(f"{path}/messages", json={"content": "Hello"})
        async with on.http.stream("GET", f"{path}/messages", headers=sse) as answer:
            told = [one async for one in events(answer)]
    assert told[-1].data["text"] == "An answer."


# slow readers


async def test_a_reader_who_does_not_read_costs_nothing_and_ends_nothing(
    server: LocalServer, tmp_path: Path
) -> None:
    """The others are served meanwhile, and the answer is whole for who comes for it."""
    text = "word " * 20_000
    script = Script(default=Say(text))
    key = uuid.uuid4().hex
    async with stage(server.address, tmp_path, script) as on:
        slow = _connected(on)
        body = orjson.dumps({"model": "tested", "messages": HELLO, "stream": True})
        head = (
            f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        slow.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(slow, head.encode() + body)
        await on.settled_after(1)
        script.default = Say("quick")
        quick = await on.http.post(CHAT, json={"model": "tested", "messages": HELLO})
        assert quick.json()["choices"][0]["message"]["content"] == "quick"
        again = await on.http.post(CHAT, content=body, headers={**JSON, "Idempotency-Key": key})
        slow.close()
    parts = [line for line in again.text.splitlines() if line.startswith("data: {")]
    told = [orjson.loads(line[6:])["choices"][0]["delta"].get("content") or "" for line in parts]
    assert "".join(told) == text
    assert script.count() == 2


def _connected(on: Stage) -> socket.socket:
    host, port = on.url.removeprefix("http://").split(":")
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect((host, int(port)))
    return slow


async def test_pieces_are_made_no_faster_than_they_are_taken() -> None:
    made = taken = 0

    async def pieces() -> Any:
        nonlocal made
        for _ in range(100):
            made += 1
            yield b"x"

    gate = asyncio.Semaphore(0)

    async def send(message: Any) -> None:
        nonlocal taken
        await gate.acquire()
        taken += 1

    async def receive() -> Any:
        await asyncio.Event().wait()

    stream = asyncio.create_task(EventStream(pieces())({}, receive, send))
    for _ in range(5):
        gate.release()
        await asyncio.sleep(0.01)
        assert made <= taken + 1
    stream.cancel()


async def test_a_reader_who_takes_nothing_for_long_is_hung_up_on() -> None:
    closed = asyncio.Event()

    async def pieces() -> Any:
        try:
            while True:
                yield b"x"
        finally:
            closed.set()

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    await asyncio.wait_for(EventStream(pieces(), patience_s=0.05)({}, never, never), 2)
    assert not closed.is_set()  # nothing was ever taken of it: there is nothing to close

    async def once(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    await asyncio.wait_for(EventStream(pieces(), patience_s=0.05)({}, never, once), 2)
    assert closed.is_set()


async def test_who_leaves_ends_the_making_at_once() -> None:
    closed = asyncio.Event()

    async def pieces() -> Any:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def send(message: Any) -> None:
        return None

    async def receive() -> Any:
        await asyncio.sleep(0.05)
        return {"type": "http.disconnect"}

    await asyncio.wait_for(EventStream(pieces())({}, receive, send), 2)
    assert closed.is_set()
