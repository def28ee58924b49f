"""Pictures that OpenAI's client sends: kept in the store, shown with every call, paid for."""

import base64
import os
from pathlib import Path
from typing import Any

import openai
import pytest

from client.chats import Chats
from contracts.parts import FileInlinePart
from contracts.tools import FunctionTool
from stores.transcripts import Transcripts
from tests.serving.stage import served_agent, stage
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


async def test_a_session_and_another_machines_picture_are_refused(
    server: LocalServer, tmp_path: Path
) -> None:
    far = [{"role": "user", "content": [{**LOOK[0]["content"][1]}]}]
    far[0]["content"][0] = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    async with stage(server.address, tmp_path) as on, on.openai() as client:
        session = (await on.begin()).rpartition("/")[2]
        headers = {"Callboard-Session": session}
        with pytest.raises(openai.BadRequestError, match="not said in a session"):
            await client.chat.completions.create(
                model="tested", messages=LOOK, extra_headers=headers
            )
        with pytest.raises(openai.BadRequestError, match="fetches nothing"):
            await client.chat.completions.create(model="tested", messages=far)
    assert on.script.count() == 0
