"""Files that agents send, as a team file would name them."""

import hashlib
from pathlib import Path

from contracts.files import LARGE_BYTES, AttachedFile

PDF = b"%PDF-1.4 small\0"
BIG = b"%PDF-1.4 large\0" + bytes(LARGE_BYTES)


def attach(
    path: Path, data: bytes | None = None, mime_type: str = "application/pdf"
) -> AttachedFile:
    """Return a file as it is now, or as it is written now."""
    if data is not None:
        path.write_bytes(data)
    content = path.read_bytes()
    return AttachedFile(
        path=str(path),
        name=path.name,
        mime_type=mime_type,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
