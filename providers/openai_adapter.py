"""OpenAI, and every server that speaks its API (seed 000).

Promise: see `providers.spi`. One call is one request; the SDK's own retries are off.

Strategy: the SDK authenticates and sends; the response's bytes are read by `providers.reading`
(the SDK's own stream costs seven times as much), understood by a pure parser per API. Responses
is used at OpenAI's own address, Chat Completions everywhere else, unless `api` says otherwise.

The SDK loads its parts when they are first touched; the imports below touch them, so that it
happens when a worker starts (`registry.warm`) and not within its first call.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import httpx2
import openai
import openai.resources.chat.chat
import openai.resources.chat.completions.completions
import openai.resources.files
import openai.resources.responses.responses

from contracts.messages import ChatChunk, ChatRequest
from providers.bodies import body_of
from providers.exceptions import InvalidRequest, ProviderError, TimeoutError
from providers.http_errors import (
    Origin,
    error_from_response,
    error_from_transport,
    interrupted,
)
from providers.keys import find_key, find_url, is_loopback, missing_key
from providers.loops import PerLoop
from providers.network import by_own_sockets
from providers.openai_chat import ChatParser
from providers.openai_content import texts
from providers.openai_profile import Api, endpoint, only_chats
from providers.openai_requests import chat_body, responses_body
from providers.openai_responses import ResponsesParser
from providers.prefixes import prefix_key
from providers.reading import Answer, EventParser, read_stream
from providers.refusals import bound_refusal
from providers.requests import check_texts
from providers.sdk_logs import hush_sdks
from providers.settings import checked_count, checked_model, checked_timeout
from providers.spi import LLMClient
from providers.stops import StopCutter
from providers.tls import tls_context

KEYS = ("EP_OPENAI_API_KEY", "OPENAI_API_KEY")
URLS = ("EP_OPENAI_BASE_URL", "OPENAI_BASE_URL")

SILENCE_S = 600.0
"""Seconds without a byte after which a connection counts as dead, whatever the caller's clocks."""


def warm() -> None:
    """Read the certificates; the SDK is there with this module."""
    tls_context()


