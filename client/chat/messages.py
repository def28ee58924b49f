"""What may be said to an agent: text, of a bounded length, without what steers a terminal."""

import unicodedata

MAX_LENGTH = 10_000
"""Characters of a message, the white space around it left out."""

_ALLOWED = frozenset("\t\n\r")
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


class MessageValidator:
    """Validates user messages. `max_length` counts characters without the space around them."""

    def __init__(self, max_length: int = MAX_LENGTH) -> None:
        if max_length < 1:
            raise ValueError(f"max_length must be 1 or more, not {max_length}")
        self.max_length = max_length

    def validate(self, message: str | None) -> tuple[bool, str | None]:
        """Return (True, None), or (False, why not).

        A message is empty where nothing in it can be seen: spaces of any kind, zero-width
        characters. Control characters are C0 and C1 but for tab, line feed and carriage return,
        and DEL; they may stand nowhere.
        """
        if message is None or not isinstance(message, str):
            return False, "the message is empty"
        found = next((c for c in message if _is_control(c)), None)
        visible = any(unicodedata.category(c) not in _INVISIBLE for c in message)
        if not visible and found is None:
            return False, "the message is empty"
        if found is not None:
            return False, f"the message contains control characters (U+{ord(found):04X})"
        size = len(message.strip())
        if size > self.max_length:
            return False, f"the message has {size:,} characters: {self.max_length:,} at most"
        if not _encodes(message):
            return False, "the message contains half characters (surrogates)"
        return True, None


def _is_control(char: str) -> bool:
    return unicodedata.category(char) == "Cc" and char not in _ALLOWED


def _encodes(message: str) -> bool:
    try:
        message.encode()
    except UnicodeEncodeError:
        return False
    return True
