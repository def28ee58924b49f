"""Pattern 5: a model that calls a tool, and goes on with its result.

python examples/patterns/tool_calling.py "What's the weather in Paris?" --simulated
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.command import run
from providers.router import PersonaRouter
from providers.spi import ChatReply, ChatRequest, Message, ToolCall, ToolDefinition, ToolParameter

# Define available tools
TOOLS = [
    ToolDefinition(
        name="get_weather",
        description="Get weather for a location",
        parameters=[
            ToolParameter(name="location", type="string", required=True),
            ToolParameter(
                name="units", type="string", required=False, enum=["celsius", "fahrenheit"]
            ),
        ],
    )
]


def get_weather(location: str, units: str = "celsius") -> dict[str, str]:
    """The tool itself; a real one would look out of the window."""
    return {"location": location, "sky": "clear", "temperature": f"21 degrees {units}"}


def execute(call: ToolCall) -> Message:
    """Execute a call and return its result as the message that answers it."""
    if call.arguments_error:
        result: dict[str, str] = {"error": call.arguments_error}
    else:
        result = get_weather(**call.arguments)
    return Message("tool", json.dumps(result), name=call.name, tool_call_id=call.id)


async def tool_calling_example(
    question: str = "What's the weather in Paris?", router: PersonaRouter | None = None
) -> ChatReply:
    """Execute request with tool definitions."""
    router = router or PersonaRouter()
    messages = [Message(role="user", content=question)]
    request = ChatRequest(messages=messages, tools=TOOLS, max_tokens=200)

    # Given the request, the router passes over providers that cannot call tools.
    client = router.get_client("code_writer", request)

    async with client.chat(request) as stream:
        async for chunk in stream:
            if chunk.tool_call:
                print(f"Tool called: {chunk.tool_call.name}")
                print(f"Arguments: {chunk.tool_call.arguments}")
            if chunk.delta_text:
                print(chunk.delta_text, end="")

    # The assistant's turn (its calls and the vendor's own state included) and the results of its
    # calls belong to the conversation.
    messages.append(
        Message(
            role="assistant",
            content=stream.text,
            tool_calls=tuple(stream.tool_calls),
            vendor_state=stream.vendor_state,
        )
    )
    messages += [execute(call) for call in stream.tool_calls]
    return await client.chat(ChatRequest(messages=messages, tools=TOOLS, max_tokens=200))


async def main(router: PersonaRouter, question: str) -> None:
    """Print the calls and the answer."""
    reply = await tool_calling_example(question, router)
    print(reply.text)


if __name__ == "__main__":
    run(main, question="What's the weather in Paris?")
