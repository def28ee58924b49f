"""Pictures that OpenAI's client sends: kept in the store, shown with every call, paid for."""

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openai
import pytest

from client.chats import Chats
from client.planning import Planner
from contracts.parts import FileInlinePart
from contracts.plans import Candidate
from contracts.tools import FunctionTool
from providers.router import PersonaRouter
from stores.transcripts import Transcripts
from tests.serving.stage import ScriptedCatalogue, served_agent, stage
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

PNG = b"\x89PNG\r\n\x1a\n" + os.urandom(50_000)
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
LOOK: list[Any] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": URL}},
        ],
    }
]


async def test_a_picture_is_kept_by_reference_and_shown_with_every_call(
    server: LocalServer, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text("def look_up() -> str:\n    return 'a cat'\n")
    tool = FunctionTool(
        name="look_up", function="look_up", file=str(tmp_path / "own.py"), folder=str(tmp_path)
    )
    asks = Say("I look.", calls=(("look_up", {}),), finish="tool_calls")
    script = Script({"t1.1": [asks], "t1.2": [Say("A cat.")]})
    opened = stage(server.address, tmp_path, script, served_agent(tools=(tool,)), tools=True)
    async with opened as on, on.openai() as client:
        raw = await client.chat.completions.with_raw_response.create(model="tested", messages=LOOK)
        chat = Chats(on.h.runs).get(raw.headers["Callboard-Chat"])
        result = await chat.wait(1)
        history = (await chat.handle.fetch_history()).to_json()
        assert result.transcript is not None
        kept = await Transcripts(chat.store).read(result.transcript)
        node = await Transcripts(chat.store).node(result.transcript)
        await on.settled()
        stream = await client.chat.completions.create(model="tested", messages=LOOK, stream=True)
        parts = [c.choices[0].delta.content or "" async for c in stream if c.choices]
    assert raw.parse().choices[0].message.content == "I look.\n\nA cat."
    assert "".join(parts).endswith("A cat.")
    for _, _, request in script.requests:
        assert request.messages[0].parts == (FileInlinePart(data=PNG, mime_type="image/png"),)
    (part,) = kept[0].parts
    assert getattr(part, "size_bytes", 0) == len(PNG)
    assert len(history) < 40_000, "no picture is a part of a history"
    assert node.tokens > 10_000, "each call reserves what the picture may cost"


async def test_a_session_is_shown_pictures_and_remembers_them(
    server: LocalServer, tmp_path: Path
) -> None:
    async with stage(server.address, tmp_path) as on, on.openai() as client:
        place = await on.begin()
        said = await on.http.post(f"{place}/messages", json={"content": LOOK[0]["content"]})
        headers = {"Callboard-Session": place.rpartition("/")[2]}
        again: list[Any] = [{"role": "user", "content": LOOK[0]["content"][1:]}]
        await client.chat.completions.create(model="tested", messages=again, extra_headers=headers)
        plain = await on.http.post(f"{place}/messages", json={"content": "And both?"})
        told = (await on.http.get(f"{place}/messages")).json()["data"]
        chat = Chats(on.h.runs).get(f"serve-local-{headers['Callboard-Session']}")
        history = (await chat.handle.fetch_history()).to_json()
        await on.settled()
    assert (said.status_code, plain.status_code) == (200, 200), said.text
    shown = FileInlinePart(data=PNG, mime_type="image/png")
    last = on.script.requests[-1][2].messages
    assert [m.parts for m in last if m.role == "user"] == [(shown,), (shown,), ()]
    assert [m.content for m in last if m.role == "user"] == ["What is this?", "", "And both?"]
    file = {"type": "file", "mime_type": "image/png", "name": None, "size_bytes": len(PNG)}
    assert told[0] == {"role": "user", "content": "What is this?", "parts": [file]}
    assert len(history) < 40_000, "no picture is a part of a history"


async def test_a_session_has_the_rules_of_a_completion(server: LocalServer, tmp_path: Path) -> None:
    far = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    text = {"type": "text", "text": " "}
    long = {"type": "text", "text": "a" * 10_001}
    picture = LOOK[0]["content"][1]
    async with stage(server.address, tmp_path) as on:
        place = await on.begin()

        async def refused(*content: Any) -> str:
            answer = await on.http.post(f"{place}/messages", json={"content": list(content)})
            assert answer.status_code == 400, answer.text
            return str(answer.json()["error"]["message"])

        assert "fetches nothing" in await refused(far)
        assert "content[1].image_url.url" in await refused(text, far)
        assert "empty" in await refused(text)
        assert "empty" in await refused()
        assert "10,000" in (await refused(picture, long)).replace("10000", "10,000")
        assert "50 at most" in await refused(*[picture] * 51)
    assert on.script.count() == 0


class Blind(ScriptedCatalogue):
    """Nobody takes pictures, but the second candidate."""

    def takes(self, candidate: Candidate, kinds: Sequence[str]) -> bool:
        return not kinds or candidate.model == "sees"


async def test_a_session_whose_model_takes_none_says_who_would(
    server: LocalServer, tmp_path: Path
) -> None:
    planner = Planner(PersonaRouter(env={}), provider="simulated")
    catalogue = Blind([served_agent()], planner)
    async with stage(server.address, tmp_path, catalogue=catalogue) as on:
        place = await on.begin()
        answer = await on.http.post(f"{place}/messages", json={"content": LOOK[0]["content"]})
        plain = await on.http.post(f"{place}/messages", json={"content": "Hello"})
    assert (answer.status_code, plain.status_code) == (400, 200)
    told = answer.json()["error"]
    assert told["code"] == "unsupported_content"
    assert "takes no image files; these would take them: " in told["message"]
    assert "openai (" in told["message"]


async def test_another_machines_picture_is_refused(server: LocalServer, tmp_path: Path) -> None:
    far: list[Any] = [{"role": "user", "content": []}]
    far[0]["content"] = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]
    async with stage(server.address, tmp_path) as on, on.openai() as client:
        with pytest.raises(openai.BadRequestError, match="fetches nothing"):
            await client.chat.completions.create(model="tested", messages=far)
    assert on.script.count() == 0
