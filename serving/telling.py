"""The text of an answer, as it may be told to who cannot take a word back.

An answer's text is that of all calls of the model in its turn, with an empty line between them.
OpenAI's protocol has no way to withdraw what was sent. So what is told is always a beginning of the
text as it stands now: when an attempt is given up, the text that replaces it is held back until it
has caught up with what was told. Mostly it goes on from there (`on_interrupt: continue`); where it
turns out differently in the end, that is said instead of an answer that was never given.
"""

from client.chats import TextPart

BETWEEN = "\n\n"


class Telling:
    """Feed it a turn's text parts; it returns what may be sent."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._told = 0
        self._told_text: list[str] = []

    def feed(self, part: TextPart, *, held: bool = False) -> str:
        """Take a part; return what of the answer can be told now. `held`: nothing, not yet."""
        last = next(reversed(self._texts), None)
        before = self._texts.get(part.unit, "")
        text = before[: part.keep] + part.added
        self._texts[part.unit] = text
        if held:
            return ""
        grown = part.keep == len(before) and last in (None, part.unit)
        if grown and self._told == self._size() - len(part.added):
            return self._tell(part.added)
        return self._caught_up(self.text)

    def finish(self, text: str) -> str | None:
        """Return what is left to be told of the whole answer; None where it became another one."""
        told = "".join(self._told_text)
        return text[len(told) :] if text.startswith(told) else None

    @property
    def text(self) -> str:
        """The text as it stands."""
        return joined(self._texts.values())

    def _size(self) -> int:
        filled = [len(text) for text in self._texts.values() if text]
        return sum(filled) + len(BETWEEN) * max(len(filled) - 1, 0)

    def _caught_up(self, text: str) -> str:
        told = "".join(self._told_text)
        self._told_text = [told]
        return self._tell(text[len(told) :]) if text.startswith(told) else ""

    def _tell(self, added: str) -> str:
        if added:
            self._told += len(added)
            self._told_text.append(added)
        return added


def joined(texts: object) -> str:
    """Return the text of several calls as one."""
    return BETWEEN.join(text for text in texts if text)  # type: ignore[attr-defined]
