"""Google's resumable upload: a file in pieces, gone on with where it broke off.

Promise: the file is there once, whole, or an error says why not. A piece that was lost, by a
broken connection or an answer that is none, is followed by a query how much has arrived, and the
upload goes on from there; after a few of them without any progress it is given up. An upload whose
address has expired left nothing behind, so a new one may be begun (a retryable error).

The protocol: https://ai.google.dev/api/files#method:-media.upload; a server that answers 308 with
a range speaks the one that it came from, and is understood as well.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2

from providers.exceptions import ServerFailed
from providers.gemini_wire import Refused
from providers.http_errors import Origin, interrupted

PIECE_BYTES = 8 * 1024 * 1024
"""A multiple of 256 KiB, as the protocol wants it."""

WAITS_S = (0.2, 0.5, 1.0)
"""Before each query how far the upload is, while nothing is heard or nothing moves."""

_EXPIRED = (404, 410)
_RESUMED = (308, 408, 429)
_RANGE = re.compile(r"bytes=0-(\d+)")

Headers = Mapping[str, str]
Send = Callable[[str, dict[str, str], bytes], Awaitable[httpx2.Response]]
"""Makes a POST request: address, headers, body. Raises `Refused` and the library's errors."""


class Upload:
    """One file on its way. `base_url` ends with "/"; `headers` authenticate."""

    def __init__(
        self,
        send: Send,
        base_url: str,
        origin: Origin,
        headers: Headers,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._send, self._base, self._origin, self._sleep = send, base_url, origin, sleep
        self._headers = dict(headers)
        self._stuck = 0

    async def run(self, data: bytes, mime_type: str, name: str, version: str) -> dict[str, Any]:
        """Upload and return the vendor's file object."""
        url = await self._begin(data, mime_type, name, version)
        offset = lost = 0
        while True:
            try:
                if lost:
                    await self._sleep(WAITS_S[lost - 1])
                    response, status, reached = await self._asked(url)
                else:
                    response = await self._piece(url, data, offset)
                    status = _status(response.headers)
                    reached = min(offset + PIECE_BYTES, len(data))
            except (httpx2.TransportError, Refused) as error:
                if isinstance(error, Refused) and not _may_go_on(error):
                    raise self._expired(error) or error from None
                lost += 1
                if lost > len(WAITS_S):
                    raise
                continue
            if status == "final":
                return self._whole(response, len(data))
            if status != "active" or reached > len(data):
                raise interrupted(self._origin, f"the upload's status is {status or 'not told'}")
            stuck = lost if reached <= offset else 0
            offset, lost = reached, 0
            self._stuck = self._stuck + 1 if stuck else 0
            if self._stuck >= len(WAITS_S):
                raise interrupted(self._origin, f"the upload stays at {offset:,} bytes")

    async def _begin(self, data: bytes, mime_type: str, name: str, version: str) -> str:
        headers = {
            **self._headers,
            "content-type": "application/json",
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(len(data)),
            "x-goog-upload-header-content-type": mime_type,
        }
        body = {"file": {"displayName": name, "mimeType": mime_type, "sizeBytes": str(len(data))}}
        address = f"{self._base}upload/{version}/files"
        response = await self._send(address, headers, json.dumps(body).encode())
        url = response.headers.get("x-goog-upload-url")
        if not url:
            raise interrupted(self._origin, "the answer has no address for the upload")
        ours = urlsplit(self._base)  # a gateway in between stays in between
        return urlunsplit(urlsplit(url)._replace(scheme=ours.scheme, netloc=ours.netloc))

    async def _piece(self, url: str, data: bytes, offset: int) -> httpx2.Response:
        piece = data[offset : offset + PIECE_BYTES]
        last = offset + len(piece) >= len(data)
        headers = {
            "x-goog-upload-command": "upload, finalize" if last else "upload",
            "x-goog-upload-offset": str(offset),
        }
        return await self._send(url, headers, piece)

    async def _asked(self, url: str) -> tuple[httpx2.Response, str, int]:
        """Ask how far the upload is: the answer, its status, how many bytes have arrived."""
        try:
            response = await self._send(url, {"x-goog-upload-command": "query"}, b"")
        except Refused as error:
            if error.response.status_code == 308:
                found = _RANGE.search(error.response.headers.get("range", ""))
                return error.response, "active", int(found[1]) + 1 if found else 0
            raise
        received = response.headers.get("x-goog-upload-size-received", "0")
        return response, _status(response.headers), int(received) if received.isdigit() else 0

    def _expired(self, refused: Refused) -> ServerFailed | None:
        """Return the error of an upload whose address is not valid any more."""
        status = refused.response.status_code
        if status not in _EXPIRED:
            return None
        return ServerFailed(
            f"{self._origin.provider}: the upload's address has expired ({status})",
            provider=self._origin.provider,
            status=status,
            retryable=True,
        )

    def _whole(self, response: httpx2.Response, size: int) -> dict[str, Any]:
        """Return the file object. Raises where the vendor has another size than was sent."""
        try:
            file = response.json()["file"]
            told = int(file.get("sizeBytes") or size)
            named = isinstance(file["uri"], str) and isinstance(file["name"], str)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise interrupted(self._origin, "the answer names no file") from None
        if not named:
            raise interrupted(self._origin, "the answer names no file")
        if told != size:
            raise WrongSize(
                f"{self._origin.provider}: {size:,} bytes were sent, the vendor has {told:,}",
                file["name"],
                self._origin.provider,
            )
        return dict(file)


class WrongSize(ServerFailed):
    """The vendor has the file with another size. `name` is what it is called there."""

    def __init__(self, message: str, name: str, provider: str) -> None:
        super().__init__(message, provider=provider, status=502, retryable=True)
        self.name = name


def _status(headers: Headers) -> str:
    return headers.get("x-goog-upload-status", "")


def _may_go_on(refused: Refused) -> bool:
    """Whether the upload may be active still, in spite of this answer to a piece."""
    status = refused.response.status_code
    return status in _RESUMED or status >= 500 or 200 <= status < 300
