"""What was probably meant by a key that a file must not have.

A key is known by its near spelling, by what other tools call the same thing (`needs` is
`dependencies` here), or since it belongs one level deeper (`temperature` under `llm_config`). The
keys that are accepted are listed only where nothing of this helps.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from rules.nearest import meant, suggestion

ACCEPTED = " Accepted: "
"""Stands before the list of what is accepted, at the end of a message."""

ELSEWHERE = {
    "after": "dependencies",
    "budget": "cost_budget",
    "condition": "when",
    "depends_on": "dependencies",
    "foreach": "for_each",
    "id": "name",
    "if": "when",
    "loop": "repeat",
    "max_cost": "cost_limit",
    "needs": "dependencies",
    "nodes": "agents",
    "parallel": "max_parallel_agents",
    "prompt": "prompt_template",
    "retries": "max_retries",
    "steps": "agents",
    "system_prompt": "instructions",
    "tasks": "agents",
    "tests": "test_cases",
}
"""Keys of other tools' files, and ours for the same thing."""

ADVICE = {
    "provider": (
        "The persona chooses the provider; `llm_config: {model: …}` pins a model, `fallback` names "
        "further ones, and `--provider` takes one for all agents."
    ),
}
"""What to do about keys for which there is none of ours."""


def accepted_keys(model: type[BaseModel]) -> list[str]:
    """Return a model's keys as the file spells them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def meant_key(key: str, accepted: Collection[str]) -> str | None:
    """Return the accepted key that was most probably meant, or None."""
    same = ELSEWHERE.get(key.lower())
    if same is not None and same in accepted:
        return same
    return next(iter(meant(key, accepted)), None)


def respelt(
    keys: Iterable[str], accepted: Collection[str], wanted: Collection[str]
) -> dict[str, str]:
    """Return the keys that are not accepted and for which one of `wanted` was meant, each once."""
    found: dict[str, str] = {}
    for key in keys:
        meant = None if key in accepted else meant_key(key, accepted)
        if meant is not None and meant in wanted and meant not in found.values():
            found[key] = meant
    return found


def unknown_key(key: object, accepted: Sequence[str], model: type[BaseModel] | None = None) -> str:
    """Say that a key is not known, and which was meant; all that are accepted if that is unclear.

    `model` is the one that the accepted keys are of, where there is one.
    """
    word = str(key)
    if (advice := ADVICE.get(word.lower())) is not None:
        return f"unknown key. {advice}"
    group = _group_with(word, model) if model is not None else None
    if group is not None:
        return f'unknown key. It belongs under "{group}".'
    same = ELSEWHERE.get(word.lower())
    hint = f' Did you mean "{same}"?' if same in accepted else suggestion(word, accepted)
    return f"unknown key.{hint or ACCEPTED + ', '.join(accepted)}"


def _group_with(key: str, model: type[BaseModel]) -> str | None:
    """Return the model's key below which such a key is accepted."""
    for name, field in model.model_fields.items():
        inner = find_model(field.annotation, direct=True)
        if inner is not None and key in accepted_keys(inner):
            return field.alias or name
    return None


def find_model(annotation: Any, direct: bool = False) -> type[BaseModel] | None:
    """Return the model of a value; `direct`: not one of a list's or mapping's entries."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if direct and getattr(annotation, "__origin__", None) in (list, dict, tuple, Mapping):
        return None
    for inner in getattr(annotation, "__args__", ()):
        found = find_model(inner, direct)
        if found is not None:
            return found
    return None
