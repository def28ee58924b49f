"""Lines of a spool appended to a file, by any number of processes.

Strategy: the file is opened for appending, so that every `os.write` of a whole record lands in
one piece behind those of other processes. A record stands between two newlines: whatever a
killed or failing writer left behind, in this process or another, cannot swallow the next one. No
fsync: the page cache outlives the process, and this is not where answers are kept for good.

A file or folder that was removed is made again, tried at most once a second.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from stores.spoolwriting import LineSink

_REOPEN_S = 1.0
_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class AppendFile(LineSink):
    """A file that whole records are appended to. Opened at the first record, and again if lost."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._fd = -1
        self._opened_at = float("-inf")

    def append(self, line: bytes) -> None:
        """Append one line by one write. Raises OSError, also when it was cut short."""
        self._ensure_open()
        data = b"\n" + line + b"\n"
        written = os.write(self._fd, data)
        if written != len(data):
            raise OSError(f"only {written} of {len(data)} bytes were written")

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)

    def _ensure_open(self) -> None:
        if self._fd >= 0 and os.fstat(self._fd).st_nlink:
            return
        now = self._clock()
        if now < self._opened_at + _REOPEN_S:
            raise OSError("it cannot be opened")
        self._opened_at = now
        self.close()
        try:
            self._fd = os.open(self._path, _APPENDING, 0o600)
        except FileNotFoundError:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(self._path, _APPENDING, 0o600)
