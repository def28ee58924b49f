"""Files that are sent to models: found, measured and named, or refused by name."""

import codecs
import hashlib
import mimetypes
from pathlib import Path

from contracts.execution import SourceFile
from contracts.files import is_text

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
        if not real.is_file():
            raise SourceError(f"{given} is a device or a pipe: save what it gives as a file")
        digest, size, sample = _read(real)
    except FileNotFoundError:
        raise SourceError(f"{given} does not exist") from None
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its links lead in a circle"
        raise SourceError(f"{given} cannot be read: {reason}") from None
    except ValueError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{str(given)!r} is no path: {error}") from None
    if not size:
        raise SourceError(f"{given} is empty")
    return SourceFile(
        path=str(real),
        mime_type=mime_type(given, sample),
        size_bytes=size,
        sha256=digest,
        name=given.name,
    )


def encoding_note(path: str | Path, name: str, mime_type: str) -> str | None:
    """Return what to say of a text that is not written in UTF-8; None of all others.

    Also None where the file cannot be read: whoever sends it says so.
    """
    if not is_text(mime_type):
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with Path(path).open("rb") as file:
            while piece := file.read(1 << 20):
                decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return f"{name} is no UTF-8 text: what cannot be read of it is sent as \ufffd. Convert it"
    except OSError:
        return None
    return None


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
