"""An agent's `files`: paths and patterns beside the team file, and artifacts, as they are now.

A path or a pattern stays in the team file's folder or below, whether `..` or a link would lead
out of it. A pattern that finds nothing is a mistake, and so is a file that is empty, cannot be
read, or is of a kind that no model takes. The digest is taken here: a file that is another one
when the run begins is refused by name.
"""

from collections.abc import Iterable
from pathlib import Path

from config.attachedmodel import ArtifactFile, AttachmentSpelling
from config.sourcefiles import SourceError, describe_file, encoding_note
from contracts.artifacts import ArtifactRef
from contracts.execution_plan import SourceFile
from contracts.files import INLINE_BYTES, MOST_BYTES, AttachedFile
from providers import media

KINDS = ("text", "image", "pdf", "audio", "video")

_PATTERN = "*?["


class AttachmentError(ValueError):
    """What is wrong with one entry of `files`; `entry` is its place in the list."""

    def __init__(self, entry: int, message: str) -> None:
        super().__init__(message)
        self.entry = entry


def read_files(folder: Path, entries: Iterable[AttachmentSpelling]) -> tuple[AttachedFile, ...]:
    """Return the files that the entries name, each once, patterns in the order of names.

    Raises `AttachmentError` for the first entry that cannot be used.
    """
    found: dict[str, AttachedFile] = {}
    for number, entry in enumerate(entries):
        try:
            for file in _artifact(entry) if isinstance(entry, ArtifactFile) else _of(folder, entry):
                found.setdefault(f"{file.sha256} {file.mime_type}", file)
        except SourceError as error:
            raise AttachmentError(number, str(error)) from None
        _check_size(number, found.values())
    return tuple(found.values())


def encoding_notes(files: Iterable[AttachedFile]) -> tuple[str, ...]:
    """Return what to say of texts that are not written in UTF-8, once for each."""
    found = (
        encoding_note(file.path, file.name, file.mime_type) for file in files if not file.content
    )
    return tuple(dict.fromkeys(note for note in found if note is not None))


def _check_size(entry: int, files: Iterable[AttachedFile]) -> None:
    """Refuse more than requests hold, and more than can be uploaded."""
    small = sum(file.size_bytes for file in files if not file.large)
    if small > INLINE_BYTES:
        raise AttachmentError(
            entry, f"its files have {small:,} bytes together, {INLINE_BYTES:,} can be sent"
        )
    size = sum(file.size_bytes for file in files)
    if size > MOST_BYTES:
        raise AttachmentError(
            entry, f"its files have {size:,} bytes together, {MOST_BYTES:,} can be uploaded"
        )


def _artifact(entry: ArtifactFile) -> list[AttachedFile]:
    ref = ArtifactRef(sha256=entry.artifact, size_bytes=entry.size_bytes, media_type=entry.type)
    name = entry.name or f"{entry.artifact[:12]}"
    file = AttachedFile(
        path=f"artifact:{entry.artifact}",
        name=name,
        mime_type=entry.type,
        size_bytes=entry.size_bytes,
        sha256=entry.artifact,
        pages=entry.pages,
        content=ref,
    )
    _check_kind(name, entry.type)
    return [file]


def _of(folder: Path, entry: str) -> list[AttachedFile]:
    if Path(entry).is_absolute() or ".." in Path(entry).parts:
        raise SourceError(f"{entry} must lie in the team file's folder or below")
    if not any(sign in entry for sign in _PATTERN):
        return [_described(folder, folder / entry)]
    try:
        matching = sorted(path for path in folder.glob(entry) if path.is_file())
    except ValueError as error:
        raise SourceError(f"{entry!r} is no pattern: {error}") from None
    if not matching:
        raise SourceError(f"{entry} finds no file in {folder}")
    return [_described(folder, path) for path in matching]


def _described(folder: Path, path: Path) -> AttachedFile:
    file = describe_file(path, folder)
    _check_kind(str(path), file.mime_type)
    return AttachedFile(
        path=file.path,
        name=file.name,
        mime_type=file.mime_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        pages=page_count(file),
    )


def page_count(file: SourceFile) -> int | None:
    """Return the pages of a document; None for what is none, or does not say."""
    if media.modality(file.mime_type) != "pdf":
        return None
    try:
        return media.count_pages(Path(file.path).read_bytes())
    except OSError as error:
        raise SourceError(f"{file.path} cannot be read: {error.strerror}") from None


def _check_kind(name: str, mime_type: str) -> None:
    if media.modality(mime_type) not in KINDS:
        raise SourceError(
            f"{name}: no model takes files of type {mime_type}; text, images, PDF, sound and "
            "video are taken"
        )
