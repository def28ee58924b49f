"""How the suites that run with every adapter ask: one question, patiently or not."""

import contextlib
import traceback
from collections.abc import AsyncIterator

import pytest

from providers.spi import ChatRequest, ChatStream, LLMClient, Message, Timeouts
from tests.providers.adapters import ADAPTERS, KEY, Adapter

PROMPT = "What is the secret number of the lighthouse keeper's daughter?"
PATIENT = Timeouts(first_token=60, idle=60, total=60)

ALL = [pytest.param(adapter, id=adapter.name.replace(" ", "_")) for adapter in ADAPTERS]


@contextlib.asynccontextmanager
async def connected(adapter: Adapter, url: str) -> AsyncIterator[LLMClient]:
    client = adapter.client(url)
    try:
        yield client
    finally:
        await client.aclose()


def ask(client: LLMClient, timeouts: Timeouts = PATIENT) -> ChatStream:
    return client.open(ChatRequest([Message("user", PROMPT)], max_tokens=100), timeouts)


def assert_keeps_secrets(error: BaseException) -> None:
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    assert KEY not in shown
    assert PROMPT not in shown
