"""The same answer read in two ways: by a vendor's own SDK, and by our adapter.

Both send the same question and take the answer's pieces of text, as any caller would. Bare bytes
by the HTTP client under both of them are the floor.
"""

import importlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2

KEY = "benchmark"
CONNECTIONS = 1100
QUESTION = "Read the licence and say what it grants, to whom, and what it costs them."

_LIMITS = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=100)


Texts = Callable[[str], AsyncIterator[str]]
"""From a model's name to the pieces of its answer."""

Close = Callable[[], Awaitable[object]]
Way = Callable[[str], tuple[Texts, Close]]
"""From the vendor's address to a client: how it streams, and how it is closed."""


@dataclass
class Reading:
    """What one stream gave, and when: seconds of wall time, seconds of this process's CPU."""

    text: str
    first_s: float
    total_s: float
    cpu_s: float
    """From the first piece of text to the end."""


async def read(texts: Texts, model: str) -> Reading:
    """Read one answer with a watch in hand."""
    found: list[str] = []
    started = time.perf_counter()
    first = cpu = 0.0
    async for text in texts(model):
        if not found:
            first, cpu = time.perf_counter() - started, time.process_time()
        found.append(text)
    spent = time.process_time() - cpu
    return Reading("".join(found), first, time.perf_counter() - started, spent)


def _openai(url: str) -> Any:
    import openai

    return openai.AsyncOpenAI(
        api_key=KEY,
        base_url=f"{url}/v1",
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(limits=_LIMITS),
    )


def openai_chat(url: str) -> tuple[Texts, Close]:
    """Chat Completions by the SDK."""
    client = _openai(url)

    async def texts(model: str) -> AsyncIterator[str]:
        stream = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return texts, client.close


def openai_responses(url: str) -> tuple[Texts, Close]:
    """Responses by the SDK."""
    client = _openai(url)

    async def texts(model: str) -> AsyncIterator[str]:
        stream = await client.responses.create(model=model, input=QUESTION, stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                yield event.delta

    return texts, client.close


def anthropic(url: str) -> tuple[Texts, Close]:
    """Messages by the SDK."""
    import anthropic as sdk

    client = sdk.AsyncAnthropic(
        api_key=KEY,
        base_url=url,
        max_retries=0,
        http_client=sdk.DefaultAsyncHttpxClient(limits=_LIMITS),
    )

    async def texts(model: str) -> AsyncIterator[str]:
        stream: Any = await client.messages.create(
            model=model,
            messages=[{"role": "user", "content": QUESTION}],
            max_tokens=4096,
            stream=True,
        )
        async for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                yield event.delta.text

    return texts, client.close


def gemini(url: str) -> tuple[Texts, Close]:
    """streamGenerateContent by the SDK."""
    from google import genai
    from google.genai import types

    client = genai.Client(
        api_key=KEY,
        vertexai=False,
        http_options=types.HttpOptions(
            base_url=url,
            api_version="v1beta",
            retry_options=types.HttpRetryOptions(attempts=1),
            async_client_args={"limits": _LIMITS},
        ),
    )

    async def texts(model: str) -> AsyncIterator[str]:
        async for chunk in await client.aio.models.generate_content_stream(
            model=model, contents=QUESTION
        ):
            if chunk.text:
                yield chunk.text

    return texts, client.aio.aclose


def bare_bytes(url: str) -> tuple[Texts, Close]:
    """Chat Completions as bytes: what reading from the socket takes, understanding nothing."""
    client = httpx2.AsyncClient(timeout=600, limits=_LIMITS, trust_env=False)

    async def texts(model: str) -> AsyncIterator[str]:
        body = {"model": model}
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
            async for _ in response.aiter_bytes():
                yield ""

    return texts, client.aclose


def adapter(module: str, name: str, path: str = "", **options: Any) -> Way:
    """Return how one of our adapters is opened."""

    def opened(url: str) -> tuple[Texts, Close]:
        from contracts.messages import ChatRequest, Message

        make = getattr(importlib.import_module(f"providers.{module}"), name)
        client = make(api_key=KEY, base_url=url + path, connections=CONNECTIONS, **options)

        async def texts(model: str) -> AsyncIterator[str]:
            # Given away, as the SDKs' callers above give theirs: nobody holds it while it streams.
            chunks = client.chat(ChatRequest([Message("user", QUESTION)], model=model))
            async for chunk in chunks:
                if chunk.delta_text:
                    yield chunk.delta_text

        return texts, client.aclose

    return opened


PAIRS: dict[str, dict[str, Way]] = {
    "openai chat": {
        "sdk": openai_chat,
        "adapter": adapter("openai_adapter", "OpenAIClient", "/v1", api="chat"),
    },
    "openai responses": {
        "sdk": openai_responses,
        "adapter": adapter("openai_adapter", "OpenAIClient", "/v1", api="responses"),
    },
    "anthropic": {
        "sdk": anthropic,
        "adapter": adapter("anthropic_adapter", "AnthropicClient"),
    },
    "gemini": {
        "sdk": gemini,
        "adapter": adapter("gemini_adapter", "GeminiClient"),
    },
}
