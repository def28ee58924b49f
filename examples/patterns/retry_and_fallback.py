"""Retry and fallback, written out and as helpers.

A run of a team (`starter.py run`) needs neither: there every attempt is recorded, and paid once.

python examples/patterns/retry_and_fallback.py "Hello" --simulated
"""

import sys
from pathlib import Path

from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.command import run
from providers.calls import execute_request, execute_with_fallback, execute_with_retry
from providers.exceptions import ProviderError, TimeoutError
from providers.router import PersonaRouter
from providers.spi import ChatRequest, LLMClient, Message


@retry(
    stop=stop_after_attempt(3),
    wait=wait_exponential(multiplier=1, min=4, max=10),
    retry=retry_if_exception_type((ProviderError, TimeoutError)),
    reraise=True,
)
async def retried_by_hand(client: LLMClient, request: ChatRequest) -> str:
    """Execute request with automatic retry.

    `execute_with_retry` does the same, and neither retries what cannot pass (a wrong key, a
    refused request) nor comes back before the time that the provider asked for.
    """
    response = ""
    async for chunk in client.chat(request):
        if chunk.delta_text:
            response += chunk.delta_text
    return response


async def fallback_by_hand(
    persona: str, request: ChatRequest, router: PersonaRouter | None = None
) -> str:
    """Execute with fallback to alternative provider.

    `execute_with_fallback` does the same, but does not answer again what was half answered, and
    raises the first provider's error where there is no usable fallback.
    """
    router = router or PersonaRouter()

    # Primary provider
    try:
        client = router.get_client(persona)
        response = ""
        async for chunk in client.chat(request):
            if chunk.delta_text:
                response += chunk.delta_text
        return response
    except ProviderError:
        # Fallback to OpenAI
        fallback_persona = f"{persona}_openai"
        client = router.get_client(fallback_persona)
        response = ""
        async for chunk in client.chat(request):
            if chunk.delta_text:
                response += chunk.delta_text
        return response


async def resilient(persona: str, request: ChatRequest, router: PersonaRouter | None = None) -> str:
    """One request with more time, then with other providers."""
    router = router or PersonaRouter()
    client = router.get_client(persona)
    try:
        return await execute_request(client, request)
    except TimeoutError:
        # Retry with longer timeout
        return await execute_request(client, request, timeout=1200)
    except ProviderError as e:
        print(f"Provider error: {e}", file=sys.stderr)
        return await execute_with_fallback(persona, request, router)


async def main(router: PersonaRouter, prompt: str) -> None:
    """Print the same request's answer, asked for in each way."""
    request = ChatRequest(messages=[Message(role="user", content=prompt)], max_tokens=200)
    client = router.get_client("code_writer")
    print("by hand:", await retried_by_hand(client, request))
    print("with retry:", await execute_with_retry(client, request))
    print("fallback by hand:", await fallback_by_hand("code_writer", request, router))
    print("with fallback:", await resilient("code_writer", request, router))


if __name__ == "__main__":
    run(main, prompt="Hello")
