"""The spool's port: where an answer lives while it is being written, and who must do what.

A run's spool is append-only and read by offset; steps and attempts of the run share it. It serves
viewers, and whoever has to go on from the partial text of an interrupted attempt. It is never the
only place of an answer that is whole: that one is an artifact. What an offset counts is the
place's own business: a reader hands back what it was given, 0 for the beginning.

Writers. `open_attempt` is called once for each attempt that may write text, with a number above
all earlier ones of that agent; calling it again before any text was written is harmless. Whoever
opened an attempt's spool closes it; `close` writes out what is held back, and may be called
twice. Nothing here raises and nothing waits: what cannot be written is dropped and counted, and
readers see the gap by `seq` and `offset`. All writing methods are for one thread, and where the
place is on another machine, for one event loop that runs meanwhile; `aclose` ends that.

Readers. `follow` may be started before the first record is written and any number of times; it
holds nothing on the writer's side. It yields only complete records, in order, and drops those
that are stale: of lower attempts than the highest it has seen of that agent, or seen before.
Closing the iterator (`aclose`) or setting `stop` ends it. Where the place cannot be read it
raises StoreUnavailable, and may be started again with the last offset.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from contracts.spools import SpoolRecord
from contracts.tools import ToolEventRecord


@dataclass(frozen=True)
class KeptSpool:
    """A spool that lies in its place, under `Spools.name` of its run.

    `modified` is when it was last written to.
    """

    name: str
    size_bytes: int
    modified: datetime


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

        Say whether it was written, or is on its way.
        """

    async def aclose(self) -> None:
        """Send what is on its way, waiting for some seconds at most. Safe to repeat."""
        return


class SpoolReader(ABC):
    """Reads spools, while they are written and afterwards."""

    @abstractmethod
    def follow(
        self, run_id: str, from_offset: int = 0, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[tuple[SpoolRecord, int], None]:
        """Yield records, each with the offset from which to follow on after it.

        Goes on for ever; once `stop` is set it ends after what had been written by then.
        """

    @abstractmethod
    async def end(self, run_id: str) -> int:
        """Return the offset behind what is written now.

        0 where nothing is, or where the place cannot be read: from there nothing is missed.
        """

    @abstractmethod
    async def partial(self, run_id: str, agent: str, attempt: int) -> str:
        """Return the agent's text as that attempt left it, what it continued included.

        Where records are missing, the text before the first gap; empty where there is none, or
        where the spool cannot be read. The length of what is returned is the offset with which
        an attempt that goes on from it opens its spool.
        """


class Spools(SpoolWriter, SpoolReader, ABC):
    """Both sides of one place for spools, and what is kept there."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for messages; no credentials."""

    @abstractmethod
    def name(self, run_id: str) -> str:
        """Return what a run's spool is called, whether it exists or not."""

    @abstractmethod
    async def kept(self) -> list[KeptSpool]:
        """Return all spools that there are. Raises StoreUnavailable."""

    @abstractmethod
    async def remove(self, name: str) -> None:
        """Remove a spool; one that is gone is no error. Raises StoreUnavailable."""
