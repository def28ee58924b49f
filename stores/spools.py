"""Spools as files: one per run, JSON lines, appended by any process of this machine.

The port and its duties are in stores.spooling, the form of a line in stores.spoollines, how it
is written in stores.spoolwriting and read in stores.spoolreading. For local file systems only:
appending in one piece is not promised by network ones.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from contracts.spools import SpoolRecord
from contracts.tools import ToolEventRecord
from stores.assembling import TextAssembler
from stores.exceptions import StoreUnavailable
from stores.naming import file_name
from stores.sealing import PLAIN, Sealer
from stores.spooling import AttemptSpool, SpoolReader, Spools, SpoolWriter
from stores.spoollines import decode
from stores.spoolreading import LineTail, Sifter, all_lines
from stores.spoolwriting import FileAttemptSpool, append_once

__all__ = ["AttemptSpool", "FileSpools", "SpoolFile", "SpoolReader", "SpoolWriter", "Spools"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpoolFile:
    """A spool on the disk; `modified` is when it was last written to."""

    path: Path
    size_bytes: int
    modified: datetime


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

    def path(self, run_id: str) -> Path:
        """Return where a run's spool lies, whether it exists or not."""
        return self._directory / f"{file_name(run_id)}.jsonl"

    def files(self) -> list[SpoolFile]:
        """Return all spools that there are, links left out. Raises OSError."""
        found = []
        for path in sorted(self._directory.glob("*.jsonl")):
            if path.is_symlink() or not path.is_file():
                continue
            told = path.stat()
            when = datetime.fromtimestamp(told.st_mtime, UTC)
            found.append(SpoolFile(path, told.st_size, when))
        return found

    def open_attempt(self, run_id: str, agent: str, attempt: int, offset: int = 0) -> AttemptSpool:
        path = self.path(run_id)
        return FileAttemptSpool(path, agent, attempt, offset, self._sealer, self._clock)

    def tell(self, run_id: str, agent: str, attempt: int, seq: int, event: ToolEventRecord) -> bool:
        fields: dict[str, object] = {
            "kind": "tool",
            "agent": agent,
            "attempt": attempt,
            "seq": seq,
            "tool": event.model_dump(mode="json"),
        }
        return append_once(self.path(run_id), fields, self._sealer, self._clock)

    async def follow(
        self,
        run_id: str,
        from_offset: int = 0,
        poll_s: float = 0.01,
        stop: asyncio.Event | None = None,
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
                await asyncio.sleep(0 if lines else poll_s)
        finally:
            tail.close()

    def partial(self, run_id: str, agent: str, attempt: int) -> str:
        """Read a whole file: some milliseconds for each megabyte of the run's text."""
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
