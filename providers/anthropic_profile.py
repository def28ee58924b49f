"""What Claude models accept, by family and version.

Strategy: the version is read from the name (`claude-3-7-sonnet-20250219`, `claude-opus-4-8`,
`anthropic.claude-sonnet-5-v1:0`), so that a model newer than this table is taken for the newest
one here. A name that is no Claude's belongs to another vendor's server that speaks this API:
nothing is assumed of it beyond the plain request.
"""

import re
from dataclasses import dataclass
from typing import Literal

DEFAULT_MAX_TOKENS = 4096
"""Sent where the caller sets none: the API requires a number."""

MIN_THINKING_TOKENS = 1024
"""The smallest thinking budget that the API accepts."""

_NEW = re.compile(r"(?:^|[^a-z])(opus|sonnet|haiku|fable|mythos)-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_OLD = re.compile(r"claude-(\d)(?:[-.](\d))?-(opus|sonnet|haiku)")
_PREVIEW = re.compile(r"(fable|mythos)-preview")


@dataclass(frozen=True)
class Profile:
    """What one model accepts.

    `sampling`: temperature and top_p; `both_samplers`: the two of them in one request.
    `thinking`: "budget" (enabled with budget_tokens), "adaptive", "both", or "none".
    `efforts`: values of output_config.effort, weakest first. `schemas`: output_config.format.
    `forced_tools`: tool_choice any and tool.
    """

    sampling: bool = True
    both_samplers: bool = True
    thinking: Literal["none", "budget", "both", "adaptive"] = "budget"
    efforts: tuple[str, ...] = ()
    schemas: bool = False
    forced_tools: bool = True


def profile(model: str) -> Profile:
    """Return what a model accepts."""
    found = _version(model.lower())
    if found is None:
        return Profile()
    family, version = found
    newest = version >= (5, 0) or (family == "opus" and version >= (4, 7))
    return Profile(
        sampling=not newest,
        both_samplers=version < (4, 1),
        thinking=_thinking(version, newest),
        efforts=_efforts(family, version, newest),
        schemas=version >= (4, 5) or (family == "opus" and version >= (4, 1)),
        forced_tools=family not in ("fable", "mythos"),
    )


def _thinking(
    version: tuple[int, int], newest: bool
) -> Literal["none", "budget", "both", "adaptive"]:
    if newest:
        return "adaptive"
    if version >= (4, 6):
        return "both"
    return "budget" if version >= (3, 7) else "none"


def _efforts(family: str, version: tuple[int, int], newest: bool) -> tuple[str, ...]:
    if newest:
        return ("low", "medium", "high", "xhigh", "max")
    if version >= (4, 6):
        return ("low", "medium", "high", "max")
    return ("low", "medium", "high") if (family, version) == ("opus", (4, 5)) else ()


def _version(model: str) -> tuple[str, tuple[int, int]] | None:
    new = _NEW.search(model)
    if new:
        return new[1], (int(new[2]), int(new[3] or 0))
    old = _OLD.search(model)
    if old:
        return old[3], (int(old[1]), int(old[2] or 0))
    preview = _PREVIEW.search(model)
    return (preview[1], (5, 0)) if preview else None
