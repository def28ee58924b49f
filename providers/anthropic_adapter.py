"""Claude by Anthropic's Messages API.

Promise: see `providers.spi`. One call is one request; the SDK's own retries are off.

Strategy: the SDK authenticates and sends; the response's bytes are read by `providers.reading`
and understood by `providers.anthropic_messages`. The whole body is written by
`providers.anthropic_request` and handed over as `extra_body`, since the SDK has no parameters for
sampling and would print warnings about model names.

The SDK takes a second to import. That happens when the first client is made, or before that in
`warm()`, which a worker calls at its start: never within a call.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeVar

import httpx2

from contracts.messages import ChatChunk, ChatRequest
from providers.anthropic_messages import VENDOR, MessagesParser
from providers.anthropic_profile import profile
from providers.anthropic_request import Json, MessagesBody, messages_body
from providers.bodies import body_of
from providers.exceptions import InvalidRequest, ProviderError
from providers.http_errors import (
    Origin,
    error_from_response,
    error_from_transport,
    interrupted,
)
from providers.keys import find_key, find_url, is_loopback, missing_key
from providers.loops import PerLoop
from providers.network import by_own_sockets
from providers.prefixes import prefix_key
from providers.prompt_texts import prompt_texts
from providers.reading import Answer, read_stream
from providers.refusals import bound_refusal
from providers.requests import check_texts
from providers.sdk_logs import hush_sdks
from providers.settings import checked_count, checked_model, checked_timeout
from providers.spi import LLMClient
from providers.stops import StopCutter
from providers.tls import tls_context

if TYPE_CHECKING:
    import anthropic

KEYS = ("EP_ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY")
URLS = ("EP_ANTHROPIC_BASE_URL", "ANTHROPIC_BASE_URL")
OWN_URL = "https://api.anthropic.com"

SILENCE_S = 600.0
"""Seconds without a byte after which a connection counts as dead, whatever the caller's clocks."""

T = TypeVar("T")

_COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config")


def warm() -> None:
    """Import the SDK with the resources used here: a second that no call has to wait for."""
    import anthropic
    import anthropic.resources.files
    import anthropic.resources.messages  # noqa: F401

    hush_sdks()
    tls_context()


