"""Files below one root, whatever a path says: the built-in tools' way to the disk.

Strategy: a path is walked from the root's own descriptor, one name at a time, and no name may be
a link or "..", so that neither a clever path nor a link made in between leads out. Only plain
files are read and written; writing makes a new file and renames it, so that nobody ever sees
half of one.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath

from toolbox.exceptions import ToolRaised, ToolRefused

READ_BYTES = 16 * 1024 * 1024
WRITE_BYTES = 16 * 1024 * 1024
MOST_ENTRIES = 1_000
DEEPEST = 32
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """A root that tools may reach. Its own path may have links: whoever declared it chose them."""

    def __init__(self, root: str) -> None:
        self._root = root

    def read(self, path: str) -> tuple[bytes, int]:
        """Return a file's content, at most READ_BYTES of it, and its size."""
        names = _names(path)
        with self._walked(names[:-1]) as folder:
            fd = _opened(names[-1], os.O_RDONLY | os.O_NONBLOCK, folder, path)
            told = os.fstat(fd)
            if not stat.S_ISREG(told.st_mode):
                os.close(fd)
                raise ToolRefused(f"{path} is no plain file")
            with os.fdopen(fd, "rb") as file:
                return file.read(READ_BYTES), told.st_size

    def write(self, path: str, data: bytes) -> bool:
        """Write a file, and the folders above it. Say whether it is a new one."""
        if len(data) > WRITE_BYTES:
            raise ToolRefused(f"{len(data):,} bytes are too many: {WRITE_BYTES:,} at most")
        names = _names(path)
        with self._walked(names[:-1], make=True) as folder:
            before = _kind(names[-1], folder)
            if before is not None and not stat.S_ISREG(before):
                raise ToolRefused(f"{path} is no plain file")
            _replaced(names[-1], data, folder, path)
        return before is None

    def entries(self, path: str = "") -> list[str]:
        """Return what a folder holds, sorted; folders end in "/". Links are left out."""
        names = [] if path.strip() in ("", ".", "/") else _names(path)
        with self._walked(names) as folder, os.scandir(folder) as found:
            kept: list[str] = []
            for entry in found:
                if len(kept) >= MOST_ENTRIES:
                    break
                if entry.is_symlink():
                    continue
                kept.append(f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name)
        return sorted(kept)

    @contextmanager
    def _walked(self, names: list[str], make: bool = False) -> Iterator[int]:
        """Give the descriptor of a folder below the root."""
        try:
            fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ToolRaised(f"the tool's root cannot be opened: {error.strerror}") from None
        try:
            for number, name in enumerate(names):
                shown = "/".join(names[: number + 1])
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, 0o755, dir_fd=fd)
                below = _opened(name, _FOLDER, fd, shown)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)


def _names(path: str) -> list[str]:
    """Return the names of a relative path. Raises ToolRefused for one that leads elsewhere."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path:
        raise ToolRefused(f"{path!r} leads out of the tool's folder: give a path below it")
    if "\0" in path or not pure.parts:
        raise ToolRefused("that is no path of a file")
    if len(pure.parts) > DEEPEST or any(len(os.fsencode(part)) > 255 for part in pure.parts):
        raise ToolRefused("the path is too long")
    return list(pure.parts)


def _opened(name: str, flags: int, folder: int, shown: str) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise _failure(error, name, folder, shown) from None


def _failure(error: OSError, name: str, folder: int, shown: str) -> Exception:
    linked = _kind(name, folder)
    if linked is not None and stat.S_ISLNK(linked):
        return ToolRefused(f"{shown} is a link, and links are not followed")
    if error.errno == errno.ENOENT:
        return ToolRaised(f"there is no {shown}")
    return ToolRaised(f"{shown}: {error.strerror}")


def _kind(name: str, folder: int) -> int | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except OSError:
        return None


def _replaced(name: str, data: bytes, folder: int, shown: str) -> None:
    """Let the name stand for the data, at once."""
    draft = f".{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(draft, flags, 0o644, dir_fd=folder)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
            os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft, dir_fd=folder)
            raise
    except OSError as error:
        raise ToolRaised(f"{shown}: {error.strerror}") from None
