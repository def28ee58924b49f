"""How many tokens a plan's prompts may have, from the sizes of their parts. Pure.

Texts in most languages have a token for every two to eight bytes; four is usual. What a vendor
makes of a picture, a sound or a document depends on its content, so a plan with files that are
no texts is estimated with little confidence.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from contracts.base import Frozen
from contracts.execution import ExecutionPlan, FilePlaceholder, SourceFile, TokenEstimate
from contracts.execution_parts import Expanding
from contracts.messages import Message
from contracts.parts import FileInlinePart, TextPart

BYTES_A_TOKEN = (8, 4, 2)
"""For the least, the expected and the most tokens of a text."""

MEDIA_TOKENS = (85, 1600, 8000)
"""Of one picture, page or minute, and of a document of unknown length at least."""

_MEDIA_BYTES = 50_000
SURE, UNSURE = 0.9, 0.5


class _Size(NamedTuple):
    text_bytes: int = 0
    media: int = 0

    def plus(self, other: "_Size") -> "_Size":
        return _Size(self.text_bytes + other.text_bytes, self.media + other.media)


def estimate(plan: ExecutionPlan) -> TokenEstimate:
    """Return the bounds of the plan's largest prompt."""
    shared = _size(plan.shared_parts, plan.files)
    largest = _Size()
    for call in plan.calls:
        own = _size(call.parts, plan.files)
        system = len((call.settings.system or "").encode())
        whole = shared.plus(own).plus(_Size(system))
        largest = max(largest, whole, key=lambda s: s.text_bytes + s.media * _MEDIA_BYTES)
    low, middle, high = (
        -(-largest.text_bytes // per) + largest.media * each
        for per, each in zip(BYTES_A_TOKEN, MEDIA_TOKENS, strict=True)
    )
    return TokenEstimate(
        min=low, expected=middle, max=high, confidence=UNSURE if largest.media else SURE
    )


def _size(parts: Iterable[Frozen], files: Sequence[SourceFile]) -> _Size:
    size = _Size()
    for part in parts:
        size = size.plus(_part(part, files))
    return size


def _part(part: object, files: Sequence[SourceFile]) -> _Size:
    if isinstance(part, TextPart):
        return _Size(len(part.text.encode()))
    if isinstance(part, Message):
        return _Size(len(part.content.encode())).plus(_size(part.parts, files))
    if isinstance(part, FilePlaceholder):
        file = files[part.index]
        return _bytes(file.size_bytes, file.mime_type)
    if isinstance(part, FileInlinePart):
        return _bytes(len(part.data), part.mime_type)
    if isinstance(part, Expanding):
        size = _Size()
        for item in part.expand():
            size = size.plus(_part(item, files))
        return size
    return _Size(media=1)


def _bytes(size: int, mime_type: str) -> _Size:
    if mime_type.startswith("text/"):
        return _Size(size)
    return _Size(media=max(1, size // _MEDIA_BYTES))
