"""What spools of lines have in common, wherever the lines lie.

Strategy: a place says how lines go there (`LineSink`) and how they come back (`Tail`); what a line
means, which of them count, and that writing never fails, is the same everywhere.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable

from contracts.spools import SpoolRecord
from contracts.tools import ToolEventRecord
from stores.naming import file_name
from stores.sealing import Sealer
from stores.spooling import AttemptSpool, Spools
from stores.spoollines import encode_event
from stores.spoolreading import Lines, Sifter
from stores.spoolwriting import AttemptText, LineSink

logger = logging.getLogger(__name__)


class Tail(ABC):
    """The lines of one spool from an offset on. Whoever opened it closes it."""

    @abstractmethod
    async def read(self) -> Lines:
        """Return the next lines, empty where there are none now. Raises StoreUnavailable."""

    @abstractmethod
    async def wait(self, stop: asyncio.Event | None) -> Lines:
        """The same, but wait for lines; empty when `stop` is set, and at times for no reason."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of what is held. Safe to repeat."""


class LineSpools(Spools, ABC):
    """Spools of lines. `clock` counts seconds and may begin anywhere."""

    def __init__(self, sealer: Sealer, clock: Callable[[], float]) -> None:
        self._sealer = sealer
        self._clock = clock

    @abstractmethod
    def _sink(self, run_id: str) -> LineSink:
        """Return where a run's lines go."""

    @abstractmethod
    def _tail(self, run_id: str, offset: int) -> Tail:
        """Return where they come back."""

    def name(self, run_id: str) -> str:
        return file_name(run_id)

    def open_attempt(self, run_id: str, agent: str, attempt: int, offset: int = 0) -> AttemptSpool:
        return AttemptText(self._sink(run_id), agent, attempt, offset, self._sealer, self._clock)

    def tell(self, run_id: str, agent: str, attempt: int, seq: int, event: ToolEventRecord) -> bool:
        sink = self._sink(run_id)
        try:
            sink.append(encode_event(agent, attempt, seq, event, self._sealer))
        except Exception as error:  # a call must go on, whatever is wrong here
            logger.warning("an event is not written to the spool: %s", error)
            return False
        finally:
            sink.close()
        return True

    async def follow(
        self, run_id: str, from_offset: int = 0, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[tuple[SpoolRecord, int], None]:
        tail = self._tail(run_id, from_offset)
        sifter = Sifter(from_start=from_offset == 0)
        try:
            while True:
                last_look = stop is not None and stop.is_set()
                lines = await (tail.read() if last_look else tail.wait(stop))
                for found in sifter.records(lines, self._sealer):
                    yield found
                if last_look and not lines:
                    return
        finally:
            await tail.aclose()
