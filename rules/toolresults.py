"""What the model is given of a tool's result: clean text, cut in the middle. Pure.

Clean means: no escape sequences, no control characters but tab and line ends, no half surrogate
pairs, none of the invisible tag characters that can carry text nobody sees. A text that is too
long keeps its beginning and its end, where what matters stands mostly, and says how much is
missing.
"""

import re

NOTHING = "(the tool returned nothing)"
"""Vendors refuse an empty result."""

TAIL_SHARE = 4
"""One character in so many is of the end."""

_ESCAPES = re.compile(
    "\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Z\\\\^_]|[ -/]+[0-~])"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\U000e0000-\U000e007f]")
_HALF_PAIRS = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return the text without what does not belong into a prompt or on a terminal."""
    text = _ESCAPES.sub("", text)
    text = _CONTROL.sub("", text)
    return _HALF_PAIRS.sub("\ufffd", text)


def cut(text: str, max_chars: int) -> str:
    """Return at most about `max_chars` of a text: its beginning, how much is missing, its end."""
    if len(text) <= max_chars:
        return text
    tail = max_chars // TAIL_SHARE
    missing = len(text) - max_chars
    note = f"\n[… {missing:,} of {len(text):,} characters are left out here …]\n"
    return text[: max_chars - tail] + note + text[len(text) - tail :]


def for_model(text: str, max_chars: int) -> str:
    """Return what the model is given of a whole result."""
    return cut(clean(text), max_chars).strip("\r\n") or NOTHING


def of_binary(media_type: str, size_bytes: int) -> str:
    """Return what the model is told of a result that is no text."""
    return f"(the result is no text: {clean(media_type)}, {size_bytes:,} bytes; it was kept)"
