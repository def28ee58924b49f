"""Error handling: what can go wrong, by kind, and what to do about it.

python examples/patterns/error_handling.py "Hello" --simulated
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.command import run
from providers.exceptions import (
    ExecutionPlatformError,
    ProviderError,
    RouterError,
    TimeoutError,
)
from providers.router import PersonaRouter
from providers.spi import ChatRequest, LLMClient, Message


async def robust_request(
    prompt: str, router: PersonaRouter | None = None, persona: str = "architect"
) -> str | None:
    """Return an answer, by another provider or with more time where that helps, else None."""
    router = router or PersonaRouter()
    request = ChatRequest(messages=[Message(role="user", content=prompt)], max_tokens=500)

    try:
        client = router.get_client(persona)
        return await collect(client, request)
    except RouterError as e:
        # The persona is unknown, or nobody serves it: the text says what to write where.
        print(f"Routing error: {e}", file=sys.stderr)
        return None
    except ProviderError as e:
        print(f"Provider error: {e}", file=sys.stderr)
        if e.partial_text:
            # Somebody may have read it already: a second answer would be another one.
            return None
        fallback = router.get_client("code_writer_openai")
        return await collect(fallback, request)
    except TimeoutError as e:
        print(f"Timeout: {e}", file=sys.stderr)
        return await collect(client, request, timeout=600)
    except ExecutionPlatformError as e:
        print(f"Platform error: {e}", file=sys.stderr)
        return None


async def collect(client: LLMClient, request: ChatRequest, timeout: float | None = None) -> str:
    """Collect the text of an answer."""
    response = ""
    async for chunk in client.chat(request, timeout=timeout):
        if chunk.delta_text:
            response += chunk.delta_text
    return response


async def main(router: PersonaRouter, prompt: str) -> None:
    """Print the answer, if there is one."""
    answer = await robust_request(prompt, router)
    if answer is None:
        sys.exit(1)
    print(answer)


if __name__ == "__main__":
    run(main, prompt="Hello")
