"""The spool's port: where an answer lives while it is being written, and who must do what.

A run's spool is append-only and read by byte offset; steps and attempts of the run share it.
It serves viewers, and whoever has to go on from the partial text of an interrupted attempt. It
is never the only place of an answer that is whole: that one is an artifact.

Writers. `open_attempt` is called once for each attempt that may write text, with a number above
all earlier ones of that agent; calling it again before any text was written is harmless. Whoever
opened an attempt's spool closes it; `close` writes out what is held back, and may be called
twice. Nothing here raises and nothing waits: what cannot be written is dropped and counted, and
readers see the gap by `seq` and `offset`. All writing methods are for one thread.

Readers. `follow` may be started before the first record is written and any number of times; it
holds nothing on the writer's side. It yields only complete records, in order, and drops those
that are stale: of lower attempts than the highest it has seen of that agent, or seen before.
Closing the iterator (`aclose`) or setting `stop` ends it.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator

from contracts.spools import SpoolRecord
from contracts.tools import ToolEventRecord


class AttemptSpool(ABC):
    """Takes the text of one attempt as it arrives."""

    @property
    @abstractmethod
    def dropped(self) -> int:
        """How many records could not be written."""

    @abstractmethod
    def delta(self, text: str) -> None:
        """Append text. Small pieces may be held back for some milliseconds and joined."""

    @abstractmethod
    def ended(self, note: str = "") -> None:
        """Say that the answer is whole. Nothing is appended after it."""

    @abstractmethod
    def close(self) -> None:
        """Write what is held back and let go of the spool."""


class SpoolWriter(ABC):
    """Opens spools for writing."""

    @abstractmethod
    def open_attempt(self, run_id: str, agent: str, attempt: int, offset: int = 0) -> AttemptSpool:
        """Begin an attempt whose text starts at character `offset` of the agent's text.

        What earlier attempts wrote from there on no longer counts.
        """

    @abstractmethod
    def tell(self, run_id: str, agent: str, attempt: int, seq: int, event: ToolEventRecord) -> bool:
        """Write an event of a tool call, `agent` being `contracts.tools.spool_agent` of it.

        Say whether it was written.
        """


class SpoolReader(ABC):
    """Reads spools, while they are written and afterwards."""

    @abstractmethod
    def follow(
        self,
        run_id: str,
        from_offset: int = 0,
        poll_s: float = 0.01,
        stop: asyncio.Event | None = None,
    ) -> AsyncGenerator[tuple[SpoolRecord, int], None]:
        """Yield records, each with the offset from which to follow on after it.

        Goes on for ever; once `stop` is set it ends after what had been written by then.
        """

    @abstractmethod
    def partial(self, run_id: str, agent: str, attempt: int) -> str:
        """Return the agent's text as that attempt left it, what it continued included.

        Where records are missing, the text before the first gap; empty where there is none, or
        where the spool cannot be read. The length of what is returned is the offset with which
        an attempt that goes on from it opens its spool.
        """


class Spools(SpoolWriter, SpoolReader, ABC):
    """Both sides of one place for spools."""
