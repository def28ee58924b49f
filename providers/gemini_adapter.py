"""Google's Gemini by its Developer API (seed 000).

Promise: see `providers.spi`. One call is one request; the SDK's own retries, continuations and
function calling are off.

Strategy: the SDK builds the address, authenticates and sends; `providers.gemini_wire` takes the
response from it, whose bytes are read by `providers.reading` and understood by
`providers.gemini_content`. The body is written by `providers.gemini_request` in the API's own
JSON; it reaches the wire as it is, past the SDK's converters.

The SDK takes half a second to import. That happens when the first client is made, or before that
in `warm()`, which a worker calls at its start: never within a call.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import httpx2

from contracts.messages import ChatChunk, ChatRequest
from providers.bodies import body_of
from providers.exceptions import InvalidRequest, ProviderError, ServerFailed
from providers.gemini_content import VENDOR, ContentParser
from providers.gemini_profile import profile
from providers.gemini_request import CACHE_PREFIX, content_body, prompt_body
from providers.gemini_upload import Upload, WrongSize
from providers.gemini_wire import Refused, Started, WireClient, sending
from providers.http_errors import Origin, error_from_response, error_from_transport, interrupted
from providers.keys import find_key, find_url, is_loopback, missing_key
from providers.loops import PerLoop
from providers.prompt_texts import prompt_texts
from providers.reading import Answer, read_stream
from providers.requests import check_texts
from providers.sdk_logs import hush_sdks
from providers.settings import checked_count, checked_model, checked_timeout
from providers.spi import CacheName, LLMClient
from providers.stops import StopCutter
from providers.tls import tls_context

if TYPE_CHECKING:
    from google import genai

KEYS = ("EP_GEMINI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")
URLS = ("EP_GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL")
OWN_URL = "https://generativelanguage.googleapis.com/"
API_VERSION = "v1beta"

PROCESSING_S = 120.0
"""How long an uploaded file may take to become usable (videos do)."""

_POLL_S = 1.0


def warm() -> None:
    """Import the SDK: half a second that no call has to wait for."""
    import google.auth.aio.credentials  # noqa: F401
    from google import genai  # noqa: F401

    hush_sdks()
    tls_context()


class GeminiClient(LLMClient):
    """Client of the Gemini Developer API.

    `api_key` and `base_url` come from EP_GEMINI_API_KEY / GEMINI_API_KEY / GOOGLE_API_KEY and
    EP_GEMINI_BASE_URL / GOOGLE_GEMINI_BASE_URL where not given; a server on this machine needs no
    key. `timeout`: seconds for a whole call where `chat` is not told. `connections`: as many as
    calls at once.

    Raises `AuthenticationFailed` without a key, `ValueError` for a key or address that cannot be.
    """

    provider: ClassVar[str] = VENDOR
    uploads_last_s: ClassVar[float] = 48 * 3600.0

    def __init__(
        self,
        model: str = "gemini-pro",
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
        connections: int = 1000,
    ) -> None:
        self.model = checked_model(model)
        self.timeout = checked_timeout(timeout)
        self._url = find_url(base_url, URLS) or OWN_URL
        self._loopback = is_loopback(self._url)
        key = find_key(api_key, KEYS, self.provider)
        if key is None and not self._loopback:
            raise missing_key(KEYS, self.provider)
        self._key = key or "none"
        self._connections = checked_count("connections", connections)
        warm()
        self._connected: PerLoop[_Connected] = PerLoop(self._make, _close)

    def _make(self) -> "_Connected":
        from google import genai
        from google.genai import types

        wire = WireClient(self._connections, trust_env=not self._loopback)
        under: Any = wire
        sdk = genai.Client(
            api_key=self._key,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=self._url,
                api_version=API_VERSION,
                retry_options=types.HttpRetryOptions(attempts=1),
                httpx_async_client=under,
                client_args={"verify": tls_context()},
                async_client_args={"verify": tls_context(), "ssl": tls_context()},
            ),
        )
        return _Connected(sdk, wire)

    def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Make the request and yield its chunks; `req.model` outranks the client's."""
        return read_stream(partial(self._ask, req))

    async def _ask(self, req: ChatRequest) -> Answer:
        model = req.model or self.model
        written = content_body(req, profile(model))
        origin = self._origin(req)
        parser = ContentParser(origin, StopCutter(written.stops))
        response = await self._start(model, written.json, origin)
        return Answer(body_of(response), parser, origin, response.aclose, tuple(written.notes))

    async def _start(self, model: str, body: dict[str, Any], origin: Origin) -> httpx2.Response:
        """Send the request; return the response when its headers are there."""
        try:
            with _errors(origin), sending(body):
                chunks = await self._connected.get().sdk.aio.models.generate_content_stream(
                    model=model, contents="-"
                )
                async for _ in chunks:
                    break
        except Started as started:
            return started.response
        except ValueError as error:
            # Only the SDK's own checks are left to raise this: nothing was sent.
            raise InvalidRequest(
                f"gemini: the SDK refuses the request ({type(error).__name__})",
                provider=self.provider,
                model=model,
                sent=False,
            ) from None
        raise interrupted(origin, "the SDK gave no stream")

    async def count_tokens(self, req: ChatRequest) -> int:
        """Return the prompt's size in tokens; free of charge."""
        check_texts(req)
        from google.genai import types

        model, origin = req.model or self.model, self._origin(req)
        prompt = prompt_body(req, profile(model)).json
        name = model if "/" in model else f"models/{model}"
        body = {"contents": [], "generateContentRequest": {"model": name, **prompt}}
        with _errors(origin), _understood(origin):
            answer = await self._connected.get().sdk.aio.models.count_tokens(
                model=model,
                contents="-",
                config=types.CountTokensConfig(http_options=types.HttpOptions(extra_body=body)),
            )
        if answer.total_tokens is None:
            raise interrupted(origin, "the answer holds no count")
        return answer.total_tokens

    async def upload(self, data: bytes, mime_type: str, name: str) -> str:
        """Upload a file, wait until it can be used, and return its address for a `FileRefPart`.

        What breaks off on the way is gone on with (`providers.gemini_upload`).
        """
        from google.genai import types

        origin = self._account()
        connected = self._connected.get()
        files = connected.sdk.aio.files
        headers = {"x-goog-api-key": self._key}
        sending = Upload(connected.wire.posted, self._url.rstrip("/") + "/", origin, headers)
        with _errors(origin), _understood(origin):
            try:
                made = await sending.run(data, mime_type, name, API_VERSION)
            except WrongSize as error:
                with contextlib.suppress(ProviderError):
                    await self.delete_upload(error.name)
                raise
            file = types.File(name=made["name"], uri=made["uri"], state=made.get("state", "ACTIVE"))
            deadline = asyncio.get_running_loop().time() + PROCESSING_S
            while file.state == types.FileState.PROCESSING and file.name:
                if asyncio.get_running_loop().time() > deadline:
                    raise ServerFailed(
                        f"gemini: the file was not ready within {PROCESSING_S:g} seconds",
                        provider=self.provider,
                    )
                await asyncio.sleep(_POLL_S)
                file = await files.get(name=file.name)
        if file.state == types.FileState.FAILED or not file.uri:
            raise InvalidRequest("gemini: the file cannot be processed", provider=self.provider)
        return file.uri

    async def delete_upload(self, uri: str) -> None:
        """Delete an uploaded file, by its address. One that is gone already is no error."""
        name = uri.rsplit("/", 1)[-1]
        origin = self._account()
        with _gone_is_fine(), _errors(origin), _understood(origin):
            await self._connected.get().sdk.aio.files.delete(name=f"files/{name}")

    async def create_cache(self, req: ChatRequest, ttl_s: float) -> str:
        """Cache system text, tools and messages; the returned name is a later `cache_key`."""
        check_texts(req)
        from google.genai import types

        model, origin = req.model or self.model, self._origin(req)
        body = prompt_body(req, profile(model)).json
        with _errors(origin), _understood(origin):
            cache = await self._connected.get().sdk.aio.caches.create(
                model=model,
                config=types.CreateCachedContentConfig(
                    ttl=f"{ttl_s:g}s", http_options=types.HttpOptions(extra_body=body)
                ),
            )
        if not cache.name:
            raise interrupted(origin, "the answer names no cache")
        counted = cache.usage_metadata.total_token_count if cache.usage_metadata else None
        return CacheName(cache.name, counted)

    async def delete_cache(self, name: str) -> None:
        """Delete a cache. One that is gone already is no error."""
        if not name.startswith(CACHE_PREFIX):
            raise InvalidRequest(
                f"gemini: a cache's name begins with {CACHE_PREFIX}",
                provider=self.provider,
                sent=False,
            )
        origin = self._account()
        with _gone_is_fine(), _errors(origin), _understood(origin):
            await self._connected.get().sdk.aio.caches.delete(name=name)

    async def aclose(self) -> None:
        """Close this event loop's connections. Safe to call twice."""
        await self._connected.aclose()

    def _account(self) -> Origin:
        return Origin(provider=self.provider, key_vars=KEYS, url_var=URLS[0], secrets=(self._key,))

    def _origin(self, req: ChatRequest) -> Origin:
        return replace(self._account(), model=req.model or self.model, private=prompt_texts(req))


class _Connected(NamedTuple):
    """The SDK's client, and the HTTP client under it, which the SDK does not close."""

    sdk: "genai.Client"
    wire: WireClient


async def _close(connected: _Connected) -> None:
    await connected.sdk.aio.aclose()
    connected.sdk.close()
    await connected.wire.aclose()


@contextlib.contextmanager
def _errors(origin: Origin) -> Iterator[None]:
    """Turn what the wire raises before a stream begins into `providers.exceptions`."""
    try:
        yield
    except Refused as refused:
        response = refused.response
        raise error_from_response(
            origin, response.status_code, response.headers, refused.body
        ) from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise error_from_transport(origin, error, started=False) from None


@contextlib.contextmanager
def _understood(origin: Origin) -> Iterator[None]:
    """The SDK raises plain ValueError and KeyError for answers of a wrong shape."""
    try:
        yield
    except (ValueError, KeyError) as error:
        raise interrupted(
            origin, f"the answer is not of the shape that it should have ({type(error).__name__})"
        ) from None


@contextlib.contextmanager
def _gone_is_fine() -> Iterator[None]:
    """What does not exist is answered with 404, files with 403."""
    try:
        yield
    except ProviderError as error:
        if error.status not in (403, 404):
            raise
