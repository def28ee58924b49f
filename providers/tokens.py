"""A tokenizer's stand-in: sizes of texts and requests in tokens, where no vendor has counted.

A word (a run of at most 16 characters without white space) counts one token per four bytes of
UTF-8, rounded up. So a count is never more than the bytes, adding up the words of a stream gives
the count of the whole, and English prose comes out near what the vendors count. Images and
documents count one token per 750 bytes. An estimate for routing and for the simulator; money is
bounded by bytes elsewhere.
"""

import json
import re
from collections.abc import Iterator

from contracts.messages import ChatRequest, Message
from contracts.parts import FileInlinePart, TextPart
from providers.toolspecs import parameters_schema

WORD = re.compile(r"\S{1,16}")

_BYTES_PER_TOKEN = 4
_BYTES_PER_FILE_TOKEN = 750


def count_tokens(text: str) -> int:
    """Return the estimated tokens of a text: at least one per word, at most one per byte."""
    if text.isascii():
        return sum((len(word) + 3) // _BYTES_PER_TOKEN for word in WORD.findall(text))
    return sum(word_tokens(word) for word in WORD.findall(text))


def word_tokens(word: str) -> int:
    """Return the estimated tokens of one word (white space around it is free)."""
    word = word.strip()
    size = len(word) if word.isascii() else len(word.encode("utf-8", "surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)


def count_request(request: ChatRequest) -> int:
    """Return the estimated prompt tokens of a request: texts, files, tools and schema."""
    return sum(count_tokens(text) for text in _texts(request)) + sum(
        -(-len(part.data) // _BYTES_PER_FILE_TOKEN)
        for message in request.messages
        for part in message.parts
        if isinstance(part, FileInlinePart)
    )


def _texts(request: ChatRequest) -> Iterator[str]:
    if request.system:
        yield request.system
    for message in request.messages:
        yield from _message_texts(message)
    for tool in request.tools or ():
        yield tool.name
        yield tool.description
        yield json.dumps(parameters_schema(tool), ensure_ascii=False)
    if request.response_schema:
        yield json.dumps(request.response_schema, ensure_ascii=False)


def _message_texts(message: Message) -> Iterator[str]:
    yield message.content
    for part in message.parts:
        if isinstance(part, TextPart):
            yield part.text
    for call in message.tool_calls:
        yield call.name
        yield call.raw_arguments or json.dumps(call.arguments, ensure_ascii=False)
