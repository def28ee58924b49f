"""The seam of a continued answer: what a model repeats of its own words is trimmed.

A model that is asked to go on often begins with the end of what it had written. Deltas of the
continuation are held back only while some suffix of the text before it still extends what has
arrived; then the longest whole match is cut off and everything else passes through at once.
Trimming each delta by itself would fail, since the repetition spans deltas.

Strategy: all places in the text's tail at which a repetition may have begun are followed at the
same time, character by character; whoever reaches the end of the tail is a whole match, and the
latest of them is the longest.
"""

from collections.abc import Sequence

REACH_CHARS = 400
"""How far back a repetition is recognised, hence the most that is ever held back."""

MIN_OVERLAP_CHARS = 4
"""Shorter repetitions are taken for coincidence: "the " may well follow "the "."""


class Seam:
    """Joins the deltas of one continuation to the text before it.

    The text before plus all that `feed` and `finish` return is the whole answer.
    """

    def __init__(self, before: str) -> None:
        self._tail = before[-REACH_CHARS:]
        self._starts: Sequence[int] = range(len(self._tail))
        self._held: list[str] = []
        self._overlap = 0
        self._open = bool(self._tail)
        self._trimmed = 0

    @property
    def held(self) -> int:
        """Characters that are held back now: at most REACH_CHARS."""
        return len(self._held)

    @property
    def trimmed(self) -> int:
        """Characters of the continuation that were cut off as repeated."""
        return self._trimmed

    def feed(self, delta: str) -> str:
        """Return what of the continuation so far may be shown now and was not yet."""
        if not self._open:
            return delta
        for position, character in enumerate(delta, start=1):
            self._follow(character)
            if not self._open:
                return self._release() + delta[position:]
        return ""

    def finish(self) -> str:
        """Return what was still held back when the continuation ended."""
        self._open = False
        return self._release()

    def _follow(self, character: str) -> None:
        """Hold one more character; close the seam when no repetition can go on."""
        at = len(self._held)
        self._held.append(character)
        end = len(self._tail)
        matching = [start for start in self._starts if self._tail[start + at] == character]
        if any(start + at + 1 == end for start in matching):
            self._overlap = at + 1
        self._starts = tuple(start for start in matching if start + at + 1 < end)
        self._open = bool(self._starts)

    def _release(self) -> str:
        cut = self._overlap if self._overlap >= MIN_OVERLAP_CHARS else 0
        released = "".join(self._held[cut:])
        self._trimmed += cut
        self._held.clear()
        self._overlap = 0
        return released
