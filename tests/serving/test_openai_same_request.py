"""OpenAI's own client: the same request is one answer, paid once, whoever hangs up."""

import asyncio
import uuid
from pathlib import Path

import openai
import pytest

from providers.exceptions import StreamInterrupted
from tests.serving.stage import once, stage
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer

HELLO = [{"role": "user", "content": "Hello"}]

pytestmark = pytest.mark.integration


async def test_the_same_key_is_the_same_answer_and_is_paid_once(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script(default=Say("one two three four", seconds=0.6))
    key = once()
    async with stage(server.address, tmp_path, script) as on, on.openai() as client:

        async def ask() -> str | None:
            answer = await client.chat.completions.create(
                model="tested", messages=HELLO, extra_headers=key
            )
            return f"{answer.id} {answer.choices[0].message.content}"

        both = await asyncio.gather(ask(), ask())
        later = await ask()
        with pytest.raises(openai.ConflictError, match="used before, for another request"):
            await client.chat.completions.create(
                model="tested",
                messages=[{"role": "user", "content": "Another"}],
                extra_headers=key,
            )
    assert len({*both, later}) == 1
    assert script.count() == 1


async def test_who_hangs_up_ends_nothing_and_may_come_back(
    server: LocalServer, tmp_path: Path
) -> None:
    text = "one two three four five six seven eight"
    script = Script(default=Say(text, seconds=1.2))
    key = once()
    async with stage(server.address, tmp_path, script) as on, on.openai() as client:
        stream = await client.chat.completions.create(
            model="tested", messages=HELLO, stream=True, extra_headers=key
        )
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
        again = await client.chat.completions.create(
            model="tested", messages=HELLO, stream=True, extra_headers=key
        )
        parts = [c.choices[0].delta.content or "" async for c in again if c.choices]
        await on.settled()
    assert "".join(parts) == text
    assert script.count() == 1


async def test_an_answer_that_broke_off_is_one_text(server: LocalServer, tmp_path: Path) -> None:
    broken = Say("one two three", fails=StreamInterrupted("cut"))
    script = Script({"t1.1": [broken, Say("one two three four five")]})
    async with stage(server.address, tmp_path, script) as on, on.openai() as client:
        stream = await client.chat.completions.create(model="tested", messages=HELLO, stream=True)
        parts = [c.choices[0].delta.content or "" async for c in stream if c.choices]
    assert "".join(parts) == "one two three four five"


async def test_an_answer_that_became_another_one_is_not_patched_together(
    server: LocalServer, tmp_path: Path
) -> None:
    broken = Say("one two three", seconds=0.3, fails=StreamInterrupted("cut"))
    script = Script({"t1.1": [broken, Say("something else")]})
    key = once()
    async with stage(server.address, tmp_path, script) as on, on.openai() as client:
        stream = await client.chat.completions.create(
            model="tested", messages=HELLO, stream=True, extra_headers=key
        )
        with pytest.raises(openai.APIError, match="became another one"):
            async for _ in stream:
                pass
        answer = await client.chat.completions.create(
            model="tested", messages=HELLO, stream=True, extra_headers=key
        )
        parts = [c.choices[0].delta.content or "" async for c in answer if c.choices]
    assert "".join(parts) == "something else"


async def test_a_header_names_a_session_that_remembers(server: LocalServer, tmp_path: Path) -> None:
    name = f"talk-{uuid.uuid4()}"
    in_session = {"Callboard-Session": name}
    async with stage(server.address, tmp_path) as on, on.openai() as client:
        for text in ("First", "Second"):
            answer = await client.chat.completions.create(
                model="tested",
                messages=[{"role": "user", "content": text}],
                extra_headers=in_session,
            )
            assert answer.choices[0].message.content == "An answer."
        stream = await client.chat.completions.create(
            model="tested", messages=HELLO, stream=True, extra_headers=in_session
        )
        parts = [c.choices[0].delta.content or "" async for c in stream if c.choices]
        assert "".join(parts) == "An answer."
        told = (await on.http.get(f"/sessions/{name}/messages")).json()["data"]
        assert [one["content"] for one in told if one["role"] == "user"] == [
            "First",
            "Second",
            "Hello",
        ]
        with pytest.raises(openai.BadRequestError, match="only model, messages and stream"):
            await client.chat.completions.create(
                model="tested", messages=HELLO, temperature=1, extra_headers=in_session
            )
    last = on.script.requests[-1][2]
    assert [m.content for m in last.messages] == [
        "First",
        "An answer.",
        "Second",
        "An answer.",
        "Hello",
    ]
