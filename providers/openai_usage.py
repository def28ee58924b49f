"""Usage as OpenAI's two APIs and their imitators report it, normalised."""

from typing import Any

from contracts.messages import Usage


def chat_usage(raw: dict[str, Any]) -> Usage:
    """Read the usage of Chat Completions. The prompt's count includes cached tokens.

    Cached tokens are looked for where imitators put them, too.
    """
    prompt = _object(raw.get("prompt_tokens_details"))
    completion = _object(raw.get("completion_tokens_details"))
    cached = (
        prompt.get("cached_tokens")
        or raw.get("prompt_cache_hit_tokens")
        or raw.get("cached_tokens")
    )
    return Usage(
        prompt_tokens=_count(raw.get("prompt_tokens")),
        completion_tokens=_count(raw.get("completion_tokens")),
        total_tokens=_count(raw.get("total_tokens")),
        cached_tokens=_count(cached),
        cache_write_tokens=_count(prompt.get("cache_write_tokens")),
        reasoning_tokens=_count(completion.get("reasoning_tokens")),
        raw=raw,
    )


def responses_usage(raw: dict[str, Any]) -> Usage:
    """Read the usage of Responses. The input's count includes cached tokens."""
    prompt = _object(raw.get("input_tokens_details"))
    completion = _object(raw.get("output_tokens_details"))
    return Usage(
        prompt_tokens=_count(raw.get("input_tokens")),
        completion_tokens=_count(raw.get("output_tokens")),
        total_tokens=_count(raw.get("total_tokens")),
        cached_tokens=_count(prompt.get("cached_tokens")),
        cache_write_tokens=_count(prompt.get("cache_write_tokens")),
        reasoning_tokens=_count(completion.get("reasoning_tokens")),
        raw=raw,
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    """A number of tokens; whatever is none counts as 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return max(0, int(value))
