"""Bodies read past the HTTP library: what comes out is what the library would have given.

Every case is read twice from the same raw server: by `body_of`, and by the library alone.
"""

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.bodies import Frames, body_of
from providers.network import by_own_sockets
from providers.tls import tls_context

pytestmark = pytest.mark.integration

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"
TEXT = b"data: {}\n\n" * 3 + "héllo 👋\n".encode()


def framed(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


WHOLE = HEAD + b"\r\n" + framed(TEXT, b"x", TEXT * 40) + b"0\r\n\r\n"
PACKED = gzip.compress(TEXT)

CASES: dict[str, bytes] = {
    "whole": WHOLE,
    "empty": HEAD + b"\r\n0\r\n\r\n",
    "frames in capitals": HEAD + b"\r\nA\r\n0123456789\r\n0a\r\n0123456789\r\n0\r\n\r\n",
    "trailers": HEAD + b"\r\n" + framed(TEXT) + b"0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n",
    "extensions": HEAD + b"\r\n2\r\nab\r\n3;name=value\r\ncde\r\n" + framed(b"fg") + b"0\r\n\r\n",
    "blanks after a size": HEAD + b"\r\n2 \r\nab\r\n0\r\n\r\n",
    "a size in too many digits": HEAD + b"\r\n00000000000000000002\r\nab\r\n0\r\n\r\n",
    "a size beyond all": HEAD + b"\r\n" + b"f" * 30 + b"\r\nab\r\n0\r\n\r\n",
    "a size with a sign": HEAD + b"\r\n" + framed(TEXT) + b"+2\r\nab\r\n0\r\n\r\n",
    "a size that is none": HEAD + b"\r\n" + framed(TEXT) + b"zz\r\nab\r\n0\r\n\r\n",
    "no size": HEAD + b"\r\n" + framed(TEXT) + b"\r\nab\r\n0\r\n\r\n",
    "only line feeds": HEAD.replace(b"\r", b"") + b"\n2\nab\n0\n\n",
    "a head of line feeds, frames as they should be": HEAD.replace(b"\r", b"") + b"\n"
    + framed(b"ab\r\n\r\n", b"cd") + b"0\r\n\r\n",
    "a frame longer than it says": HEAD + b"\r\n" + framed(TEXT) + b"2\r\nabcd\r\n0\r\n\r\n",
    "a frame shorter than it says": HEAD + b"\r\n" + framed(TEXT) + b"9\r\nabcd\r\n0\r\n\r\n",
    "cut in a frame": HEAD + b"\r\n" + framed(TEXT) + b"9\r\nabc",
    "cut in a size": HEAD + b"\r\n" + framed(TEXT) + b"9",
    "cut between frames": HEAD + b"\r\n" + framed(TEXT),
    "cut before the last line": HEAD + b"\r\n" + framed(TEXT) + b"0\r\n",
    "cut behind the head": HEAD + b"\r\n",
    "another answer first": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + WHOLE,
    "compressed": HEAD + b"content-encoding: gzip\r\n\r\n" + framed(PACKED[:9], PACKED[9:])
    + b"0\r\n\r\n",
    "badly compressed": HEAD + b"content-encoding: gzip\r\n\r\n" + framed(TEXT) + b"0\r\n\r\n",
    "said not to be compressed": HEAD + b"content-encoding: identity\r\n\r\n" + framed(TEXT)
    + b"0\r\n\r\n",
    "a length": b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(TEXT) + TEXT,
    "until the end": b"HTTP/1.1 200 OK\r\n\r\n" + TEXT,
    "an error": WHOLE.replace(b"200 OK", b"500 Oh"),
    "more than was asked for": WHOLE + b"HTTP/1.1 200 OK\r\n\r\n",
}  # fmt: skip


class RawServer:
    """Sends the same bytes to each request, then ends the connection unless told to keep it."""

    def __init__(self, pieces: Sequence[bytes], keep: bool = False) -> None:
        self.pieces = pieces
        self.keep = keep
        self.connections = self.requests = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self.serve(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                for piece in self.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if not self.keep:
                    break


@contextlib.asynccontextmanager
async def serving(server: RawServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    finally:
        listening.close()
        for task in server.tasks:
            task.cancel()
        await asyncio.gather(*server.tasks)


def client_of(timeout: float | httpx2.Timeout) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(timeout=timeout, trust_env=False, verify=tls_context())


@contextlib.asynccontextmanager
async def ours() -> AsyncIterator[httpx2.AsyncClient]:
    async with by_own_sockets(client_of(30)) as client:
        yield client


async def read(client: httpx2.AsyncClient, url: str, fast: bool) -> tuple[bytes, type | None]:
    """Return what came, and what was raised at last."""
    found = b""
    try:
        async with client.stream("GET", url) as response:
            pieces: Any = body_of(response) if fast else response.aiter_bytes()
            async for piece in pieces:
                assert piece
                found += piece
    except httpx2.HTTPError as error:
        return found, type(error)
    return found, None


@pytest.mark.parametrize("name", CASES)
async def test_a_body_is_what_the_library_makes_of_it(name: str) -> None:
    answer = CASES[name]
    middle = len(answer) // 2
    cuts = [[answer], [answer[:middle], answer[middle:]]]
    if len(answer) < 300:
        cuts.append([answer[i : i + 1] for i in range(len(answer))])
    for pieces in cuts:
        async with serving(RawServer(pieces)) as url, ours() as client:
            fast = await read(client, url, fast=True)
            async with client_of(30) as plain:
                assert fast == await read(plain, url, fast=False)


async def test_the_cases_take_both_ways() -> None:
    """The comparison would hold as well if `body_of` always left the work to the library."""
    for name, way in (("whole", "_frames_off"), ("compressed", "aiter_bytes")):
        async with (
            serving(RawServer([CASES[name]])) as url,
            ours() as client,
            client.stream("GET", url) as response,
        ):
            body: Any = body_of(response)
            assert body.__name__ == way


async def test_a_piece_is_there_before_the_next_one_is_sent() -> None:
    class Slow(RawServer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            for piece in (HEAD + b"\r\n", framed(b"one"), framed(b"two"), b"0\r\n\r\n"):
                writer.write(piece)
                went_on.clear()
                await went_on.wait()

    went_on = asyncio.Event()
    found = []
    async with (
        serving(Slow([])) as url,
        ours() as client,
        client.stream("GET", url) as response,
    ):
        went_on.set()
        async for piece in body_of(response):
            found.append(piece)
            went_on.set()
    assert found == [b"one", b"two"]


async def test_a_whole_body_gives_its_connection_back() -> None:
    server = RawServer([WHOLE], keep=True)
    async with serving(server) as url, ours() as client:
        for _ in range(5):
            found, error = await read(client, url, fast=True)
            assert found.endswith(TEXT * 40)
            assert error is None
    assert (server.requests, server.connections) == (5, 1)


async def test_a_connection_that_the_server_closed_since_is_not_used_again() -> None:
    server = RawServer([WHOLE])
    async with serving(server) as url, ours() as client:
        for _ in range(3):
            _, error = await read(client, url, fast=True)
            assert error is None
            await asyncio.sleep(0.05)
    assert (server.requests, server.connections) == (3, 3)


async def test_silence_is_a_read_timeout() -> None:
    server = RawServer([HEAD + b"\r\n" + framed(TEXT)], keep=True)
    async with serving(server) as url:
        timeout = httpx2.Timeout(30, read=0.2)
        async with by_own_sockets(client_of(timeout)) as client:
            assert await read(client, url, fast=True) == (TEXT, httpx2.ReadTimeout)


async def test_slow_pieces_are_no_silence() -> None:
    class Slow(RawServer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + b"\r\n")
            for _ in range(20):
                writer.write(framed(b"x"))
                await asyncio.sleep(0.2)
            writer.write(b"0\r\n\r\n")

    timeout = httpx2.Timeout(30, read=3.0)
    async with serving(Slow([])) as url, by_own_sockets(client_of(timeout)) as client:
        assert await read(client, url, fast=True) == (b"x" * 20, None)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_frames_may_be_cut_anywhere(pieces: list[bytes], data: st.DataObject) -> None:
    wire = framed(*pieces) + b"0\r\n\r\n"
    frames, found, at = Frames(), b"", 0
    while at < len(wire) and frames.rest is None:
        step = data.draw(st.integers(1, len(wire)))
        found += frames.feed(wire[at : at + step])
        at += step
    assert found == b"".join(pieces)
    assert frames.left_over() + wire[at:] == b"0\r\n\r\n"


@given(st.binary(max_size=60))
def test_frames_keep_what_they_do_not_take(wire: bytes) -> None:
    """Whatever comes: what was given out, and what is left for the library, is all there was."""
    frames = Frames()
    found = frames.feed(framed(b"abc") + wire)
    assert found.startswith(b"abc")
    assert wire.endswith(frames.left_over())
    if found == b"abc" and not frames.broken and not wire[:1].isalnum():
        assert frames.left_over() == wire