class AnthropicClient(LLMClient):
    """Client of Anthropic's API.

    `api_key` and `base_url` come from EP_ANTHROPIC_API_KEY / ANTHROPIC_API_KEY and
    EP_ANTHROPIC_BASE_URL / ANTHROPIC_BASE_URL where not given; a server on this machine needs no
    key. `timeout`: seconds for a whole call where `chat` is not told. `connections`: as many as
    calls at once.

    Raises `AuthenticationFailed` without a key, `ValueError` for a key or address that cannot be.
    """

    provider: ClassVar[str] = VENDOR
    resends_prefix: ClassVar[bool] = True

    def __init__(
        self,
        model: str = "claude-sonnet-4-5",
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
        self._clients: PerLoop[anthropic.AsyncAnthropic] = PerLoop(
            self._make, lambda client: client.close()
        )

    def _make(self) -> "anthropic.AsyncAnthropic":
        import anthropic

        timeout = httpx2.Timeout(SILENCE_S, connect=10.0, write=60.0, pool=30.0)
        return anthropic.AsyncAnthropic(
            api_key=self._key,
            base_url=self._url,
            max_retries=0,
            timeout=timeout,
            open_telemetry=False,
            http_client=by_own_sockets(
                httpx2.AsyncClient(
                    verify=tls_context(),
                    timeout=timeout,
                    limits=httpx2.Limits(
                        max_connections=self._connections, max_keepalive_connections=100
                    ),
                    # A redirect would be a second request, and a proxy does not know this machine.
                    follow_redirects=False,
                    event_hooks={"response": [bound_refusal]},
                    trust_env=not self._loopback,
                )
            ),
        )

    def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Make the request and yield its chunks; `req.model` outranks the client's."""
        return read_stream(partial(self._ask, req))

    async def _ask(self, req: ChatRequest) -> Answer:
        written = self._written(req)
        origin = self._origin(req)
        parser = MessagesParser(origin, written.tool_names, StopCutter(written.stops))
        call = self._clients.get().messages.with_streaming_response.create(
            model="",
            messages=[],
            max_tokens=written.json["max_tokens"],
            stream=True,
            extra_body=written.json,
        )
        with _errors(origin):
            response = (await call.__aenter__()).http_response
        return Answer(body_of(response), parser, origin, response.aclose, tuple(written.notes))

    async def count_tokens(self, req: ChatRequest) -> int:
        """Return the prompt's size in tokens; free of charge."""
        check_texts(req)
        body = self._written(req).json
        counted: Json = {key: body[key] for key in _COUNTED if key in body}
        origin = self._origin(req)
        with _errors(origin):
            counts = await self._clients.get().messages.count_tokens(
                model="", messages=[], extra_body=counted
            )
        return _expected(origin, counts, "input_tokens", int)

    async def upload(self, data: bytes, mime_type: str, name: str) -> str:
        """Upload a file and return its id (`file_…`), to be used in a `FileRefPart`."""
        origin = self._account()
        with _errors(origin):
            file = await self._clients.get().files.upload(file=(name, data, mime_type))
        return _expected(origin, file, "id", str)

    async def delete_upload(self, uri: str) -> None:
        """Delete an uploaded file. One that is gone already is no error."""
        if not uri.startswith("file_"):
            raise InvalidRequest(
                "anthropic: an upload's id begins with file_", provider=self.provider, sent=False
            )
        try:
            with _errors(self._account()):
                await self._clients.get().files.delete(uri)
        except ProviderError as error:
            if error.status != 404:
                raise

    async def create_cache(self, req: ChatRequest, ttl_s: float) -> str:
        """Return a name for this prefix; nothing is sent.

        The vendor caches up to the breakpoints that a request with a `cache_key` has, for five
        minutes from their last use, or an hour where `cache_lasts_s` asks for more: the prefix is
        sent with each of them (`resends_prefix`).
        """
        check_texts(req)
        return prefix_key(req, req.model or self.model)

    async def delete_cache(self, name: str) -> None:
        """Do nothing: the vendor forgets by itself."""

    async def aclose(self) -> None:
        """Close this event loop's connections. Safe to call twice."""
        await self._clients.aclose()

    def _written(self, req: ChatRequest) -> MessagesBody:
        model = req.model or self.model
        return messages_body(req, model, profile(model), _strict_schema)

    def _account(self) -> Origin:
        return Origin(provider=self.provider, key_vars=KEYS, url_var=URLS[0], secrets=(self._key,))

    def _origin(self, req: ChatRequest) -> Origin:
        return replace(self._account(), model=req.model or self.model, private=prompt_texts(req))


@contextlib.contextmanager
def _errors(origin: Origin) -> Iterator[None]:
    """Turn what the SDK raises before a stream begins into `providers.exceptions`."""
    import anthropic

    try:
        yield
    except anthropic.APIStatusError as error:
        response = error.response
        body = response.content if response.is_closed or response.is_stream_consumed else b""
        raise error_from_response(origin, response.status_code, response.headers, body) from None
    except anthropic.APIResponseValidationError:
        raise interrupted(origin, "the answer is not of the shape that it should have") from None
    except (anthropic.APIConnectionError, httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise error_from_transport(origin, error, started=False) from None


def _expected(origin: Origin, answer: object, name: str, kind: type[T]) -> T:
    """Return a field of an answer; the SDK passes on whatever JSON or text a server sends."""
    value = getattr(answer, name, None)
    if not isinstance(value, kind):
        raise interrupted(origin, f"the answer has no {name}")
    return value


def _strict_schema(schema: Json) -> Json:
    """Fit a JSON Schema to what the API accepts, where the SDK can; else leave it to the API."""
    import anthropic

    try:
        return anthropic.transform_schema(schema)
    except (ValueError, TypeError, AssertionError, AttributeError):
        return schema
