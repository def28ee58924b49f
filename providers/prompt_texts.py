"""Every text of a request that is a caller's own: what an error's message must not quote."""

from contracts.messages import ChatRequest
from contracts.parts import TextPart


def prompt_texts(req: ChatRequest) -> tuple[str, ...]:
    """Return system text, messages, text parts and tool calls' arguments."""
    found = [req.system or ""]
    for message in req.messages:
        found.append(message.content)
        found += [part.text for part in message.parts if isinstance(part, TextPart)]
        found += [call.raw_arguments for call in message.tool_calls]
    return tuple(text for text in found if text)
