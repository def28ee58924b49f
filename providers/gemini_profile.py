"""What Gemini models accept, by version, read from the name.

The `-latest` names are taken for the newest; another name without a version (`gemini-pro`) gets
the plain request; a vendor's error is better than a silently changed one.
"""

import re
from dataclasses import dataclass
from typing import Literal

STOPS_LIMIT = 5
"""How many stop sequences the API takes."""

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_ALIAS = re.compile(r"gemini-(?:pro|flash|flash-lite)-latest")


@dataclass(frozen=True)
class Profile:
    """What one model accepts.

    `thinking`: by "level", by "budget" (tokens), or "none". `always_thinks`: cannot be turned
    off; `least_budget` and `most_budget` bound a budget. `schema_with_tools`: a response schema
    and tools in one request. `signed_calls`: calls in the history need a thought signature.
    """

    thinking: Literal["none", "budget", "level"] = "none"
    always_thinks: bool = False
    least_budget: int = 0
    most_budget: int = 24576
    schema_with_tools: bool = False
    signed_calls: bool = False


def profile(model: str) -> Profile:
    """Return what a model accepts."""
    name = model.lower().rsplit("/", 1)[-1]
    is_pro = "pro" in name and "flash" not in name
    match = _VERSION.search(name)
    version = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
    if version >= (3, 0) or _ALIAS.fullmatch(name):
        return Profile(
            thinking="level", always_thinks=is_pro, schema_with_tools=True, signed_calls=True
        )
    if version < (2, 5):
        return Profile()
    if is_pro:
        return Profile(thinking="budget", always_thinks=True, least_budget=128, most_budget=32768)
    return Profile(thinking="budget", least_budget=512 if "lite" in name else 1)
