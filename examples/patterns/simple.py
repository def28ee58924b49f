"""Pattern 1: a single request, without a context.

python examples/patterns/simple.py "Write hello world" --simulated
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.command import run
from providers.router import PersonaRouter
from providers.spi import ChatRequest, Message


async def simple_request(prompt: str, router: PersonaRouter | None = None) -> str:
    """Execute a simple request."""
    router = router or PersonaRouter()
    client = router.get_client("code_writer")

    request = ChatRequest(
        messages=[Message(role="user", content=prompt)],
        max_tokens=500,
    )

    response = ""
    async for chunk in client.chat(request):
        if chunk.delta_text:
            response += chunk.delta_text

    return response


async def main(router: PersonaRouter, prompt: str) -> None:
    """Print the answer to one prompt."""
    print(await simple_request(prompt, router))


if __name__ == "__main__":
    run(main, prompt="Write hello world")
