"""Uploads and caches of all vendors against a server that refuses, breaks off and answers nonsense.

One call is one request; what can be tried again, and whether the vendor may have done it, is told
by the error. Gemini's pieces are in `test_gemini_upload`.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from contracts.messages import ChatRequest, Message
from providers.anthropic_adapter import AnthropicClient
from providers.call_failures import call_failure
from providers.exceptions import ProviderError
from providers.gemini_adapter import GeminiClient
from providers.openai_adapter import OpenAIClient
from rules.execution import drops_cache, wait_before_retry
from tests.wire.server import Reply, WireServer

pytestmark = pytest.mark.integration

KEY = "sk-test-0123456789"
CLIENTS: dict[str, Callable[[str], Any]] = {
    "openai": lambda url: OpenAIClient(api_key=KEY, base_url=f"{url}/v1"),
    "anthropic": lambda url: AnthropicClient(api_key=KEY, base_url=url),
    "gemini": lambda url: GeminiClient("gemini-2.5-flash", api_key=KEY, base_url=url),
}
BOOK = ChatRequest([Message("user", "The book")])


def error(status: int, message: str = "no", **headers: str) -> Reply:
    body = {"error": {"message": message, "code": status, "type": "x"}}
    return Reply.error(status, json.dumps(body).encode(), headers)


FAULTS: list[tuple[str, Reply, tuple[str, ...], float | None]] = [
    # what the vendor does, our kinds of it, seconds until it is tried again (None: never)
    ("reset", Reply(silent=True, end="reset"), ("Unreachable", "StreamInterrupted"), None),
    ("closed", Reply(silent=True), ("Unreachable", "StreamInterrupted"), None),
    ("500", error(500), ("ServerFailed",), 0.5),
    ("503", error(503), ("Overloaded", "ServerFailed"), 0.5),
    ("429", error(429, **{"retry-after": "3"}), ("RateLimited",), 3.0),
    ("400", error(400, "not that type"), ("InvalidRequest",), None),
    ("413", error(413, "too large"), ("InvalidRequest",), None),
    ("401", error(401), ("AuthenticationFailed",), None),
]


async def failing(vendor: str, reply: Reply, act: Callable[[Any], Any]) -> tuple[Any, int]:
    """Return the failure that an act ends with, as executions see it, and the requests made."""
    async with WireServer(reply) as server:
        client = CLIENTS[vendor](server.url)
        with pytest.raises(ProviderError) as caught:
            await act(client)
        await client.aclose()
    assert KEY not in str(caught.value)
    return call_failure(caught.value, vendor, "m"), len(server.requests)


@pytest.mark.parametrize(
    ("reply", "kinds", "wait"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
@pytest.mark.parametrize("vendor", CLIENTS)
async def test_B30_an_upload_is_tried_again_only_where_the_vendor_surely_did_not_do_it(
    vendor: str, reply: Reply, kinds: tuple[str, ...], wait: float | None
) -> None:
    failure, requests = await failing(
        vendor, reply, lambda client: client.upload(b"x" * 1_000, "application/pdf", "a.pdf")
    )
    assert failure.kind in kinds
    assert requests == 1
    assert wait_before_retry(failure, 1, 0.0, 0.0, creates=True) == wait


@pytest.mark.parametrize(
    ("reply", "kinds", "wait"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
async def test_B30_a_cache_is_made_again_only_where_the_vendor_surely_did_not_make_it(
    reply: Reply, kinds: tuple[str, ...], wait: float | None
) -> None:
    failure, requests = await failing(
        "gemini", reply, lambda client: client.create_cache(BOOK, 300)
    )
    assert failure.kind in kinds
    assert requests == 1
    assert wait_before_retry(failure, 1, 0.0, 0.0, creates=True) == wait


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
async def test_a_cached_prefix_needs_no_request(vendor: str) -> None:
    async with WireServer(error(500)) as server:
        client = CLIENTS[vendor](server.url)
        name = await client.create_cache(BOOK, 300)
        await client.delete_cache(name)
        await client.aclose()
    assert server.requests == []


@pytest.mark.parametrize("status", [403, 404])
async def test_B18_a_cache_that_has_expired_is_worth_a_try_without(status: int) -> None:
    gone = error(status, "CachedContent not found (or permission denied)")
    request = ChatRequest([Message("user", "Why?")], cache_key="cachedContents/abc")
    failure, _ = await failing("gemini", gone, lambda client: client.chat(request))
    assert failure.status == status
    assert drops_cache(failure)


async def test_the_size_of_a_cache_is_told_where_the_vendor_tells_it() -> None:
    body = {"name": "cachedContents/abc", "usageMetadata": {"totalTokenCount": 4_321}}
    reply = Reply((json.dumps(body).encode(),), 200, {"content-type": "application/json"})
    async with WireServer(reply) as server:
        client = CLIENTS["gemini"](server.url)
        name = await client.create_cache(BOOK, 300)
        await client.aclose()
    assert (name, name.tokens) == ("cachedContents/abc", 4_321)


@pytest.mark.parametrize("vendor", CLIENTS)
async def test_B32_what_is_gone_already_is_deleted(vendor: str) -> None:
    uri = {"openai": "file-1", "anthropic": "file_1", "gemini": "https://g.test/v1beta/files/1"}
    status = 403 if vendor == "gemini" else 404
    async with WireServer(error(status)) as server:
        client = CLIENTS[vendor](server.url)
        await client.delete_upload(uri[vendor])
        await client.aclose()
    assert len(server.requests) == 1
