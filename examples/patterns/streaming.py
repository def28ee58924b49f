"""Basic usage: print an answer while it is written, then what it took.

python examples/patterns/streaming.py "Design a REST API for user management" --simulated
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.command import run
from providers.router import PersonaRouter
from providers.spi import ChatRequest, Message


async def main(router: PersonaRouter, prompt: str) -> None:
    """Execute a request and stream its response."""
    client = router.get_client("architect")

    request = ChatRequest(
        messages=[Message(role="user", content=prompt)],
        max_tokens=1000,
        temperature=0.7,
    )

    async for chunk in client.chat(request):
        if chunk.delta_text:
            print(chunk.delta_text, end="", flush=True)
        if chunk.finish_reason:
            print(f"\nFinished: {chunk.finish_reason}")
        if chunk.finish_reason and chunk.usage:
            print(f"Tokens used: {chunk.usage.total_tokens}")


if __name__ == "__main__":
    run(main, prompt="Design a REST API for user management")
