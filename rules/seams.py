"""The seam between an interrupted answer and its continuation: no word doubled, none lost.

A model that is asked to go on often repeats the last words. What arrives is held back only while
some suffix of the text before (its last 400 characters) still extends it; then the longest match
of at least four characters between the end of the text before and the start of the new one is
taken off. Trimming delta by delta would fail, since an overlap spans deltas.
"""

WINDOW = 400
LEAST = 4


class Seam:
    """Joins one continuation to the text before it. `feed` deltas, then `finish` once."""

    def __init__(self, before: str) -> None:
        self._tail = before[-WINDOW:]
        self._held = ""
        self._open = True

    def feed(self, delta: str) -> str:
        """Take a delta; return the text that is certain by now."""
        if not self._open:
            return delta
        self._held += delta
        if self._may_grow():
            return ""
        return self._release()

    def finish(self) -> str:
        """Return what was still held back: the stream has ended."""
        return self._release() if self._open else ""

    def _may_grow(self) -> bool:
        """Whether more text could make a longer match: a suffix goes on from all we hold."""
        first = self._tail.find(self._held)
        return first != -1 and first + len(self._held) < len(self._tail)

    def _release(self) -> str:
        self._open = False
        held, self._held = self._held, ""
        return held[overlap(self._tail, held) :]


def overlap(before: str, after: str) -> int:
    """Return the length of the longest suffix of `before` that begins `after`, at least LEAST."""
    for length in range(min(len(before), len(after)), LEAST - 1, -1):
        if before.endswith(after[:length]):
            return length
    return 0
