"""OpenAI's files and prompt cache keys, over a socket."""

import json
from typing import Any

import pytest

from contracts.parts import FileInlinePart, FileRefPart, TextPart
from providers.exceptions import InvalidRequest, ProviderError, StreamInterrupted
from providers.openai_adapter import OpenAIClient
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
