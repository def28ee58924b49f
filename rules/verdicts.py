"""What an agent did in a test, and how each thing that was asked of it came out."""

import json
import math
from dataclasses import dataclass

from contracts.base import Json


class CannotEvaluate(ValueError):
    """A check that has nothing to hold the answer against, or no way to; the text says which."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call of a tool as the model made it."""

    name: str
    arguments: Json = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check: its score from 0 to 1, which passes at `threshold`; `reason` is for people."""

    name: str
    score: float
    threshold: float = 1.0
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether the score reaches the threshold; one that is no number does not."""
        return math.isfinite(self.score) and self.score >= self.threshold


def same(one: Json, other: Json) -> bool:
    """Return whether two JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def text_of(value: Json) -> str:
    """Return a text as it is, any other value as its JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cut(text: str, length: int = 80) -> str:
    """Return a text as one line of at most `length` characters."""
    line = " ".join(text[: 10 * length].split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def plain(text: str) -> str:
    """Return a text for lenient comparison: no case, and one space for any white space."""
    return " ".join(text.casefold().split())
