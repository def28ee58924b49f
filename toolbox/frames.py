"""Frames between a worker and the process of a function tool: a JSON head and a body of bytes.

Eight bytes give the sizes of both, big-endian. A head is small; what a tool returns is the body.
"""

import struct
from typing import Any

import orjson

SIZES = struct.Struct(">II")
HEAD_BYTES = 1_000_000
BODY_BYTES = 16 * 1024 * 1024
"""Of a result; more is cut by the process that has it."""


class BadFrame(Exception):
    """The other side sends what is no frame."""


def pack(head: dict[str, Any], body: bytes = b"") -> bytes:
    """Return a frame. Raises BadFrame where it is too large."""
    data = orjson.dumps(head)
    if len(data) > HEAD_BYTES or len(body) > BODY_BYTES:
        raise BadFrame(f"{len(data) + len(body):,} bytes are too many")
    return SIZES.pack(len(data), len(body)) + data + body


def sizes(data: bytes) -> tuple[int, int]:
    """Return the sizes of head and body. Raises BadFrame."""
    head, body = SIZES.unpack(data)
    if head > HEAD_BYTES or body > BODY_BYTES:
        raise BadFrame(f"a frame of {head + body:,} bytes")
    return head, body


def read_head(data: bytes) -> dict[str, Any]:
    """Return a frame's head. Raises BadFrame."""
    try:
        head = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise BadFrame("its head is no JSON") from None
    if not isinstance(head, dict):
        raise BadFrame("its head is no object")
    return head