class OpenAIClient(LLMClient):
    """Client of OpenAI's API.

    `api_key` and `base_url` come from EP_OPENAI_API_KEY / OPENAI_API_KEY and EP_OPENAI_BASE_URL /
    OPENAI_BASE_URL where not given; a server on this machine needs no key. `timeout`: seconds for
    a whole call where `chat` is not told. `api`: "responses" or "chat". `background`: the vendor
    keeps the answer, so that `resume` can take it up again after a broken connection (Responses
    only; otherwise nothing is stored there). `connections`: as many as calls at once.

    Raises `AuthenticationFailed` without a key, `ValueError` for a key, address or api that
    cannot be.
    """

    provider: ClassVar[str] = "openai"
    resends_prefix: ClassVar[bool] = True

    def __init__(
        self,
        model: str = "gpt-4",
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
        api: Api | None = None,
        background: bool = False,
        connections: int = 1000,
    ) -> None:
        self.model = checked_model(model)
        self.timeout = checked_timeout(timeout)
        self._endpoint = endpoint(find_url(base_url, URLS))
        self._loopback = is_loopback(self._endpoint.url)
        key = find_key(api_key, KEYS, self.provider)
        if key is None and not self._loopback:
            raise missing_key(KEYS, self.provider)
        self._key = key or "none"
        self.api = api or self._endpoint.api
        self._chosen = api is not None
        # Chat Completions takes no pictures by id, and most other servers keep no files.
        self.lacks = frozenset({"uploads"} if self.api == "chat" else ())
        if self.api not in ("chat", "responses"):
            raise ValueError(f"api must be 'chat' or 'responses', not {api!r}")
        if background and self.api != "responses":
            raise ValueError("background works with api='responses' only")
        self.background = background
        self._connections = checked_count("connections", connections)
        hush_sdks()
        tls_context()
        self._clients: PerLoop[openai.AsyncOpenAI] = PerLoop(self._make, openai.AsyncOpenAI.close)

    def _make(self) -> openai.AsyncOpenAI:
        timeout = httpx2.Timeout(SILENCE_S, connect=10.0, write=60.0, pool=30.0)
        return openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._endpoint.url,
            max_retries=0,
            timeout=timeout,
            http_client=by_own_sockets(
                httpx2.AsyncClient(
                    timeout=timeout,
                    limits=httpx2.Limits(
                        max_connections=self._connections, max_keepalive_connections=100
                    ),
                    # A redirect would be a second request, and a proxy does not know this machine.
                    follow_redirects=False,
                    event_hooks={"response": [bound_refusal]},
                    trust_env=not self._loopback,
                    verify=tls_context(),
                )
            ),
        )

    def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Make the request and yield its chunks; `req.model` outranks the client's."""
        return read_stream(partial(self._ask, req))

    def _api_for(self, model: str) -> Api:
        """Return the API that a model is asked by, where nobody has chosen one."""
        return "chat" if not self._chosen and only_chats(model) else self.api

    async def _ask(self, req: ChatRequest) -> Answer:
        model = req.model or self.model
        origin = self._origin(req, model)
        client: Any = self._clients.get()
        parser: EventParser
        if self._api_for(model) == "chat":
            written = chat_body(req, model, self._endpoint)
            parser = ChatParser(origin, StopCutter(written.cut))
            create = client.chat.completions.with_streaming_response.create
            create = partial(create, model="", messages=[])
        else:
            written = responses_body(req, model, self._endpoint, self.background)
            parser = ResponsesParser(origin, StopCutter(written.cut))
            create = client.responses.with_streaming_response.create
        # As `extra_body`: in its own parameters the SDK would look for keys to rename, in the
        # whole conversation, and find none.
        response = await _sent(create(stream=True, extra_body=written.body), origin)
        return Answer(body_of(response), parser, origin, response.aclose, tuple(written.notes))

    def resume(self, req: ChatRequest, response_id: str, after: int) -> AsyncIterator[ChatChunk]:
        """Yield what follows event number `after` of a background response (`ChatChunk.sequence`).

        Costs nothing more: the vendor went on writing while nobody listened.
        """
        if not self.background:
            raise InvalidRequest(
                "openai: only responses made with background=True can be resumed",
                provider=self.provider,
                sent=False,
            )
        return read_stream(partial(self._ask_for_rest, req, response_id, after))

    async def _ask_for_rest(self, req: ChatRequest, response_id: str, after: int) -> Answer:
        origin = self._origin(req, req.model or self.model)
        parser = ResponsesParser(origin, StopCutter(req.stop), resumed=True)
        client: Any = self._clients.get()
        call = client.responses.with_streaming_response.retrieve(
            response_id, stream=True, starting_after=after, include_obfuscation=False
        )
        response = await _sent(call, origin)
        return Answer(body_of(response), parser, origin, response.aclose)

    async def upload(self, data: bytes, mime_type: str, name: str) -> str:
        """Upload a file and return its id, to be used in a `FileRefPart`."""
        files = self._clients.get().files
        origin = self._account()
        with _errors(origin):
            file = await files.create(file=(name, data, mime_type), purpose="user_data")
        found = getattr(file, "id", None)  # the SDK passes on whatever JSON a server sends
        if not isinstance(found, str) or not found:
            raise interrupted(origin, "the answer names no file")
        return found

    async def delete_upload(self, uri: str) -> None:
        """Delete an uploaded file. One that is gone already is no error."""
        if not uri or "/" in uri or ":" in uri:
            raise InvalidRequest(
                "openai: an upload is named by its id", provider=self.provider, sent=False
            )
        try:
            with _errors(self._account()):
                await self._clients.get().files.delete(uri)
        except ProviderError as error:
            if error.status != 404:
                raise

    async def create_cache(self, req: ChatRequest, ttl_s: float) -> str:
        """Return the key under which the vendor caches this prefix; nothing is sent.

        The vendor caches by itself what requests of one key have in common, and for as long as
        it likes: the prefix is sent with each of them (`resends_prefix`).
        """
        check_texts(req)
        return prefix_key(req, req.model or self.model)

    async def delete_cache(self, name: str) -> None:
        """Do nothing: the vendor forgets by itself."""

    def _account(self) -> Origin:
        return Origin(provider=self.provider, key_vars=KEYS, url_var=URLS[0], secrets=(self._key,))

    def _origin(self, req: ChatRequest, model: str) -> Origin:
        return replace(
            self._account(), model=model, private=(req.system or "", *texts(req.messages))
        )

    async def aclose(self) -> None:
        """Close this event loop's connections. Safe to call twice."""
        await self._clients.aclose()


async def _sent(call: Any, origin: Origin) -> httpx2.Response:
    """Send a call of the SDK's; return the response, whose body is still to come."""
    try:
        response: httpx2.Response = (await call.__aenter__()).http_response
    except openai.APIStatusError as error:
        raise await _refused(origin, error) from None
    except (openai.APIConnectionError, httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise error_from_transport(origin, error, started=False) from None
    return response


async def _refused(origin: Origin, error: openai.APIStatusError) -> ProviderError | TimeoutError:
    """The error for a status that is no success; the SDK has read the body by then."""
    response = error.response
    try:
        body = await response.aread()
    except (httpx2.HTTPError, httpx2.StreamError):
        body = b""
    return error_from_response(origin, response.status_code, response.headers, body)


@contextlib.contextmanager
def _errors(origin: Origin) -> Iterator[None]:
    """Turn what the SDK raises for a call without a stream into `providers.exceptions`."""
    try:
        yield
    except openai.APIStatusError as error:
        response = error.response
        raise error_from_response(
            origin, response.status_code, response.headers, response.content
        ) from None
    except (openai.APIConnectionError, httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise error_from_transport(origin, error, started=False) from None
    except (openai.APIError, ValueError) as error:
        shape = f"the answer is not of the shape that it should have ({type(error).__name__})"
        raise interrupted(origin, shape) from None
