"""The bodies of answers that are none: read as far as an error needs, and not any further.

A server, or a proxy before it, may answer an error with a page that never ends. Whoever reads it
whole (SDKs do, before anybody is told of the error) has no memory left.
"""

from collections.abc import AsyncIterator

import httpx2

BODY_LIMIT = 64 * 1024
"""Bytes of an error's body that are read; vendors' own stay far below."""


class _Beginning(httpx2.AsyncByteStream):
    """The first bytes of a body, as if there were no more."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = BODY_LIMIT
        async for chunk in self._stream:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()


async def bound_refusal(response: httpx2.Response) -> None:
    """Shorten the body of an answer that is no success. A response hook of the HTTP client."""
    if not response.is_success and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Beginning(response.stream)
