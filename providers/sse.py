"""Server-sent events, incrementally: bytes in, events out; no sockets, no JSON.

Promise: whatever the network does to the bytes (chunks cut anywhere, inside a character or
between CR and LF), the same events come out, each as soon as its closing blank line is there.
Follows the WHATWG event stream format: LF, CR and CRLF end lines, comments and unknown fields
are no events, several `data:` lines are joined by LF, one space after the colon is dropped, a
leading byte order mark too. An event that the end of the stream cuts off is not dispatched:
`pending` tells of it, and `close` hands it over to readers who can tell a whole one (some vendors
leave out the last blank line) from half a one.

Beyond the standard, since vendors do it:
- a line `error: …` outside any event becomes an event named "error";
- other lines that are no field at all (a JSON error body in mid-stream, an HTML page in place of
  a stream) are kept in `stray`, for the reader to judge at the end.

Strategy: one `splitlines` per network chunk. A line's pieces are kept in a list until its end
arrives, so that a long line in small chunks costs linear time. `limit` bounds what is kept.
"""

from typing import NamedTuple

from providers.exceptions import StreamInterrupted

EVENT_LIMIT = 16 * 1024 * 1024
"""Bytes that one event may have. The largest real ones (inline images) stay below."""

STRAY_LIMIT = 64 * 1024
"""Bytes of stray lines that are kept; the rest is dropped."""

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event: `event` is "" where the stream names none; `data` is UTF-8, not yet decoded."""

    data: bytes
    event: str = ""
    id: str = ""


class SSEDecoder:
    """Decodes one stream. Feed it every chunk of bytes in order; it keeps what is unfinished."""

    __slots__ = (
        "_after_cr",
        "_at_start",
        "_data",
        "_data_size",
        "_event",
        "_head",
        "_id",
        "_limit",
        "_line_size",
        "_pieces",
        "_stray",
        "_stray_size",
    )

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._head = b""
        self._at_start = True
        self._after_cr = False
        self._pieces: list[bytes] = []
        self._line_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._event = ""
        self._id = ""
        self._stray: list[bytes] = []
        self._stray_size = 0

    @property
    def pending(self) -> int:
        """Bytes of an event that has begun and not ended; 0 after a clean end."""
        return self._data_size + self._line_size + len(self._event) + len(self._head)

    @property
    def stray(self) -> bytes:
        """The lines that were no part of any event; complete once `close` was called."""
        return b"\n".join(self._stray)

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that `chunk` completes.

        Raises `StreamInterrupted` where an event grows beyond the limit.
        """
        if self._at_start:
            chunk = self._skip_bom(chunk)
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[0] == 10:
                chunk = chunk[1:]
        if not chunk:
            return []
        lines = chunk.splitlines()
        last = chunk[-1]
        if last == 13:
            self._after_cr = True
        rest = b"" if last in (10, 13) else lines.pop()
        events = self._read(self._first_with_pieces(lines)) if lines else []
        if rest:
            self._pieces.append(rest)
            self._line_size += len(rest)
        if self._line_size + self._data_size > self._limit:
            raise StreamInterrupted(
                f"the stream holds an event of more than {self._limit} bytes: not read any further"
            )
        return events

    def close(self) -> ServerSentEvent | None:
        """Return what the end of the stream left without its blank line; None if nothing.

        It may be half an event: only one whose data is whole (as JSON, say) may be used.
        """
        if self._pieces:
            line = b"".join(self._pieces)
            self._pieces.clear()
            self._line_size = 0
            extra = self._read([line])
            if extra:
                return extra[0]
        if not self._data:
            return None
        event = ServerSentEvent(b"\n".join(self._data), self._event, self._id)
        self._data.clear()
        self._data_size = 0
        self._event = ""
        return event

    def _skip_bom(self, chunk: bytes) -> bytes:
        chunk = self._head + chunk
        if len(chunk) < 3 and _BOM.startswith(chunk):
            self._head = chunk
            return b""
        self._head = b""
        self._at_start = False
        return chunk.removeprefix(_BOM)

    def _first_with_pieces(self, lines: list[bytes]) -> list[bytes]:
        if self._pieces:
            self._pieces.append(lines[0])
            lines[0] = b"".join(self._pieces)
            self._pieces.clear()
            self._line_size = 0
        return lines

    def _read(self, lines: list[bytes]) -> list[ServerSentEvent]:
        events: list[ServerSentEvent] = []
        data = self._data
        for line in lines:
            if not line:
                if data:
                    body = data[0] if len(data) == 1 else b"\n".join(data)
                    if body:
                        events.append(ServerSentEvent(body, self._event, self._id))
                    data.clear()
                    self._data_size = 0
                self._event = ""
            elif line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                data.append(value)
                self._data_size += len(value) + 1
            elif line[0] != 58:
                self._field(line, events)
        return events

    def _field(self, line: bytes, events: list[ServerSentEvent]) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
        elif name == b"error" and not self._data:
            events.append(ServerSentEvent(value, "error", self._id))
        elif name != b"retry" and self._stray_size < STRAY_LIMIT:
            self._stray.append(line[:STRAY_LIMIT])
            self._stray_size += len(line)
