"""Spools as files: one per run, JSON lines, appended by any process of this machine.

The port and its duties are in stores.spooling, the form of a line in stores.spoollines, how it
is written in stores.spoolwriting and stores.spoolfiles, and read in stores.spoolreading. Offsets
are bytes. For local file systems only: appending in one piece is not promised by network ones.

Reading is polling, every 5 ms, by one timer for all readers (stores.spoolwaiting).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from stores.exceptions import StoreUnavailable
from stores.linespools import LineSpools, Tail
from stores.naming import file_name
from stores.sealing import PLAIN, Sealer
from stores.spoolfiles import AppendFile
from stores.spooling import AttemptSpool, KeptSpool, SpoolReader, Spools, SpoolWriter
from stores.spoolreading import Lines, LineTail, PartialText, all_lines
from stores.spoolwaiting import Growth

__all__ = ["AttemptSpool", "FileSpools", "KeptSpool", "SpoolReader", "SpoolWriter", "Spools"]

logger = logging.getLogger(__name__)

SUFFIX = ".jsonl"


class FileSpools(LineSpools):
    """The spools below one folder, `<run id>.jsonl` each; the folder is made when needed."""

    def __init__(
        self,
        directory: str | Path,
        sealer: Sealer = PLAIN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(sealer, clock)
        self._directory = Path(directory).expanduser().absolute()
        self._growth = Growth()

    @property
    def place(self) -> str:
        return str(self._directory)

    def path(self, run_id: str) -> Path:
        """Return where a run's spool lies, whether it exists or not."""
        return self._directory / f"{file_name(run_id)}{SUFFIX}"

    def check(self) -> None:
        """Make the folder and write to it. Raises StoreUnavailable."""
        probe = self._directory / f"doctor-{time.time_ns():x}"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise StoreUnavailable(f"{self._directory}: {error.strerror}") from None

    async def kept(self) -> list[KeptSpool]:
        """Return all spools that there are, links left out."""
        try:
            return await asyncio.to_thread(self._kept)
        except OSError as error:
            raise StoreUnavailable(f"cannot list {self._directory}: {error.strerror}") from None

    async def remove(self, name: str) -> None:
        path = self._directory / f"{name}{SUFFIX}"
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"{path}: {error.strerror}") from None

    def _sink(self, run_id: str) -> AppendFile:
        return AppendFile(self.path(run_id), self._clock)

    def _tail(self, run_id: str, offset: int) -> Tail:
        return _FileTail(LineTail(self.path(run_id), offset), self._growth)

    async def end(self, run_id: str) -> int:
        try:
            return self.path(run_id).stat().st_size
        except OSError:
            return 0

    async def partial(self, run_id: str, agent: str, attempt: int) -> str:
        """Read a whole file: some milliseconds for each megabyte of the run's text."""
        return await asyncio.to_thread(self._partial, run_id, agent, attempt)

    def _partial(self, run_id: str, agent: str, attempt: int) -> str:
        found = PartialText(agent, attempt, self._sealer)
        try:
            for line in all_lines(self.path(run_id)):
                found.take(line)
        except StoreUnavailable as error:
            logger.warning("no partial text: %s", error)
        return found.text()

    def _kept(self) -> list[KeptSpool]:
        found = []
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            if path.is_symlink() or not path.is_file():
                continue
            told = path.stat()
            when = datetime.fromtimestamp(told.st_mtime, UTC)
            found.append(KeptSpool(path.name.removesuffix(SUFFIX), told.st_size, when))
        return found


class _FileTail(Tail):
    """The lines of one file as it grows."""

    def __init__(self, lines: LineTail, growth: Growth) -> None:
        self._lines, self._growth = lines, growth

    async def read(self) -> Lines:
        return self._lines.read()

    async def wait(self, stop: asyncio.Event | None) -> Lines:
        if self._lines.drained:
            await self._growth.wait(self._lines, stop)
        else:
            # Others must have their turn, too, where there is always more to read.
            await asyncio.sleep(0)
        return self._lines.read()

    async def aclose(self) -> None:
        self._lines.close()
