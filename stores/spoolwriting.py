"""Writing an attempt's text to a spool: one line per record, and never an error.

Strategy: the first delta is written at once; those that follow within 5 ms are joined, up to
2 kB, and written by the next one that comes after that, or by a timer of the running event loop.
So a viewer waits for no more than that, and a torrent of small pieces becomes 200 lines a second.

Where the lines go is the sink's business. What it cannot take is counted and its `seq` is used
up, so that readers see the gap.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

from stores.sealing import Sealer
from stores.spooling import AttemptSpool
from stores.spoollines import NOTE_CHARS, TEXT_CHARS, encode

logger = logging.getLogger(__name__)

COALESCE_S = 0.005
COALESCE_CHARS = 2_048


class LineSink(ABC):
    """Takes a spool's lines, in order."""

    lost: int = 0
    """Lines that were taken and could not be delivered after all."""

    @abstractmethod
    def append(self, line: bytes) -> None:
        """Take one line, without its newline. Raises OSError where it cannot be."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held; a later line would take hold of it again."""


class AttemptText(AttemptSpool):
    """One attempt's side of a spool. `clock` counts seconds and may begin anywhere."""

    def __init__(
        self,
        sink: LineSink,
        agent: str,
        attempt: int,
        offset: int,
        sealer: Sealer,
        clock: Callable[[], float],
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._agent, self._attempt, self._sealer = agent, attempt, sealer
        self._begin = self._offset = offset
        self._seq = 1
        self._held: list[str] = []
        self._held_chars = 0
        self._last_write = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._refused = self._lost = 0
        self._begun = self._write("superseded", 0, offset)

    @property
    def dropped(self) -> int:
        return self._refused + self._sink.lost

    def delta(self, text: str) -> None:
        if not text or self._closed:
            return
        self._held.append(text)
        self._held_chars += len(text)
        wait = self._last_write + COALESCE_S - self._clock()
        if self._held_chars >= COALESCE_CHARS or wait <= 0:
            self._flush()
        elif self._timer is None:
            self._timer = _later(wait, self._flush)

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
        self._sink.close()

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
        if not self._begun or self._sink.lost != self._lost:
            # Readers must learn where this attempt begins, even if only now.
            self._lost = self._sink.lost
            self._begun = self._write("superseded", 0, self._begin)
        self._write(kind, self._seq, self._offset, text, note)
        self._seq += 1

    def _write(self, kind: str, seq: int, offset: int, text: str = "", note: str = "") -> bool:
        """Say whether the record was taken."""
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
            self._sink.append(encode(fields, self._sealer))
        except Exception as error:  # a paid call must go on, whatever is wrong here
            self._refused += 1
            if self._refused == 1:
                logger.warning("the spool of %s is not written: %s", self._agent, error)
            return False
        return True


def _later(wait_s: float, work: Callable[[], None]) -> asyncio.TimerHandle | None:
    """Call back after a while, if an event loop runs here."""
    try:
        return asyncio.get_running_loop().call_later(wait_s, work)
    except RuntimeError:
        return None
