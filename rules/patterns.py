"""Regular expressions that people write, held against texts that models write: bounded in time.

A pattern such as `(a+)+$` takes for ever on a text made for it, whoever made it, and the standard
library cannot be stopped in it. `regex` reads the same patterns and gives up after a while; it lets
go of the interpreter's lock meanwhile. It is imported with its first use. (The conditions of teams
need none of this: CEL's `matches` is linear.)
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import regex

LIMIT_S = 0.25
"""For one text: hundreds of times what a sound pattern takes on a long answer."""

SHOWN_CHARS = 200


class BadPattern(ValueError):
    """It is no regular expression."""


class TooSlow(ValueError):
    """It was given up: on this text it takes too long."""


def check(pattern: Any) -> None:
    """Raise BadPattern unless it is a regular expression."""
    _compiled(pattern)


def occurs(pattern: Any, text: str, limit_s: float = LIMIT_S) -> bool:
    """Return whether a pattern is found anywhere in a text. Raises BadPattern, TooSlow."""
    try:
        return _compiled(pattern).search(text, timeout=limit_s, concurrent=True) is not None
    except TimeoutError:
        shown = _shown(pattern)
        raise TooSlow(
            f"{shown} takes more than {limit_s:g} s on a text of {len(text):,} characters: "
            "write it without repetitions within repetitions"
        ) from None


@lru_cache(maxsize=256)
def _compiled(pattern: Any) -> "regex.Pattern[str]":
    import regex

    if not isinstance(pattern, str):
        raise BadPattern(f"{_shown(pattern)} is no regular expression: it is no text")
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise BadPattern(f"{_shown(pattern)} is no regular expression: {error}") from None


def _shown(pattern: Any) -> str:
    text = repr(pattern)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
