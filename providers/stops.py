"""Stop sequences for vendors that have none: cuts a stream's text before the first one."""

from collections.abc import Sequence


class StopCutter:
    """Passes text on until a stop sequence begins; holds back only what may be one's beginning.

    `feed` returns what may be shown; `stopped` is True once a sequence was complete, and from
    then on nothing more comes. `flush` returns what was held back when the stream ends by itself.
    """

    __slots__ = (
        "_held",
        "_longest",
        "_stops",
        "stopped",
    )

    def __init__(self, stops: Sequence[str] | None) -> None:
        self._stops = tuple(stops or ())
        self._longest = max((len(stop) for stop in self._stops), default=0)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """Return the part of the text so far that is certainly no stop sequence."""
        if not self._stops:
            return text
        if self.stopped:
            return ""
        text = self._held + text
        cut = min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=-1)
        if cut >= 0:
            self.stopped = True
            self._held = ""
            return text[:cut]
        keep = self._possible_beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Return what was held back: the stream is over and it was no stop sequence."""
        held, self._held = self._held, ""
        return held

    def _possible_beginning(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop sequence."""
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[-size:]
            if any(stop.startswith(end) for stop in self._stops):
                return size
        return 0
