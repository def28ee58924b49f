"""Tokens of several calls together. Pure."""

from collections.abc import Iterable

from contracts.messages import Usage

_COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
)


def total(parts: Iterable[Usage]) -> Usage | None:
    """Return the sum of several calls' tokens, None for none. One estimate makes all of it one."""
    listed = list(parts)
    if not listed:
        return None
    counts = {name: sum(getattr(part, name) for part in listed) for name in _COUNTS}
    return Usage(**counts, estimated=any(part.estimated for part in listed))
