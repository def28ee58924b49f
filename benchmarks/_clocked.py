"""A vendor whose text tells the time: each piece is the moment at which it was sent.

Speaks Chat Completions. The model's name says how it answers: `500x20` is 500 pieces, one every
20 ms. A piece is the monotonic clock in nanoseconds and a blank; that clock is one for all
processes of a machine, so whoever reads a piece knows how old it is.
"""

import asyncio
import contextlib
import json
import re
import sys
import time
from contextlib import AbstractContextManager
from typing import Any

from benchmarks._apart import served

STAMP = re.compile(r"(\d+) ")
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Ages:
    """Takes text as it arrives, and tells how old each piece in it is."""

    def __init__(self) -> None:
        self._rest = ""

    def of(self, text: str) -> list[tuple[int, int]]:
        """Return (when it was sent, its age now) of each piece that is whole now, in ns."""
        now = time.monotonic_ns()
        text = self._rest + text
        whole = text.rfind(" ") + 1
        self._rest = text[whole:]
        return [(int(sent), now - int(sent)) for sent in STAMP.findall(text[:whole])]


def vendor() -> AbstractContextManager[str]:
    """Start the process; its address is what is entered."""
    return served("benchmarks._clocked")


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    fields = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "clocked"}
    data = b"data: %s\n\n" % json.dumps({**fields, "choices": choices, **more}).encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


_PIECE = _event(
    [{"index": 0, "delta": {"role": "assistant", "content": "@" * 19 + " "}, "finish_reason": None}]
).replace(b"@" * 19, b"%019d")


def _piece() -> bytes:
    return _PIECE % time.monotonic_ns()


def _end(count: int) -> bytes:
    usage = {"prompt_tokens": 10, "completion_tokens": count, "total_tokens": 10 + count}
    done = b"data: [DONE]\n\n"
    return b"".join(
        (
            _event([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
            _event([], usage=usage),
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(done), done),
        )
    )


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            asked = json.loads(await reader.readexactly(int(found[1]) if found else 0))
            count, pause_ms = map(int, asked["model"].split("x"))
            writer.write(_HEAD)
            began = asyncio.get_running_loop().time()
            for number in range(count):
                wait = began + number * pause_ms / 1000 - asyncio.get_running_loop().time()
                if wait > 0:
                    await asyncio.sleep(wait)
                if writer.is_closing():
                    return
                writer.write(_piece())
            writer.write(_end(count))
            await writer.drain()
    writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1024)
    async with server:
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
