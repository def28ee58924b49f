"""Google's resumable upload against a server that speaks it and breaks it in every way."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from providers.exceptions import ProviderError, StreamInterrupted
from providers.gemini_adapter import GeminiClient
from providers.gemini_upload import PIECE_BYTES
from tests.wire.server import Reply, Request, WireServer

pytestmark = pytest.mark.integration

KEY = "AIza-test-0123456789"
DATA = bytes(range(256)) * (PIECE_BYTES // 256) + b"the last piece"
RESET = Reply(silent=True, end="reset")

Fault = Callable[["Vendor", Request], Reply]


def answers(body: Any, **headers: str) -> Reply:
    return Reply((json.dumps(body).encode(),), 200, {"content-type": "application/json", **headers})


@dataclass
class Vendor:
    """Keeps what arrives. `faults` are for pieces, by number: each may keep a part of it first."""

    faults: dict[int, Fault] = field(default_factory=dict)
    on_query: Fault | None = None
    url: str = ""
    kept: bytes = b""
    pieces: int = 0
    deleted: list[str] = field(default_factory=list)
    size_told: int | None = None

    def __call__(self, request: Request) -> Reply:
        if request.method == "DELETE":
            self.deleted.append(request.path)
            return answers({})
        command = request.headers.get("x-goog-upload-command", "")
        if command == "start":
            assert request.headers["x-goog-upload-protocol"] == "resumable"
            assert request.headers["x-goog-api-key"] == KEY
            where = f"https://elsewhere.test/the-upload?n={request.headers['x-goog-upload-header-content-length']}"
            return answers({}, **{"x-goog-upload-url": where})
        if command == "query":
            return self.on_query(self, request) if self.on_query else self.progress()
        self.pieces += 1
        fault = self.faults.pop(self.pieces, None)
        if fault is not None:
            return fault(self, request)
        return self.take(request)

    def take(self, request: Request) -> Reply:
        assert int(request.headers["x-goog-upload-offset"]) == len(self.kept)
        self.kept += request.body
        if "finalize" in request.headers["x-goog-upload-command"]:
            return self.final()
        return self.progress()

    def progress(self) -> Reply:
        received = {"x-goog-upload-size-received": str(len(self.kept))}
        return answers({}, **{"x-goog-upload-status": "active"}, **received)

    def final(self) -> Reply:
        size = len(self.kept) if self.size_told is None else self.size_told
        file = {"name": "files/abc", "uri": "https://g.test/v1beta/files/abc", "state": "ACTIVE"}
        body = {"file": {**file, "sizeBytes": str(size)}}
        return answers(body, **{"x-goog-upload-status": "final"})


def keeping(share: float, reply: Reply) -> Fault:
    """Keep a part of a piece, then answer so."""

    def fault(vendor: Vendor, request: Request) -> Reply:
        vendor.kept += request.body[: int(len(request.body) * share)]
        return reply

    return fault


async def upload(vendor: Vendor, data: bytes = DATA) -> str:
    async with WireServer(vendor) as server:
        client = GeminiClient(api_key=KEY, base_url=server.url)
        try:
            return await client.upload(data, "application/pdf", "a.pdf")
        finally:
            await client.aclose()


async def test_a_file_goes_in_pieces() -> None:
    vendor = Vendor()
    assert await upload(vendor) == "https://g.test/v1beta/files/abc"
    assert vendor.kept == DATA
    assert vendor.pieces == 2


@pytest.mark.parametrize(
    "fault",
    [
        keeping(0.0, RESET),
        keeping(0.5, RESET),
        keeping(1.0, RESET),
        keeping(0.25, Reply.error(503, b"busy")),
        keeping(0.25, Reply.error(500, b"")),
        keeping(0.0, Reply.error(429, b"slow down")),
        keeping(0.25, Reply.error(308, b"", {"range": "bytes=0-9"})),
        keeping(0.25, answers({})),
    ],
    ids=["reset", "reset-half", "reset-after", "503", "500", "429", "308", "no-status"],
)
@pytest.mark.parametrize("piece", [1, 2])
async def test_what_breaks_off_is_gone_on_with(fault: Fault, piece: int) -> None:
    vendor = Vendor({piece: fault})
    assert await upload(vendor) == "https://g.test/v1beta/files/abc"
    assert vendor.kept == DATA


async def test_an_upload_that_was_finished_when_its_answer_was_lost_is_not_repeated() -> None:
    vendor = Vendor({2: keeping(1.0, RESET)}, on_query=lambda self, _: self.final())
    assert await upload(vendor) == "https://g.test/v1beta/files/abc"
    assert vendor.kept == DATA


async def test_a_server_that_answers_308_with_a_range_is_understood() -> None:
    def resume(vendor: Vendor, _: Request) -> Reply:
        return Reply.error(308, b"", {"range": f"bytes=0-{len(vendor.kept) - 1}"})

    vendor = Vendor({1: keeping(0.5, RESET)}, on_query=resume)
    await upload(vendor)
    assert vendor.kept == DATA


@pytest.mark.parametrize("status", [404, 410])
async def test_an_expired_address_means_a_new_upload_may_begin(status: int) -> None:
    vendor = Vendor({2: keeping(0.0, Reply.error(status, b"{}"))})
    with pytest.raises(ProviderError, match="the upload's address has expired") as caught:
        await upload(vendor)
    assert (caught.value.retryable, caught.value.status) == (True, status)


async def test_a_size_that_is_not_what_was_sent_is_an_error_and_nothing_is_left() -> None:
    vendor = Vendor(size_told=7)
    with pytest.raises(ProviderError, match="11 bytes were sent, the vendor has 7") as caught:
        await upload(vendor, b"hello world")
    assert (caught.value.retryable, caught.value.status) == (True, 502)
    assert vendor.deleted == ["/v1beta/files/abc"]


async def test_it_is_given_up_where_nothing_answers() -> None:
    vendor = Vendor(
        {1: keeping(0.0, Reply.error(503, b"busy"))},
        on_query=lambda *_: Reply.error(503, b"busy"),
    )
    with pytest.raises(ProviderError) as caught:
        await upload(vendor, b"x")
    assert (caught.value.retryable, caught.value.status) == (True, 503)


async def test_it_is_given_up_where_nothing_moves() -> None:
    lost = keeping(0.0, RESET)
    vendor = Vendor(dict.fromkeys(range(1, 9), lost))
    with pytest.raises(StreamInterrupted, match="the upload stays at 0 bytes"):
        await upload(vendor, b"x")
    assert vendor.pieces == 3


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (
            Reply.error(400, b'{"error": {"message": "not that type", "code": 400}}'),
            "InvalidRequest",
        ),
        (Reply.error(403, b'{"error": {"message": "no", "code": 403}}'), "AuthenticationFailed"),
        (Reply.error(503, b"busy"), "Overloaded"),
        (answers({}), "StreamInterrupted"),
    ],
)
async def test_what_is_refused_at_the_door(reply: Reply, kind: str) -> None:
    async with WireServer(reply) as server:
        client = GeminiClient(api_key=KEY, base_url=server.url)
        with pytest.raises(ProviderError) as caught:
            await client.upload(b"x", "application/pdf", "a.pdf")
        await client.aclose()
    assert caught.value.kind == kind
    assert len(server.requests) == 1
    assert KEY not in str(caught.value)
