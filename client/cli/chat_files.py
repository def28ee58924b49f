"""Files that a person adds to the next message of a chat: chosen, looked at, spelled.

The rules are those of an agent's `files`: a file that is missing, empty, cannot be read or is of a
kind that no model takes is refused by name, and what goes into one request has a bound. What lines
of a pipe name must lie in the working folder or below, whether `..` or a link would lead out of
it: who writes a pipe need not be who runs the command. Who sits at the terminal, or wrote the
command line, names any file that he may read, as with `ask`.
"""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from client.cli.spelling import size
from client.enclosing import TooLarge, check_size
from config.attachments import KINDS
from config.sourcefiles import SourceError, describe_file, encoding_note
from contracts.files import INLINE_BYTES
from contracts.messages import Message
from contracts.parts import FileInlinePart, FileRefPart, Part
from providers import media

_PATTERN = "*?["

_NOUNS = {"text": "text", "image": "picture", "pdf": "document", "audio": "sound", "video": "video"}


class FileTrouble(ValueError):
    """A file cannot be added; the text names it."""


class Files:
    """Those for the next message."""

    def __init__(self) -> None:
        self.parts: tuple[FileInlinePart, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of them, each once."""
        return kinds_of(self.parts)

    @property
    def names(self) -> list[str]:
        """What they are called."""
        return [part.name or part.mime_type for part in self.parts]

    @property
    def labels(self) -> list[str]:
        """Each in a few words: [picture cat.png, 34 kB]."""
        return [label(part) for part in self.parts]

    def read(
        self, paths: Sequence[str], root: Path | None = None
    ) -> tuple[tuple[FileInlinePart, ...], list[str]]:
        """Return what paths and patterns name, and notes on it. Adds nothing.

        With a `root` they must lie in it. Raises FileTrouble for the first that cannot be used.
        """
        found: list[FileInlinePart] = []
        notes = []
        for path in _matching(paths):
            part, note = _read(path, root)
            if part not in (*self.parts, *found):
                found.append(part)
            if note:
                notes.append(note)
        try:
            check_size((*self.parts, *found))
        except TooLarge as error:
            raise FileTrouble(str(error)) from None
        return tuple(found), notes

    def add(self, parts: Iterable[FileInlinePart]) -> None:
        """Add what was read."""
        self.parts = (*self.parts, *parts)

    def clear(self) -> None:
        """Forget them: they were said, or are not to be."""
        self.parts = ()


def kinds_of(parts: Iterable[FileInlinePart]) -> tuple[str, ...]:
    """Return the kinds of files that not every model takes, each once."""
    kinds = dict.fromkeys(media.modality(part.mime_type) for part in parts)
    return tuple(kind for kind in kinds if kind != "text")


def split(typed: str) -> list[str]:
    """Return the paths that were typed: quotes and backslashes keep blanks. Raises FileTrouble."""
    try:
        return shlex.split(typed)
    except ValueError as error:
        raise FileTrouble(f"{typed}: {error}") from None


def label(part: Part) -> str:
    """Return a file in a few words, a text between files as it is."""
    if isinstance(part, FileInlinePart):
        count: int | None = len(part.data)
    elif isinstance(part, FileRefPart):
        count = part.size_bytes
    else:
        return part.text
    noun = _NOUNS.get(media.modality(part.mime_type), "file")
    words = " ".join(word for word in (noun, part.name) if word)
    return f"[{words}, {size(count)}]" if count is not None else f"[{words}]"


def said(message: Message) -> str:
    """Return what was said, with the files beside it."""
    return "\n".join(text for text in (message.content, *map(label, message.parts)) if text)


def _matching(paths: Iterable[str]) -> list[Path]:
    """Return the files that are named, patterns in the order of names."""
    found: list[Path] = []
    for given in paths:
        path = Path(given).expanduser()
        if path.exists() or not any(sign in given for sign in _PATTERN):
            found.append(path)
            continue
        base = Path(path.anchor) if path.is_absolute() else Path()
        pattern = str(path.relative_to(path.anchor)) if path.is_absolute() else str(path)
        try:
            matching = sorted(one for one in base.glob(pattern) if one.is_file())
        except (ValueError, NotImplementedError) as error:
            raise FileTrouble(f"{given!r} is no pattern: {error}") from None
        if not matching:
            raise FileTrouble(f"{given} finds no file")
        found += matching
    return found


def _read(path: Path, root: Path | None) -> tuple[FileInlinePart, str | None]:
    try:
        file = describe_file(path, root)
        if file.size_bytes > INLINE_BYTES:
            said = f"{file.name} has {file.size_bytes:,} bytes, {INLINE_BYTES:,} can be sent"
            raise FileTrouble(said)
        data = Path(file.path).read_bytes()
    except SourceError as error:
        raise FileTrouble(str(error)) from None
    except OSError as error:
        raise FileTrouble(f"{path} cannot be read: {error.strerror}") from None
    if media.modality(file.mime_type) not in KINDS:
        raise FileTrouble(
            f"{file.name}: no model takes files of type {file.mime_type}; text, images, PDF, sound "
            "and video are taken"
        )
    part = FileInlinePart(data=data, mime_type=file.mime_type, name=file.name)
    return part, encoding_note(file.path, file.name, file.mime_type)
