"""Nothing that the provider layer shows holds a key or a prompt.

Searched: every error over every fault (text, repr, fields, traceback), every log line at DEBUG of
every logger, and the reprs of clients, requests, streams, settings. The vendor's own messages
quote both the key and the prompt back at us.
"""

import contextlib
import logging
import traceback
from collections.abc import AsyncIterator, Iterator

import pytest

from config.settings import load_settings
from contracts.parts import FileInlinePart, TextPart
from providers import registry
from providers.exceptions import ExecutionPlatformError, Unavailable
from providers.http_errors import Origin
from providers.router import PersonaRouter
from providers.spi import ChatRequest, LLMClient, Message, Timeouts, ToolDefinition, ToolParameter
from tests.providers.adapters import ADAPTERS, KEY, Adapter
from tests.providers.faults import FAULTS
from tests.wire.server import Reply, WireServer, closed_port

pytestmark = pytest.mark.integration

PROMPT = "My bank's PIN is 4711, and my dog is called Rex."
SYSTEM = "You are the secret advisor of the house of Orange."
DESCRIPTION = "Looks up what the neighbours in the blue house earn."
PASSWORD = "pass-word-of-the-gateway"
SECRETS = (KEY, PROMPT, SYSTEM, DESCRIPTION, PASSWORD)
QUOTED = f"bad key {KEY} for: {SYSTEM} {PROMPT}"
SDK_LOGGERS = ("openai", "anthropic", "google_genai", "httpx2", "httpcore2")
CLOCKS = Timeouts(first_token=2, idle=2, total=10)

BY_NAME = [pytest.param(adapter, id=adapter.name.replace(" ", "_")) for adapter in ADAPTERS]


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Log at DEBUG, as OPENAI_LOG=debug and a verbose program would."""
    levels = {name: logging.getLogger(name).level for name in SDK_LOGGERS}
    for name in SDK_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def request() -> ChatRequest:
    return ChatRequest(
        [
            Message("user", PROMPT, parts=(TextPart(text=SYSTEM),)),
            Message("assistant", "Tell me more."),
            Message("user", PROMPT),
        ],
        system=SYSTEM,
        tools=[ToolDefinition("lookup", DESCRIPTION, [ToolParameter("a", "string", DESCRIPTION)])],
        max_tokens=50,
    )


@contextlib.asynccontextmanager
async def connected(adapter: Adapter, url: str) -> AsyncIterator[LLMClient]:
    client = adapter.client(url)
    try:
        yield client
    finally:
        await client.aclose()


async def failed(client: LLMClient) -> str:
    """Return all that can be seen of the error that a call ends with."""
    stream = client.open(request(), CLOCKS)
    with pytest.raises(ExecutionPlatformError) as caught:
        await stream
    error = caught.value
    seen = ["".join(traceback.format_exception(error)), repr(vars(error))]
    below: BaseException | None = error
    while below is not None:  # as those who report errors walk down
        seen += [str(below), repr(below)]
        below = below.__cause__ or (None if below.__suppress_context__ else below.__context__)
    return "\n".join([*seen, repr(stream), repr(client)])


def assert_quiet(shown: str, caplog: pytest.LogCaptureFixture) -> None:
    lines = [f"{record.name}: {record.getMessage()}" for record in caplog.records]
    for text in (shown, *lines):
        for secret in SECRETS:
            assert secret not in text, text[:500]


@pytest.mark.parametrize("adapter", BY_NAME)
async def test_no_fault_shows_a_secret(adapter: Adapter, caplog: pytest.LogCaptureFixture) -> None:
    faults = [fault for fault in FAULTS if fault.applies(adapter.api) and not fault.clock]
    assert len(faults) > 30
    for fault in faults:
        caplog.clear()
        async with (
            WireServer(fault.make(adapter.dialect, QUOTED)) as server,
            connected(adapter, server.url) as client,
        ):
            assert_quiet(await failed(client), caplog)


@pytest.mark.parametrize("adapter", BY_NAME)
async def test_no_answer_shows_a_secret(adapter: Adapter, caplog: pytest.LogCaptureFixture) -> None:
    reply = Reply.stream(adapter.dialect.answer().events)
    async with WireServer(reply) as server:
        url = server.url.replace("//", f"//user:{PASSWORD}@")
        async with connected(adapter, url) as client:
            answered = await client.open(request(), CLOCKS)
        body = server.requests[0].body.decode()
    assert "\"My bank's PIN" in body
    assert_quiet(repr(answered) + repr(client), caplog)


@pytest.mark.parametrize("adapter", BY_NAME)
async def test_no_broken_connection_shows_a_secret(
    adapter: Adapter, caplog: pytest.LogCaptureFixture
) -> None:
    async with closed_port() as url:
        for address in (
            url.replace("//", f"//user:{PASSWORD}@"),
            f"http://user:{PASSWORD}@host.invalid",
        ):
            async with connected(adapter, address) as client:
                assert_quiet(await failed(client), caplog)


def test_no_repr_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor in registry.VENDORS.values():
        for variable in vendor.keys:
            monkeypatch.setenv(variable, KEY)
    router = PersonaRouter()
    shown = [
        router,
        router.get_client("qa_engineer"),
        *(registry.availability(name) for name in registry.names()),
        *(registry.create(name, "m") for name in ("openai", "anthropic", "gemini", "simulated")),
        *registry.VENDORS.values(),
        Origin("openai", secrets=(KEY,), private=(PROMPT,)),
        load_settings(None),
        request(),
        *request().messages,
        *(request().tools or ()),
        FileInlinePart(data=PROMPT.encode(), mime_type="text/plain"),
    ]
    for value in shown:
        for secret in SECRETS:
            assert secret not in repr(value)
            assert secret not in str(value)


def test_no_malformed_key_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    broken = f"{KEY[:10]} {KEY[10:]}\n"
    for name in ("openai", "anthropic", "gemini"):
        vendor = registry.VENDORS[name]
        with pytest.raises(Unavailable) as caught:
            registry.create(name, "m", env={vendor.keys[0]: broken})
        shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
        assert KEY[:10] not in shown
        assert KEY[10:] not in shown
    assert_quiet("", caplog)


def test_the_search_finds_what_it_looks_for(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("some.where").debug("asked: %s", PROMPT)
    with pytest.raises(AssertionError):
        assert_quiet("", caplog)
    with pytest.raises(AssertionError):
        assert_quiet(f"the key {KEY}", caplog)
