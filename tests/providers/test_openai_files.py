"""OpenAI's files and prompt cache keys, over a socket."""

import json
from typing import Any

import pytest

from contracts.parts import FileInlinePart, FileRefPart, TextPart
from providers.exceptions import InvalidRequest, ProviderError, StreamInterrupted
from providers.executing import capabilities_of
from providers.openai_adapter import OpenAIClient
from providers.openai_profile import only_chats
from providers.prefixes import prefix_key
from providers.spi import Caching, ChatRequest, Generation, Message, TokenCounting, Uploads
from tests.wire.server import Reply, Request, WireServer
from tests.wire.streams import DIALECTS

pytestmark = pytest.mark.integration

KEY = "sk-test-0123456789"
WIRE = DIALECTS["openai_responses"]


def answers(body: Any) -> Reply:
    return Reply((json.dumps(body).encode(),), 200, {"content-type": "application/json"})


def files(request: Request) -> Reply:
    if request.method == "DELETE":
        return Reply.error(404, b'{"error": {"message": "no such file"}}')
    if request.path.endswith("/files"):
        return answers({"id": "file-01", "object": "file", "bytes": 9, "filename": "a.pdf"})
    return Reply.stream([WIRE.answer().data])


def test_capabilities() -> None:
    client = OpenAIClient(api_key=KEY)
    assert isinstance(client, Generation)
    assert isinstance(client, Uploads)
    assert isinstance(client, Caching)
    assert client.resends_prefix
    assert not isinstance(client, TokenCounting)


async def test_a_file_is_uploaded_named_in_a_request_and_deleted() -> None:
    async with WireServer(files) as server:
        client = OpenAIClient(api_key=KEY, base_url=f"{server.url}/v1", api="responses")
        uri = await client.upload(b"the bytes", "application/pdf", "a.pdf")
        part = FileRefPart(uri=uri, mime_type="application/pdf")
        await client.chat(ChatRequest([Message("user", "Read", parts=(part,))]))
        await client.delete_upload(uri)
        await client.aclose()
    upload, asked, delete = server.requests
    assert uri == "file-01"
    assert (upload.method, upload.path) == ("POST", "/v1/files")
    assert b"the bytes" in upload.body
    assert b'filename="a.pdf"' in upload.body
    assert b"user_data" in upload.body
    assert {"type": "input_file", "file_id": "file-01"} in asked.json["input"][0]["content"]
    assert (delete.method, delete.path) == ("DELETE", "/v1/files/file-01")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply.error(503, b"busy"), "Overloaded|ServerFailed"),
        (Reply.error(400, b'{"error": {"message": "not that type"}}'), "InvalidRequest"),
    ],
)
async def test_an_upload_that_fails_is_not_tried_again(reply: Reply, kind: str) -> None:
    async with WireServer(reply) as server:
        client = OpenAIClient(api_key=KEY, base_url=server.url)
        with pytest.raises(ProviderError) as caught:
            await client.upload(b"x", "text/plain", "a.txt")
        await client.aclose()
    assert caught.value.kind in kind
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [{}, {"id": 3}, [], "text"])
async def test_an_answer_without_an_id_is_an_error(body: Any) -> None:
    async with WireServer(answers(body)) as server:
        client = OpenAIClient(api_key=KEY, base_url=server.url)
        with pytest.raises(StreamInterrupted):
            await client.upload(b"x", "text/plain", "a.txt")
        await client.aclose()


@pytest.mark.parametrize("uri", ["", "../models/x", "https://a.test/b"])
async def test_what_is_no_id_is_not_deleted(uri: str) -> None:
    with pytest.raises(InvalidRequest):
        await OpenAIClient(api_key=KEY).delete_upload(uri)


async def test_a_prompt_cache_key_is_a_digest_of_the_prefix() -> None:
    client = OpenAIClient("gpt-4o", api_key=KEY)

    def prefix(*parts: Any, **more: Any) -> ChatRequest:
        return ChatRequest([Message("user", "", parts=parts)], **more)

    book = prefix(TextPart(text="The book"))
    name = await client.create_cache(book, 60)
    assert name == prefix_key(book, "gpt-4o")
    assert len(name) <= 64
    inline = FileInlinePart(data=b"x", mime_type="a/b")
    others = [
        prefix(TextPart(text="Another")),
        prefix(TextPart(text="The book"), system="S"),
        prefix(TextPart(text="The book"), model="gpt-4"),
        prefix(TextPart(text="The book"), inline),
        prefix(TextPart(text="The book"), FileRefPart(uri="f", mime_type="a/b")),
    ]
    keys = {await client.create_cache(other, 60) for other in others}
    assert len(keys | {name}) == 6
    await client.delete_cache(name)


async def test_sound_goes_to_a_model_that_hears_by_chat_completions() -> None:
    def reply(request: Request) -> Reply:
        return Reply.stream([DIALECTS["openai_chat"].answer().data])

    async with WireServer(reply) as server:
        client = OpenAIClient("gpt-audio", api_key=KEY, base_url=server.url)
        client.api = "responses"  # as at the vendor's own address, where nobody has chosen
        sound = FileInlinePart(data=b"ID3", mime_type="audio/mpeg")
        await client.chat(ChatRequest([Message("user", "What is said?", parts=(sound,))]))
        await client.aclose()
    (asked,) = server.requests
    assert asked.path == "/chat/completions"
    part = {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}}
    assert part in asked.json["messages"][0]["content"]


@pytest.mark.parametrize(
    ("model", "chats"),
    [
        ("gpt-audio", True),
        ("gpt-audio-mini-2025-10-06", True),
        ("openai/gpt-4o-audio-preview", True),
        ("gpt-4o-mini-audio-preview", True),
        ("gpt-4o", False),
        ("gpt-5.4-mini", False),
    ],
)
def test_models_that_hear(model: str, chats: bool) -> None:
    assert only_chats(model) == chats


@pytest.mark.parametrize(
    "part",
    [
        FileInlinePart(data=b"x", mime_type="audio/ogg"),
        FileRefPart(uri="file-1", mime_type="audio/mpeg"),
        FileRefPart(uri="file-1", mime_type="image/png"),
    ],
)
async def test_what_chat_completions_does_not_take_is_refused_unsent(part: Any) -> None:
    client = OpenAIClient("gpt-audio", api_key=KEY, base_url="http://127.0.0.1:9", api="chat")
    with pytest.raises(InvalidRequest) as caught:
        await client.chat(ChatRequest([Message("user", "Read", parts=(part,))]))
    assert not caught.value.sent
    await client.aclose()


def test_uploads_are_for_responses() -> None:
    own, other = OpenAIClient(api_key=KEY), OpenAIClient(api_key=KEY, base_url="http://127.0.0.1:9")
    assert "uploads" in capabilities_of(own)
    assert "uploads" not in capabilities_of(other)
    assert "caching" in capabilities_of(other)
