"""Pattern 2: a conversation that keeps its context. "exit" or the end of input leaves it.

python examples/patterns/conversation.py architect --simulated
"""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.command import run
from providers.router import PersonaRouter
from providers.spi import ChatRequest, Message


async def conversation(
    persona: str,
    router: PersonaRouter | None = None,
    ask: Callable[[str], str] = input,
) -> list[Message]:
    """Multi-turn conversation with context; returns all its messages."""
    router = router or PersonaRouter()
    client = router.get_client(persona)
    messages: list[Message] = []

    while True:
        try:
            user_input = ask("You: ")
        except EOFError:
            break
        if user_input.lower() == "exit":
            break
        if not user_input.strip():
            continue

        # Add user message
        messages.append(Message(role="user", content=user_input))

        # Get response
        request = ChatRequest(messages=messages, max_tokens=500)
        response = ""

        async for chunk in client.chat(request):
            if chunk.delta_text:
                response += chunk.delta_text
                print(chunk.delta_text, end="", flush=True)

        print()  # New line

        # Add assistant response to context
        messages.append(Message(role="assistant", content=response))

    return messages


async def two_turns(router: PersonaRouter | None = None) -> str:
    """The same with two turns that are known beforehand."""
    router = router or PersonaRouter()
    client = router.get_client("architect")
    messages = []

    # Turn 1
    messages.append(Message(role="user", content="Design a REST API"))
    reply = await client.chat(ChatRequest(messages=messages, max_tokens=500))
    messages.append(reply.message)

    # Turn 2 (with context)
    messages.append(Message(role="user", content="Add authentication"))
    reply = await client.chat(ChatRequest(messages=messages, max_tokens=500))
    return reply.text


async def main(router: PersonaRouter, persona: str) -> None:
    """Talk to a persona."""
    await conversation(persona, router)


if __name__ == "__main__":
    run(main, persona="architect")
