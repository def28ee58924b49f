"""Names for prefixes that a vendor caches by itself: the same for the same content. Pure."""

import hashlib
from collections.abc import Iterable, Iterator

from contracts.messages import ChatRequest, Message
from contracts.parts import FileInlinePart, FileRefPart, TextPart

SHORT_LIFE_S = 300.0
"""Anthropic keeps a prefix for so long from its last use on; whoever wants it for longer gets an
hour, and pays more for writing it (platform.claude.com, build-with-claude/prompt-caching)."""


def prefix_key(req: ChatRequest, model: str) -> str:
    """Return the key of a prefix, of 42 characters (OpenAI takes up to 64).

    Not the messages themselves stand in it, only their digest.
    """
    digest = hashlib.sha256()
    for piece in (model, req.system or "", *_texts(req.messages)):
        data = piece.encode() if isinstance(piece, str) else piece
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return f"callboard-{digest.hexdigest()[:32]}"


def _texts(messages: Iterable[Message]) -> Iterator[str | bytes]:
    for message in messages:
        yield message.role
        yield message.content
        for part in message.parts:
            if isinstance(part, TextPart):
                yield part.text
            elif isinstance(part, FileInlinePart):
                yield part.data
            elif isinstance(part, FileRefPart):
                yield part.uri
