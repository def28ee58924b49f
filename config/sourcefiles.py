"""Files that are sent to models: found, measured and named, or refused by name."""

import hashlib
import mimetypes
from pathlib import Path

from contracts.execution import SourceFile

_SAMPLE_BYTES = 65_536
_OWN_TYPES = {
    ".md": "text/markdown",
    ".yaml": "text/yaml",
    ".yml": "text/yaml",
    ".log": "text/plain",
    ".webp": "image/webp",
}


class SourceError(ValueError):
    """A file cannot be a source; the text names it."""


def describe_file(path: str | Path, root: Path | None = None) -> SourceFile:
    """Return a file as it is now. Raises `SourceError`.

    With `root`, a file outside of it is refused, whether `..` or a link leads there.
    """
    given = Path(path)
    try:
        real = given.resolve(strict=True)
        if root is not None and not real.is_relative_to(root.resolve()):
            raise SourceError(f"{given} is outside of {root}")
        if real.is_dir():
            raise SourceError(f"{given} is a folder, not a file")
        digest, size, sample = _read(real)
    except FileNotFoundError:
        raise SourceError(f"{given} does not exist") from None
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its links lead in a circle"
        raise SourceError(f"{given} cannot be read: {reason}") from None
    if not size:
        raise SourceError(f"{given} is empty")
    return SourceFile(
        path=str(real),
        mime_type=mime_type(given, sample),
        size_bytes=size,
        sha256=digest,
        name=given.name,
    )


def mime_type(path: Path, sample: bytes) -> str:
    """Return a file's type by its name, else by what its beginning looks like."""
    known = _OWN_TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0]
    if known:
        return known
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 3:  # else a character was cut by the sample's end
            return "application/octet-stream"
    return "application/octet-stream" if b"\0" in sample else "text/plain"


def _read(path: Path) -> tuple[str, int, bytes]:
    """Return digest, size and beginning, in a bounded amount of memory."""
    digest, size, sample = hashlib.sha256(), 0, b""
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            sample = sample or piece[:_SAMPLE_BYTES]
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size, sample
