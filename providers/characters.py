"""Characters that a vendor's stream cuts in half.

A character beyond U+FFFF is two halves (surrogates) in UTF-16, and servers that count in UTF-16
cut between them: one event ends with `"\\ud83d"`, the next begins with `"\\udc4b"`. Neither half
can be written as UTF-8, so none may leave an adapter: not in a text, not in a tool call's
arguments, not in the state that the next turn sends back.

Promise: halves that follow each other are joined, what stays alone becomes U+FFFD. Texts without
halves pass as they are, at the cost of a look at them.
"""

import json
from dataclasses import replace
from typing import Any

import orjson

from contracts.messages import ChatChunk

_LOST = "\N{REPLACEMENT CHARACTER}"


def event_json(data: bytes) -> Any:
    """Parse an event's JSON. Raises `ValueError`, as both parsers do.

    What only the standard library reads, it reads: halves of characters, and the NaN and Infinity
    that Python servers write among log probabilities.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            pass
        raise


def whole(text: str) -> str:
    """Return the text with its halves joined, or replaced where the other half is missing."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def name_of(value: Any) -> str | None:
    """Return a name or an id as a text; None for what is none."""
    if isinstance(value, str):
        return whole(value) or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def whole_json(value: Any) -> Any:
    """Return a JSON value with `whole` texts and keys; itself, where nothing is to be mended."""
    try:
        orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, RecursionError):
        return _mended(value)
    return value


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {_mended(key): _mended(inner) for key, inner in value.items()}
    return [_mended(inner) for inner in value] if isinstance(value, list) else value


class Halves:
    """Joins the halves over the chunks of one stream: what may be a beginning waits for the next.

    Text and reasoning are two texts. A half that waits when the answer ends comes with the last
    chunk, as U+FFFD; the stream's error, if there is one, is not kept waiting for it.
    """

    __slots__ = ("_text", "_thought")

    def __init__(self) -> None:
        self._text = ""
        self._thought = ""

    def mend(self, chunk: ChatChunk) -> ChatChunk:
        """Return the chunk with whole characters: the same object, unless there is a half."""
        text, thought = chunk.delta_text, chunk.delta_reasoning
        if text and (self._text or not text.isascii()):
            text, self._text = _joined(self._text + text)
        if thought and (self._thought or not thought.isascii()):
            thought, self._thought = _joined(self._thought + thought)
        if chunk.finish_reason and self._text:
            text, self._text = (text or "") + _LOST, ""
        if text is not chunk.delta_text or thought is not chunk.delta_reasoning:
            chunk = replace(chunk, delta_text=text or None, delta_reasoning=thought or None)
        if chunk.vendor_state is not None:
            state = whole_json(chunk.vendor_state)
            if state is not chunk.vendor_state:
                chunk = replace(chunk, vendor_state=state)
        return chunk


def _joined(text: str) -> tuple[str, str]:
    """Return what can be shown of a text, and the half that its last character may begin with."""
    held = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
    return whole(text[:-1] if held else text), held
