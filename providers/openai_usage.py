"""Usage as OpenAI's two APIs and their imitators report it, normalised."""

from typing import Any

from contracts.messages import Usage
from providers.counts import count


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
        estimated=_is_unreported(raw, "prompt_tokens", "completion_tokens"),
        prompt_tokens=count(raw.get("prompt_tokens")),
        completion_tokens=count(raw.get("completion_tokens")),
        total_tokens=count(raw.get("total_tokens")),
        cached_tokens=count(cached),
        cache_write_tokens=count(prompt.get("cache_write_tokens")),
        reasoning_tokens=count(completion.get("reasoning_tokens")),
        raw=raw,
    )


def responses_usage(raw: dict[str, Any]) -> Usage:
    """Read the usage of Responses. The input's count includes cached tokens."""
    prompt = _object(raw.get("input_tokens_details"))
    completion = _object(raw.get("output_tokens_details"))
    return Usage(
        estimated=_is_unreported(raw, "input_tokens", "output_tokens"),
        prompt_tokens=count(raw.get("input_tokens")),
        completion_tokens=count(raw.get("output_tokens")),
        total_tokens=count(raw.get("total_tokens")),
        cached_tokens=count(prompt.get("cached_tokens")),
        cache_write_tokens=count(prompt.get("cache_write_tokens")),
        reasoning_tokens=count(completion.get("reasoning_tokens")),
        raw=raw,
    )


def _is_unreported(raw: dict[str, Any], *names: str) -> bool:
    """Tell a report of nothing, or with a hole in it: no answer has cost nothing at all."""
    counts = [raw.get(name) for name in names]
    return not any(counts) or not all(isinstance(count, int | float) for count in counts)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
