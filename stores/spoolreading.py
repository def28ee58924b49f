"""Reading spools: complete lines of a file while it is written, and which records count.

Strategy, of a file: read what is new, give out lines up to the last newline and keep the rest for
the next reading. A file that was replaced or cut is read from its beginning; records seen before
are dropped by their number.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import orjson

from contracts.spools import SpoolRecord
from stores.assembling import TextAssembler
from stores.exceptions import StoreUnavailable
from stores.sealing import Sealer
from stores.spoollines import decode

READ_BYTES = 256 * 1024

Lines = list[tuple[bytes, int]]
"""Lines of a spool, each with the offset behind it."""


class LineTail:
    """The lines of one file from a byte offset on, as they become complete. `close` it."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._fd = -1
        self._offset = offset
        self._rest = b""
        self.drained = False
        """Whether the last reading came to the end of the file."""

    def read(self) -> Lines:
        """Return new complete lines, each with the offset behind its newline; empty if none.

        At most READ_BYTES at once. Raises StoreUnavailable where the file cannot be read.
        """
        try:
            data = self._next()
        except OSError as error:
            raise StoreUnavailable(f"cannot read {self._path}: {error.strerror}") from None
        self.drained = len(data) < READ_BYTES
        *lines, rest = (self._rest + data).split(b"\n")
        end = self._offset - len(self._rest)
        self._offset += len(data)
        self._rest = rest
        found = []
        for line in lines:
            end += len(line) + 1
            found.append((line, end))
        return found

    def grown(self) -> bool:
        """Say whether `read` would find something, or another length than it knows of."""
        if self._fd < 0:
            return os.path.exists(self._path)
        return os.fstat(self._fd).st_size != self._offset

    def close(self) -> None:
        """Let go of the file; `read` would open it again."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _next(self) -> bytes:
        if self._fd < 0 and not self._open():
            return b""
        data = os.pread(self._fd, READ_BYTES, self._offset)
        if not data and self._replaced():
            self.close()
            self._offset, self._rest = 0, b""
        return data

    def _open(self) -> bool:
        try:
            self._fd = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        return True

    def _replaced(self) -> bool:
        """Say whether another file, or a shorter one, stands where we were reading."""
        here = os.fstat(self._fd)
        if here.st_size < self._offset:
            return True
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        return (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino)


class Sifter:
    """Passes the records that count, and marks those before which some are missing.

    `from_start` says that the reading begins with the spool's first record; otherwise nothing
    can be said about what was missed before the first record of an agent.
    """

    def __init__(self, from_start: bool) -> None:
        self._from_start = from_start
        self._last: dict[str, tuple[int, int]] = {}

    def records(self, lines: Lines, sealer: Sealer) -> Iterator[tuple[SpoolRecord, int]]:
        """Yield the records of lines that pass, each with the offset behind it."""
        for line, offset in lines:
            record = decode(line, sealer)
            sifted = self.sift(record) if record else None
            if sifted is not None:
                yield sifted, offset

    def sift(self, record: SpoolRecord) -> SpoolRecord | None:
        """Return the record, with `gap` set where due, or None for a stale or repeated one."""
        last = self._last.get(record.agent)
        place = (record.attempt, record.seq)
        if last is not None and place <= last:
            return None
        self._last[record.agent] = place
        if last is None:
            gap = self._from_start and record.seq > 0
        elif record.attempt > last[0]:
            gap = record.seq > 0
        else:
            gap = record.seq > last[1] + 1
        return record if record.gap == gap else record.model_copy(update={"gap": gap})


class PartialText:
    """An agent's text as one attempt left it, from the lines of a whole spool."""

    def __init__(self, agent: str, attempt: int, sealer: Sealer) -> None:
        self._agent, self._attempt, self._sealer = agent, attempt, sealer
        # Most lines are other agents': comparing bytes is far quicker than parsing.
        self._name = b"" if sealer.suffix else orjson.dumps(agent)
        self._assembler = TextAssembler()

    def take(self, line: bytes) -> None:
        """Take the next line."""
        record = decode(line, self._sealer) if self._name in line else None
        if record and record.agent == self._agent and record.attempt <= self._attempt:
            self._assembler.feed(record)

    def text(self) -> str:
        """Return it, up to the first gap; empty where that attempt was not seen."""
        if self._assembler.attempt(self._agent) != self._attempt:
            return ""
        return self._assembler.sound_text(self._agent)


def all_lines(path: Path) -> Iterator[bytes]:
    """Yield the complete lines that a file has now. Raises StoreUnavailable."""
    tail = LineTail(path, 0)
    try:
        while lines := tail.read():
            for line, _ in lines:
                yield line
    finally:
        tail.close()
