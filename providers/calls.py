"""In-process helpers of seed 001: one request, with retry, with fallback.

They are for callers without a durable run (which has its own retries, fallbacks and budget). A
retry repeats the whole call; a fallback happens only before the first visible text, so that
nobody reads an answer twice.
"""

import asyncio
import builtins
from collections.abc import Awaitable, Callable

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
)

from contracts.messages import ChatRequest
from providers.candidates import request_capabilities
from providers.exceptions import ProviderError, RouterError, TimeoutError
from providers.router import PersonaRouter
from providers.spi import LLMClient

ATTEMPTS = 3
MIN_WAIT_S = 4.0
MAX_WAIT_S = 10.0

LONGEST_RETRY_AFTER_S = 60.0
"""A provider that asks for a longer wait is not waited for: its error is raised."""

Sleep = Callable[[float], Awaitable[None]]


async def execute_request(
    client: LLMClient, request: ChatRequest, timeout: float | None = 600
) -> str:
    """Return the answer's text. `timeout` is in seconds, for the whole call.

    Raises what the client raises, with the text so far in `partial_text`.
    """
    return (await client.chat(request, timeout=timeout)).text


async def execute_with_retry(
    client: LLMClient,
    request: ChatRequest,
    *,
    attempts: int = ATTEMPTS,
    timeout: float | None = 600,
    sleep: Sleep = asyncio.sleep,
) -> str:
    """Return the answer's text, after at most `attempts` calls.

    Waits 1·2ⁿ seconds between them, clipped to 4…10; a provider's longer Retry-After counts
    instead. Retries timeouts and provider errors that may pass; the last error is raised as it
    is. What a second try would not change (a key, the request, the policy) is raised at once.
    """
    retrying = AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=_wait,
        retry=retry_if_exception(_may_pass),
        sleep=sleep,
        reraise=True,
    )
    return await retrying(execute_request, client, request, timeout)


async def execute_with_fallback(
    persona: str,
    request: ChatRequest,
    router: PersonaRouter | None = None,
    timeout: float | None = 600,
) -> str:
    """Return the answer of the persona's provider, else that of `{persona}_openai`'s.

    The fallback is asked only where the first failed before its first visible text; an answer
    that broke off is raised with its `partial_text`. Without a usable fallback the first
    provider's error is raised. Raises `PersonaNotFoundError` for an unknown persona.
    """
    router = router or PersonaRouter()
    try:
        return await execute_request(_client(router, persona, request), request, timeout)
    except (ProviderError, TimeoutError) as error:
        if error.partial_text:
            raise
        original = error
    try:
        fallback = _client(router, f"{persona}_openai", request)
    except (RouterError, ProviderError):
        raise original from original.__cause__
    try:
        return await execute_request(fallback, request, timeout)
    except (ProviderError, TimeoutError) as error:
        raise error from original


def _client(router: PersonaRouter, persona: str, request: ChatRequest) -> LLMClient:
    """Return the persona's client; where the request needs more than text, one that has it."""
    if request_capabilities(request):
        return router.get_client(persona, request)
    return router.get_client(persona)


_backoff = wait_exponential(multiplier=1, min=MIN_WAIT_S, max=MAX_WAIT_S)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(_backoff(state), getattr(error, "retry_after", None) or 0.0)


def _may_pass(error: BaseException) -> bool:
    """Tell whether a second try may end otherwise. A plain `ProviderError` says nothing: yes."""
    if isinstance(error, ProviderError):
        unclear = type(error) is ProviderError and error.sent
        soon = (error.retry_after or 0.0) <= LONGEST_RETRY_AFTER_S
        return (error.retryable or unclear) and soon
    return isinstance(error, builtins.TimeoutError | ConnectionError)
