"""Spools as files: one per run, JSON lines, appended by any process of this machine.

The port and its duties are in stores.spooling, the form of a line in stores.spoollines, how it
is written in stores.spoolwriting and stores.spoolfiles, and read in stores.spoolreading. Offsets
are bytes. For local file systems only: appending in one piece is not promised by network ones.

Reading is polling, every 5 ms, by one timer for all readers (stores.spoolwaiting).
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson

from contracts.spools import SpoolRecord
from contracts.tools import ToolEventRecord
from stores.assembling import TextAssembler
from stores.exceptions import StoreUnavailable
from stores.naming import file_name
from stores.sealing import PLAIN, Sealer
from stores.spoolfiles import AppendFile
from stores.spooling import AttemptSpool, KeptSpool, SpoolReader, Spools, SpoolWriter
from stores.spoollines import decode, encode_event
from stores.spoolreading import LineTail, Sifter, all_lines
from stores.spoolwaiting import Growth
from stores.spoolwriting import AttemptText

__all__ = ["AttemptSpool", "FileSpools", "KeptSpool", "SpoolReader", "SpoolWriter", "Spools"]

logger = logging.getLogger(__name__)

SUFFIX = ".jsonl"


class FileSpools(Spools):
    """The spools below one folder, `<run id>.jsonl` each; the folder is made when needed.

    `clock` counts seconds and may begin anywhere.
    """

    def __init__(
        self,
        directory: str | Path,
        sealer: Sealer = PLAIN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = Path(directory).expanduser().absolute()
        self._sealer = sealer
        self._clock = clock
        self._growth = Growth()

    @property
    def place(self) -> str:
        return str(self._directory)

    def name(self, run_id: str) -> str:
        return file_name(run_id)

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

    def open_attempt(self, run_id: str, agent: str, attempt: int, offset: int = 0) -> AttemptSpool:
        file = AppendFile(self.path(run_id), self._clock)
        return AttemptText(file, agent, attempt, offset, self._sealer, self._clock)

    def tell(self, run_id: str, agent: str, attempt: int, seq: int, event: ToolEventRecord) -> bool:
        file = AppendFile(self.path(run_id), self._clock)
        try:
            file.append(encode_event(agent, attempt, seq, event, self._sealer))
        except Exception as error:  # a call must go on, whatever is wrong here
            logger.warning("an event is not written to the spool: %s", error)
            return False
        finally:
            file.close()
        return True

    async def follow(
        self, run_id: str, from_offset: int = 0, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[tuple[SpoolRecord, int], None]:
        tail = LineTail(self.path(run_id), from_offset)
        sifter = Sifter(from_start=from_offset == 0)
        try:
            while True:
                last_look = stop is not None and stop.is_set()
                lines = tail.read()
                for line, end in lines:
                    record = decode(line, self._sealer)
                    sifted = sifter.sift(record) if record else None
                    if sifted is not None:
                        yield sifted, end
                if last_look and not lines:
                    return
                # Others must have their turn, too, where there is always more to read.
                await (asyncio.sleep(0) if lines else self._growth.wait(tail, stop))
        finally:
            tail.close()

    async def end(self, run_id: str) -> int:
        try:
            return self.path(run_id).stat().st_size
        except OSError:
            return 0

    async def partial(self, run_id: str, agent: str, attempt: int) -> str:
        """Read a whole file: some milliseconds for each megabyte of the run's text."""
        return await asyncio.to_thread(self._partial, run_id, agent, attempt)

    def _partial(self, run_id: str, agent: str, attempt: int) -> str:
        assembler = TextAssembler()
        # Most lines are other agents': comparing bytes is far quicker than parsing.
        name = b"" if self._sealer.suffix else orjson.dumps(agent)
        try:
            for line in all_lines(self.path(run_id)):
                record = decode(line, self._sealer) if name in line else None
                if record and record.agent == agent and record.attempt <= attempt:
                    assembler.feed(record)
        except StoreUnavailable as error:
            logger.warning("no partial text: %s", error)
        return assembler.sound_text(agent) if assembler.attempt(agent) == attempt else ""

    def _kept(self) -> list[KeptSpool]:
        found = []
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            if path.is_symlink() or not path.is_file():
                continue
            told = path.stat()
            when = datetime.fromtimestamp(told.st_mtime, UTC)
            found.append(KeptSpool(path.name.removesuffix(SUFFIX), told.st_size, when))
        return found
