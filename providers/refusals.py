"""The bodies of answers that are none: read as far as an error needs, and not any further.

A server, or a proxy before it, may answer an error with a page that never ends, that breaks off,
or that is not compressed as it says. SDKs read it whole before they tell of the error, and tell of
the broken page then: the status would be lost, and how long to wait.
"""

import contextlib
from collections.abc import AsyncIterator

import httpx2

BODY_LIMIT = 64 * 1024
"""Bytes of an error's body that are read; vendors' own stay far below."""


class _Kept(httpx2.AsyncByteStream):
    """A body that was read, over the connection that it came by."""

    def __init__(self, data: bytes, stream: httpx2.AsyncByteStream) -> None:
        self._data = data
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data

    async def aclose(self) -> None:
        await self._stream.aclose()


async def bound_refusal(response: httpx2.Response) -> None:
    """Read the body of an answer that is no success. A response hook of the HTTP client."""
    stream = response.stream
    if response.is_success or not isinstance(stream, httpx2.AsyncByteStream):
        return
    data = await _beginning(stream)
    response.stream = _Kept(data if _can_be_decoded(data, response) else b"", stream)


async def _beginning(stream: httpx2.AsyncByteStream) -> bytes:
    """The body's first bytes, or what came of them before it broke off."""
    data = b""
    with contextlib.suppress(httpx2.HTTPError):
        async for chunk in stream:
            data += chunk
            if len(data) >= BODY_LIMIT:
                break
    return data[:BODY_LIMIT]


def _can_be_decoded(data: bytes, response: httpx2.Response) -> bool:
    encoding = response.headers.get("content-encoding")
    if not encoding:
        return True
    try:
        httpx2.Response(200, headers={"content-encoding": encoding}, content=data)
    except httpx2.DecodingError:
        return False
    return True
