"""A spool record as a line of bytes, and back.

A line is JSON, or the base64 of the sealed JSON; neither holds a newline. Records stay below
LINE_BYTES: longer text is split by the writer.
"""

import base64
import binascii
import re

import orjson
from pydantic import ValidationError

from contracts.spools import SpoolRecord
from contracts.tools import ToolEventRecord
from stores.exceptions import SealingError
from stores.sealing import Sealer

LINE_BYTES = 65_536
TEXT_CHARS = 10_000
"""Characters of text in one record: at most six bytes each in JSON, so a line stays short."""

NOTE_CHARS = 1_000

_half_pair = re.compile("[\ud800-\udfff]")


def encode(fields: dict[str, object], sealer: Sealer) -> bytes:
    """Return a record's line without its newline. Half surrogate pairs become U+FFFD."""
    try:
        line = orjson.dumps(fields)
    except TypeError:
        clean = {
            name: _half_pair.sub("\ufffd", value) if isinstance(value, str) else value
            for name, value in fields.items()
        }
        line = orjson.dumps(clean)
    return base64.b64encode(sealer.seal(line)) if sealer.suffix else line


def encode_event(
    agent: str, attempt: int, seq: int, event: ToolEventRecord, sealer: Sealer
) -> bytes:
    """Return the line of a tool's event. Raises OSError where it is longer than lines may be."""
    fields: dict[str, object] = {
        "kind": "tool",
        "agent": agent,
        "attempt": attempt,
        "seq": seq,
        "tool": event.model_dump(mode="json"),
    }
    line = encode(fields, sealer)
    if len(line) > LINE_BYTES:
        raise OSError(f"a record of {len(line):,} bytes")
    return line


def decode(line: bytes, sealer: Sealer) -> SpoolRecord | None:
    """Return the record of a line, or None for what is none: empty, torn, of another key."""
    if not line.strip():
        return None
    try:
        if sealer.suffix:
            line = sealer.open(base64.b64decode(line, validate=True))
        return SpoolRecord.model_validate_json(line)
    except (ValidationError, SealingError, binascii.Error, ValueError):
        return None
