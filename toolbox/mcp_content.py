"""What an MCP server answered, as a tool's result: texts joined, everything else described.

What the model cannot be given as text (images, sounds, blobs) is kept whole as JSON beside it.
"""

from typing import Any

import orjson
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from toolbox.calls import JSON, ToolResult
from toolbox.exceptions import ToolRaised
from toolbox.frames import BODY_BYTES

ERROR_CHARS = 4_000


def result_of(answer: CallToolResult) -> ToolResult:
    """Return the result. Raises ToolRaised where the server says that the tool failed."""
    texts = [_text(block) for block in answer.content]
    text = "\n".join(part for part in texts if part)
    if not text and answer.structured_content is not None:
        text = orjson.dumps(answer.structured_content).decode()
    if answer.is_error:
        raise ToolRaised(text[:ERROR_CHARS] or "the tool failed without saying why")
    if all(isinstance(block, TextContent) for block in answer.content):
        data = text.encode("utf-8", "replace")
        return ToolResult(data[:BODY_BYTES], size=len(data))
    whole = answer.model_dump_json(by_alias=True, exclude_none=True).encode()
    return ToolResult(whole[:BODY_BYTES], JSON, len(whole), text=text)


def _text(block: Any) -> str:
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            return f"({block.mime_type}, {len(block.data) * 3 // 4:,} bytes; it was kept)"
        case ResourceLink():
            return f"{block.name}: {block.uri}"
        case EmbeddedResource():
            inner = block.resource
            if isinstance(inner, TextResourceContents):
                return inner.text
            if isinstance(inner, BlobResourceContents):
                kind = inner.mime_type or "data"
                return f"({kind}, {len(inner.blob) * 3 // 4:,} bytes; it was kept)"
    return f"({type(block).__name__})"
