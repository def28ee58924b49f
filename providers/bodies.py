"""The bytes of a streamed answer's body, each piece as it arrives.

Promise: what `httpx2.Response.aiter_bytes` gives and raises, with the same ends: a body that is
whole gives its connection back, one that is left closes it.

Strategy: a stream of small pieces comes chunked and not compressed, and most of the library's time
goes into taking the frames off, one by one, through seven generators. Here they are taken off
where they are regular and come by our sockets (`providers.network`). At the first that is not,
the last one among them, the library goes on from its first byte: trailers, extensions, broken
frames and ends that come too early are all its business, and the connection's state with them.
"""

import re
from collections.abc import AsyncIterator

import httpcore2
import httpx2

from providers.network import Connection

_FRAME = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_BEGINS_FRAME = re.compile(rb"[0-9A-Fa-f]{0,15}\r?")


def body_of(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Return how a response's body is read; to be read once."""
    connection = response.extensions.get("network_stream")
    if isinstance(connection, Connection) and _is_plain(response):
        begun = connection.take_body()
        if begun is not None:
            return _frames_off(response, connection, begun)
    return response.aiter_bytes()


def _is_plain(response: httpx2.Response) -> bool:
    """Tell a body that is only cut into frames from one that is packed in any other way."""
    headers = response.headers
    return (
        response.status_code == 200
        and headers.get("transfer-encoding", "").lower() == "chunked"
        and headers.get("content-encoding", "identity").lower() == "identity"
    )


class Frames:
    """Takes the frames off a chunked body, as long as they are regular."""

    __slots__ = ("_held", "_left", "broken", "rest")

    def __init__(self) -> None:
        self._held = b""
        self._left = 0
        """Bytes of the present frame that are still to come, its end of line included."""

        self.rest: bytes | None = None
        """What no regular frame begins with, from the first byte of the frame that is none."""

        self.broken = False
        """A frame did not end where it said: nothing after it is read any more."""

    def feed(self, data: bytes) -> bytes:
        """Return what the frames hold, up to where they are regular."""
        if self._held:
            data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.broken:
            if self._left == 0:
                found = _FRAME.match(data, at)
                length = int(found[1], 16) if found is not None else 0
                if found is None or length == 0:
                    self._stop(data[at:], found is None)
                    break
                at = found.end()
                end = at + length
                if data[end : end + 2] == b"\r\n":  # all of it is there, as a rule
                    pieces.append(data[at:end])
                    at = end + 2
                    continue
                self._left = length + 2
            at = self._within(data, at, pieces)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _within(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take what has come of the present frame; return where the next one begins."""
        inner = self._left - 2
        if inner > 0:
            piece = data[at : at + inner]
            pieces.append(piece)
            at += len(piece)
            self._left -= len(piece)
            if self._left > 2:
                return at
        tail = data[at : at + self._left]
        if tail != b"\r\n"[2 - self._left :][: len(tail)]:
            self.broken = True
        self._left -= len(tail)
        return at + len(tail)

    def _stop(self, rest: bytes, may_begin: bool) -> None:
        if may_begin and _BEGINS_FRAME.fullmatch(rest):
            self._held = rest
        else:
            self.rest = rest

    def left_over(self) -> bytes:
        """Return what the library is to read first when it goes on from here."""
        return self._held if self.rest is None else self.rest


async def _frames_off(
    response: httpx2.Response, connection: Connection, data: bytes
) -> AsyncIterator[bytes]:
    timeout = response.request.extensions.get("timeout", {}).get("read")
    frames = Frames()
    try:
        while True:
            if data and (piece := frames.feed(data)):
                yield piece
            if frames.broken:
                raise httpx2.RemoteProtocolError("a frame of the body is longer than it says")
            if frames.rest is not None:
                break
            data = await connection.receive(timeout)
            if not data:
                break
    except httpcore2.ReadTimeout as error:
        raise httpx2.ReadTimeout(str(error), request=response.request) from error
    except httpcore2.ReadError as error:
        raise httpx2.ReadError(str(error), request=response.request) from error
    connection.give_back(frames.left_over())
    async for piece in response.aiter_raw():
        yield piece
