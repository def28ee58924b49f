"""The HTTP client under Google's SDK: it sends what the SDK builds, and keeps the answer from it.

The SDK's own stream reader breaks on comments, on `data:` without a space and on errors without
a number; it repeats uploads, and it gives requests no timeout. So the SDK gets this client (its
`httpx_async_client` option): streams and refusals leave `send` as exceptions that carry the
response, past the SDK, and are read by us.

A request's body goes past the SDK as well (`sending`): given as options, it is copied, converted
and checked field by field before every call, a millisecond for the smallest of prompts.
"""

import contextlib
import json
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import httpx2

from providers.network import by_own_sockets
from providers.refusals import bound_refusal
from providers.tls import tls_context

SILENCE_S = 600.0
"""Seconds without a byte after which a connection counts as dead, whatever the caller's clocks."""

_CLOCKS = httpx2.Timeout(SILENCE_S, connect=10.0, write=60.0, pool=30.0)
_UPLOADING = "x-goog-upload-command"
_UPLOAD_STATUS = "x-goog-upload-status"

_body: ContextVar[bytes | None] = ContextVar("body", default=None)


@contextlib.contextmanager
def sending(body: dict[str, Any]) -> Iterator[None]:
    """Within this context, requests carry `body` in place of what the SDK has written."""
    token = _body.set(json.dumps(body).encode())
    try:
        yield
    finally:
        _body.reset(token)


class Started(Exception):
    """A stream has begun; its body is not read yet. Whoever catches this closes the response."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__("a stream has begun")
        self.response = response


class Refused(Exception):
    """The answer is no success. Its body is read, as far as it came."""

    def __init__(self, response: httpx2.Response, body: bytes) -> None:
        super().__init__(f"status {response.status_code}")
        self.response = response
        self.body = body


class WireClient(httpx2.AsyncClient):
    """Sends with our timeouts, once, and raises `Started` or `Refused` instead of returning."""

    def __init__(self, connections: int, trust_env: bool) -> None:
        super().__init__(
            verify=tls_context(),
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=100),
            # A redirect would be a second request.
            follow_redirects=False,
            event_hooks={"response": [bound_refusal]},
            trust_env=trust_env,
        )
        by_own_sockets(self)

    async def posted(self, url: str, headers: dict[str, str], body: bytes) -> httpx2.Response:
        """Make a POST request that no SDK has written; as `send`."""
        return await self.send(self.build_request("POST", url, headers=headers, content=body))

    async def send(
        self, request: httpx2.Request, *, stream: bool = False, **options: Any
    ) -> httpx2.Response:
        """Send one request. Returns only answers that are read and a success."""
        request = _ours(request)
        response = await super().send(request, stream=True, **options)
        try:
            if not response.is_success or _is_lost_upload(request, response):
                raise Refused(response, await _read(response))
            if stream:
                raise Started(response)
            await response.aread()
        except Started:
            raise
        except BaseException:
            await response.aclose()
            raise
        return response


def _ours(request: httpx2.Request) -> httpx2.Request:
    """The same request with our clocks, and our body where there is one."""
    body = _body.get()
    extensions = {**request.extensions, "timeout": _CLOCKS.as_dict()}
    if body is None:
        request.extensions = extensions
        return request
    headers = request.headers.copy()
    headers["content-length"] = str(len(body))
    return httpx2.Request(
        request.method, request.url, headers=headers, content=body, extensions=extensions
    )


def _is_lost_upload(request: httpx2.Request, response: httpx2.Response) -> bool:
    """The SDK would send the bytes again where the answer does not say how far the upload is."""
    command = request.headers.get(_UPLOADING, "")
    return "upload" in command and _UPLOAD_STATUS not in response.headers


async def _read(response: httpx2.Response) -> bytes:
    with contextlib.suppress(httpx2.HTTPError, httpx2.StreamError):
        return await response.aread()
    return b""
