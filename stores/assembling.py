"""From spool records to one coherent text per agent. Pure.

Strategy: a text is kept as segments by their place in the true text, since every record says
where it belongs. As long as there is one segment that begins at 0 nothing is missing. A hole
closes again when a later attempt begins before it. Records may come again (a reader that
connected anew) and may be stale (a worker that was thought lost): both change nothing.

What cannot be seen in offsets is remembered as `blurred`: an attempt of which only the end was
seen, or one that goes on from an attempt that was never seen, leaves in doubt how much of the
text before it still counts. An attempt that begins at 0 clears it.

What is missing after the last record cannot be known: a text is whole when it `ended` without
a gap.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from contracts.spools import SpoolRecord


@dataclass(frozen=True)
class TextChange:
    """What a record did to the text that is shown: keep `keep` characters, then add `added`.

    `gap` says that the text is not whole now, and is to be taken from the artifact in the end.
    """

    agent: str
    keep: int
    added: str
    gap: bool
    ended: bool = False


class TextAssembler:
    """Feed it records of a run in any number of readings; ask it for the texts."""

    def __init__(self) -> None:
        self._agents: dict[str, _AgentText] = {}

    def feed(self, record: SpoolRecord) -> TextChange | None:
        """Take a record; None when it is stale or was seen before, and changes nothing.

        A tool's event is no text either.
        """
        if record.kind == "tool":
            return None
        agent = self._agents.setdefault(record.agent, _AgentText())
        return agent.feed(record)

    @property
    def agents(self) -> tuple[str, ...]:
        """Those that have been seen, in the order of their first record."""
        return tuple(self._agents)

    def text(self, agent: str) -> str:
        """Return the text as far as it is known, its segments joined; see `gap`."""
        return self._of(agent).text()

    def gap(self, agent: str) -> bool:
        """Say whether something is missing or in doubt in the text."""
        return self._of(agent).gap

    def ended(self, agent: str) -> bool:
        """Say whether the latest attempt wrote its last record."""
        return self._of(agent).ended

    def attempt(self, agent: str) -> int:
        """Return the number of the latest attempt seen, 0 for none."""
        return self._of(agent).attempt

    def sound_text(self, agent: str) -> str:
        """Return the text before the first gap: what an attempt can go on from."""
        return self._of(agent).sound_text()

    def _of(self, agent: str) -> "_AgentText":
        return self._agents.get(agent) or _AgentText()


def coherent(records: Iterable[SpoolRecord]) -> dict[str, str]:
    """Return each agent's text after all records."""
    assembler = TextAssembler()
    for record in records:
        assembler.feed(record)
    return {agent: assembler.text(agent) for agent in assembler.agents}


@dataclass
class _Segment:
    """Text that begins at character `start` of the true text."""

    start: int
    pieces: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def end(self) -> int:
        return self.start + self.size

    def text(self) -> str:
        self.pieces = ["".join(self.pieces)]
        return self.pieces[0]

    def append(self, text: str) -> None:
        self.pieces.append(text)
        self.size += len(text)

    def cut(self, end: int) -> None:
        if end < self.end:
            self.size = end - self.start
            self.pieces = [self.text()[: self.size]]


class _AgentText:
    """One agent's text, its latest attempt and the last record of that."""

    def __init__(self) -> None:
        self.attempt = 0
        self.ended = False
        self._seq = -1
        self._segments: list[_Segment] = []
        self._blurred = False

    @property
    def gap(self) -> bool:
        holes = len(self._segments) > 1 or any(part.start for part in self._segments)
        return self._blurred or holes

    def text(self) -> str:
        return "".join(part.text() for part in self._segments)

    def sound_text(self) -> str:
        if self._blurred or not self._segments or self._segments[0].start:
            return ""
        return self._segments[0].text()

    def feed(self, record: SpoolRecord) -> TextChange | None:
        if (record.attempt, record.seq) <= (self.attempt, self._seq):
            return None
        if record.attempt > self.attempt:
            self._begin(record)
        self._seq = record.seq
        keep = self._cut(record.offset)
        added = record.text if record.kind == "delta" else ""
        self._segments[-1].append(added)
        self.ended = record.kind == "ended"
        return TextChange(record.agent, keep, added, self.gap, self.ended)

    def _begin(self, record: SpoolRecord) -> None:
        """Start an attempt; judge whether it is known what it goes on from.

        Its first delta (seq 1) begins where the lost `superseded` did; a later one does not.
        """
        first_seen = record.seq <= 1
        follows = record.attempt == self.attempt + 1 or self.attempt == 0
        if record.offset == 0:
            self._blurred = False
        elif not (first_seen and follows):
            self._blurred = True
        self.attempt = record.attempt

    def _cut(self, offset: int) -> int:
        """Drop what lies from `offset` on, make the last segment end there, return what is shown.

        An empty segment behind the others is how a hole before `offset` is remembered.
        """
        while self._segments and self._segments[-1].start >= offset:
            self._segments.pop()
        if self._segments and self._segments[-1].end >= offset:
            self._segments[-1].cut(offset)
        else:
            self._segments.append(_Segment(offset))
        return sum(part.size for part in self._segments)
