"""Artifacts in a cloud store: the S3 protocol over a real socket, and a store that is down."""

import asyncio
import hashlib
import http.server
import re
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from email.utils import formatdate
from xml.sax.saxutils import escape

import pytest

from stores.artifacts import ArtifactStore
from stores.backend import PART_BYTES
from stores.exceptions import ArtifactCorrupt, ArtifactMissing, StoreUnavailable

pytestmark = pytest.mark.integration

SECRET = "wJalrXUtnFEMIsecret"


class Bucket(http.server.ThreadingHTTPServer):
    """As much of S3 as storing, reading, listing and uploading in parts needs."""

    def __init__(self, away: bool = False) -> None:
        """Take a port; who is away listens at it only when told to by `server_activate`."""
        super().__init__(("127.0.0.1", 0), BucketHandler, bind_and_activate=not away)
        if away:
            self.server_bind()
        self.objects: dict[str, bytes] = {}
        self.parts: dict[int, bytes] = {}
        self.requests: list[str] = []
        self.fails = 0


class BucketHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def handle_one(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        key = urllib.parse.unquote(url.path).removeprefix("/bucket").lstrip("/")
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.requests.append(f"{self.command} {key} {'&'.join(sorted(query))}".strip())
        if self.server.fails:
            self.server.fails -= 1
            return self.answer(503, b"<Error/>")
        if self.command == "PUT" and "partNumber" in query:
            self.server.parts[int(query["partNumber"][0])] = body
            return self.answer(200, b"")
        if self.command == "PUT":
            self.server.objects[key] = body
            return self.answer(200, b"")
        if self.command == "POST" and "uploads" in query:
            self.server.parts.clear()
            return self.answer(200, b"<R><UploadId>u1</UploadId></R>")
        if self.command == "POST":
            parts = self.server.parts
            self.server.objects[key] = b"".join(parts[number] for number in sorted(parts))
            return self.answer(200, b'<R><ETag>"e"</ETag></R>')
        if "list-type" in query:
            return self.answer(200, self.listing(query["prefix"][0]))
        return self.read(key)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815

    def read(self, key: str) -> None:
        data = self.server.objects.get(key)
        if data is None:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range") or "")
        if asked is None:
            return self.answer(200, data)
        start, end = int(asked[1]), min(int(asked[2]) + 1, len(data))
        spoken = f"bytes {start}-{end - 1}/{len(data)}"
        return self.answer(206, data[start:end], {"content-range": spoken})

    def listing(self, prefix: str) -> bytes:
        found = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, data in sorted(self.server.objects.items())
            if key.startswith(prefix)
        )
        return f"<ListBucketResult>{found}</ListBucketResult>".encode()

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')
        self.send_header("last-modified", formatdate(usegmt=True))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Credentials come from the environment, as obstore reads them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    return monkeypatch


@pytest.fixture
def bucket(keys: pytest.MonkeyPatch) -> Iterator[Bucket]:
    server = Bucket()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    keys.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def store(bucket: Bucket) -> ArtifactStore:
    return ArtifactStore.open("s3://bucket/team/data", cache_bytes=0)


async def test_artifacts_and_names_live_below_the_prefix(
    store: ArtifactStore, bucket: Bucket
) -> None:
    ref = await store.put_text("hello")
    await store.note("runs/r 1", ref)
    assert await store.get_text(ref) == "hello"
    assert await store.exists(ref)
    assert await store.lookup("runs/r 1") == ref
    assert await store.lookup("runs/r 2") is None
    assert await store.names("runs/") == ["runs/r 1"]
    assert sorted(bucket.objects) == [
        f"team/data/artifacts/{ref.sha256[:2]}/{ref.sha256[2:]}",
        "team/data/runs/r=201.ref",
    ]


async def test_large_content_travels_in_parts_and_once(
    store: ArtifactStore, bucket: Bucket
) -> None:
    data = b"0123456789abcdef" * (PART_BYTES // 8)
    ref = await store.put_bytes(data)
    assert len(bucket.parts) == 2
    assert b"".join([piece async for piece in store.stream(ref)]) == data
    bucket.requests.clear()
    await store.put_bytes(data)
    assert [request.split()[0] for request in bucket.requests] == ["HEAD"]


async def test_missing_and_damaged_objects_are_told_apart(
    store: ArtifactStore, bucket: Bucket
) -> None:
    ref = await store.put_text("hello")
    (key,) = bucket.objects
    bucket.objects[key] = b"jello"
    with pytest.raises(ArtifactCorrupt):
        await store.get_text(ref)
    del bucket.objects[key]
    with pytest.raises(ArtifactMissing):
        await store.get_text(ref)


async def test_a_short_failure_of_the_store_is_waited_out(
    store: ArtifactStore, bucket: Bucket
) -> None:
    bucket.fails = 2
    ref = await store.put_text("hello")
    assert await store.get_text(ref) == "hello"


async def test_a_store_that_starts_again_is_waited_for(keys: pytest.MonkeyPatch) -> None:
    server = Bucket(away=True)
    keys.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    store = ArtifactStore.open("s3://bucket/x", cache_bytes=0)
    storing = asyncio.create_task(store.put_text("hello"))
    await asyncio.sleep(2)
    assert not storing.done()
    server.server_activate()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        assert await store.get_text(await storing) == "hello"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
async def test_a_store_that_goes_on_failing_is_unavailable(
    store: ArtifactStore, bucket: Bucket
) -> None:
    bucket.fails = 1_000
    with pytest.raises(StoreUnavailable, match="s3://bucket/team/data") as caught:
        await store.put_text("hello")
    assert "503" in str(caught.value)


@pytest.mark.slow
async def test_a_store_that_is_not_there_is_unavailable_soon_and_shows_no_secret(
    keys: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as taken:  # and nobody listens
        taken.bind(("127.0.0.1", 0))
        keys.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        store = ArtifactStore.open("s3://bucket/x")
        start = time.monotonic()
        with pytest.raises(StoreUnavailable, match="s3://bucket/x") as caught:
            await store.put_text("hello")
    assert time.monotonic() - start < 20
    text = str(caught.value) + repr(caught.value.__cause__)
    assert SECRET not in text
    assert "\n" not in text
