"""The text of an answer, as it may be told to who cannot take a word back.

An answer's text is that of all calls of the model in its turn, with an empty line between them.
OpenAI's protocol has no way to withdraw what was sent. So what is told is always a beginning of the
text as it stands now: when an attempt is given up, the text that replaces it is held back until it
has caught up with what was told. Mostly it goes on from there (`on_interrupt: continue`); where it
turns out differently in the end, that is said instead of an answer that was never given.
"""

from collections.abc import Iterable

from client.chats import TextPart

BETWEEN = "\n\n"


class Telling:
    """Feed it a turn's text parts; it returns what may be sent."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._told: list[str] = []
        self._in_step = True
        """Whether all of the text as it stands was told, and nothing else."""

    def feed(self, part: TextPart, *, held: bool = False) -> str:
        """Take a part; return what of the answer can be told now. `held`: nothing, not yet."""
        before = self._texts.get(part.unit, "")
        follows = bool(before) and next(reversed(self._texts)) == part.unit
        self._texts[part.unit] = before[: part.keep] + part.added
        if held:
            self._in_step = False
            return ""
        if self._in_step and follows and part.keep == len(before):
            self._told.append(part.added)
            return part.added
        return self._caught_up()

    def finish(self, text: str) -> str | None:
        """Return what is left to be told of the whole answer; None where it became another one."""
        told = "".join(self._told)
        return text[len(told) :] if text.startswith(told) else None

    def _caught_up(self) -> str:
        told, text = "".join(self._told), joined(self._texts.values())
        self._in_step = text.startswith(told)
        if not self._in_step:
            return ""
        self._told = [text]
        return text[len(told) :]


def joined(texts: Iterable[str]) -> str:
    """Return the text of several calls as one."""
    return BETWEEN.join(text for text in texts if text)
