"""File and object names for names that people choose.

Strategy: letters, digits, `_` and `-` stay; every other byte of the UTF-8 becomes `=XX`. So two
names never share a file, none can climb out of its folder, and `.` is free for suffixes. A name
too long for a file system keeps its beginning and ends in `=~` and a digest.
"""

import hashlib
import re

LONGEST = 150
"""Characters; with a suffix it stays below the 255 bytes that file systems allow."""

_KEPT = 100
_escape = re.compile(rb"[^A-Za-z0-9_-]")
_escaped = re.compile(rb"=([0-9A-F]{2})")


def file_name(name: str) -> str:
    """Return a safe file name for any non-empty name; different names get different ones."""
    if not name:
        raise ValueError("a name must not be empty")
    data = name.encode("utf-8", "surrogatepass")
    safe = _escape.sub(lambda match: b"=%02X" % match[0][0], data).decode("ascii")
    if len(safe) <= LONGEST:
        return safe
    return f"{safe[:_KEPT]}=~{hashlib.sha256(data).hexdigest()[:32]}"


def original_name(safe: str) -> str | None:
    """Return the name that `file_name` made this of; None where it was shortened."""
    if "=~" in safe:
        return None
    data = _escaped.sub(lambda match: bytes([int(match[1], 16)]), safe.encode("ascii"))
    return data.decode("utf-8", "surrogatepass")
