"""Writing an attempt's text to a spool file: one write per record, and never an error.

Strategy: the file is opened for appending, so that every `os.write` of a whole record lands in
one piece behind those of other processes. A record stands between two newlines: whatever a
killed or failing writer left behind, in this process or another, cannot swallow the next one.

The first delta is written at once; those that follow within 20 ms are joined, up to 2 kB, and
written by the next one that comes after that. Where none comes, a timer of the running event loop
writes them after another 20 ms: a steady stream needs no timer. No fsync: the page
cache outlives the process, and this is not where answers are kept for good.

What cannot be written is counted and its `seq` is used up, so that readers see the gap. A file
or folder that was removed is made again, tried at most once a second.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from stores.sealing import Sealer
from stores.spooling import AttemptSpool
from stores.spoollines import LINE_BYTES, NOTE_CHARS, TEXT_CHARS, encode

logger = logging.getLogger(__name__)

COALESCE_S = 0.02
COALESCE_CHARS = 2_048
_REOPEN_S = 1.0


class FileAttemptSpool(AttemptSpool):
    """One attempt's side of a run's spool file."""

    def __init__(
        self,
        path: Path,
        agent: str,
        attempt: int,
        offset: int,
        sealer: Sealer,
        clock: Callable[[], float],
    ) -> None:
        self._file = _AppendFile(path, clock)
        self._clock = clock
        self._agent, self._attempt, self._sealer = agent, attempt, sealer
        self._begin = self._offset = offset
        self._begun = False
        self._seq = 1
        self._held: list[str] = []
        self._held_chars = 0
        self._last_write = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._dropped = 0
        self._begun = self._write("superseded", 0, offset)

    @property
    def dropped(self) -> int:
        return self._dropped

    def delta(self, text: str) -> None:
        if not text or self._closed:
            return
        self._held.append(text)
        self._held_chars += len(text)
        wait = self._last_write + COALESCE_S - self._clock()
        if self._held_chars >= COALESCE_CHARS or wait <= 0:
            self._flush()
        elif self._timer is None:
            self._timer = _later(wait + COALESCE_S, self._flush)

    def ended(self, note: str = "") -> None:
        if self._closed:
            return
        self._flush()
        self._record("ended", note=note[:NOTE_CHARS])

    def close(self) -> None:
        if self._closed:
            return
        self._flush()
        self._closed = True
        self._file.close()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._held:
            return
        text = "".join(self._held)
        self._held, self._held_chars = [], 0
        for start in range(0, len(text), TEXT_CHARS):
            piece = text[start : start + TEXT_CHARS]
            self._record("delta", text=piece)
            self._offset += len(piece)
        self._last_write = self._clock()

    def _record(self, kind: Literal["delta", "ended"], text: str = "", note: str = "") -> None:
        if not self._begun:
            # Readers must learn where this attempt begins, even if only now.
            self._begun = self._write("superseded", 0, self._begin)
        self._write(kind, self._seq, self._offset, text, note)
        self._seq += 1

    def _write(self, kind: str, seq: int, offset: int, text: str = "", note: str = "") -> bool:
        """Say whether the record was written."""
        fields: dict[str, object] = {
            "kind": kind,
            "agent": self._agent,
            "attempt": self._attempt,
            "seq": seq,
            "offset": offset,
        }
        if text:
            fields["text"] = text
        if note:
            fields["note"] = note
        try:
            self._file.append(encode(fields, self._sealer))
        except Exception as error:  # a paid call must go on, whatever is wrong here
            self._dropped += 1
            if self._dropped == 1:
                logger.warning("the spool of %s is not written: %s", self._agent, error)
            return False
        return True


class _AppendFile:
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
        """Let go of the file; a later record would open it again."""
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
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def append_once(
    path: Path, fields: dict[str, object], sealer: Sealer, clock: Callable[[], float]
) -> bool:
    """Append one record to a spool that is not held open. Say whether it was written."""
    file = _AppendFile(path, clock)
    try:
        line = encode(fields, sealer)
        if len(line) > LINE_BYTES:
            raise OSError(f"a record of {len(line):,} bytes")
        file.append(line)
    except Exception as error:  # a call must go on, whatever is wrong here
        logger.warning("an event is not written to the spool: %s", error)
        return False
    finally:
        file.close()
    return True


def _later(wait_s: float, work: Callable[[], None]) -> asyncio.TimerHandle | None:
    """Call back after a while, if an event loop runs here."""
    try:
        return asyncio.get_running_loop().call_later(wait_s, work)
    except RuntimeError:
        return None
