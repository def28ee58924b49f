"""HTTP for tools: only to hosts of an allow-list, at the address that was judged, in bounds.

Strategy: the host is resolved and judged (`toolbox.addresses`), and the connection goes to that
very address, with the host's name in `Host` and TLS, so that a name that changes its address in
between gains nothing. Redirects are followed by hand, each one judged anew; one off the list
ends the call, and a redirect to another origin loses the headers, where secrets are. Proxies of
the environment are not used: they would resolve the name themselves. The body is read in pieces,
up to a bound.
"""

import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import httpx2

from toolbox.addresses import Resolve, checked_address, resolve
from toolbox.calls import ToolResult
from toolbox.exceptions import ToolDied, ToolFailure, ToolRefused, ToolUnavailable

# At INFO the library logs addresses, and a tool's arguments are in them.
logging.getLogger("httpx2").setLevel(logging.WARNING)

MOST_REDIRECTS = 5
BODY_BYTES = 16 * 1024 * 1024
CONNECT_S = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Sent:
    """A request. `headers` may hold secrets."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True)
class Got:
    """An answer: `size` is what there was, of which `data` may be the beginning."""

    status: int
    media_type: str
    data: bytes
    size: int
    url: str

    def result(self) -> ToolResult:
        """Return it as a tool's result."""
        return ToolResult(self.data, self.media_type, self.size)


@dataclass(frozen=True)
class Fetcher:
    """Sends requests within one tool's bounds."""

    allow: Sequence[str]
    private: bool = False
    resolver: Resolve = resolve
    tls: ssl.SSLContext | None = None

    async def fetch(self, request: Sent) -> Got:
        """Return the answer, whatever its status. Raises ToolFailure."""
        origin = _origin(httpx2.URL(request.url))
        for _ in range(MOST_REDIRECTS + 1):
            got, location = await self._once(request)
            if location is None:
                return got
            url = _joined(request.url, location)
            kept = request.headers if _origin(url) == origin else {}
            method, content = _redirected(request, got.status)
            request = Sent(method, str(url), kept, content)
        raise ToolRefused(f"more than {MOST_REDIRECTS} redirects")

    async def _once(self, request: Sent) -> tuple[Got, str | None]:
        url = _parsed(request.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        address = await checked_address(url.host, port, self.allow, self.private, self.resolver)
        headers = {**request.headers, "host": url.netloc.decode("ascii")}
        timeout = httpx2.Timeout(None, connect=CONNECT_S)
        try:
            async with (
                httpx2.AsyncClient(
                    verify=self.tls or _tls(), timeout=timeout, trust_env=False
                ) as client,
                client.stream(
                    request.method,
                    url.copy_with(host=address),
                    headers=headers,
                    content=request.content,
                    extensions={"sni_hostname": url.host},
                ) as response,
            ):
                return await self._read(response, request.url)
        except httpx2.HTTPError as error:
            raise _failure(error, request) from None

    async def _read(self, response: httpx2.Response, url: str) -> tuple[Got, str | None]:
        location = response.headers.get("location")
        if response.status_code in _REDIRECTS and location:
            return Got(response.status_code, "", b"", 0, url), location
        data, size = bytearray(), 0
        async for piece in response.aiter_bytes(65_536):
            size += len(piece)
            data += piece[: max(0, BODY_BYTES - len(data))]
            if size > 4 * BODY_BYTES:
                break
        media_type = response.headers.get("content-type", "application/octet-stream")
        return Got(response.status_code, media_type[:200], bytes(data), size, url), None


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _parsed(text: str) -> httpx2.URL:
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        raise ToolRefused("that is no URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ToolRefused("only http and https can be fetched")
    if url.userinfo:
        raise ToolRefused("a URL with user and password is not fetched")
    return url


def _joined(base: str, location: str) -> httpx2.URL:
    try:
        return httpx2.URL(base).join(location)
    except httpx2.InvalidURL:
        raise ToolRefused("it redirects to what is no URL") from None


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _redirected(request: Sent, status: int) -> tuple[str, bytes | None]:
    """Return method and body after a redirect, as browsers do it (RFC 9110 §15.4)."""
    if status == 303 and request.method != "HEAD":
        return "GET", None
    if status in (301, 302) and request.method == "POST":
        return "GET", None
    return request.method, request.content


def _failure(error: httpx2.HTTPError, request: Sent) -> ToolFailure:
    host = httpx2.URL(request.url).host
    said = f"{host}: {type(error).__name__}"
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return ToolUnavailable(f"{said}: it cannot be reached")
    if request.method in _SAFE:
        return ToolUnavailable(f"{said}: the answer broke off")
    return ToolDied(f"{said}: the request was sent, and no whole answer came")
