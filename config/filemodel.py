"""What all files that people write have in common: unknown keys are mistakes."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from config.problems import LONG, SHORT


def _without_titles(schema: dict[str, Any]) -> None:
    """Leave out the titles that pydantic makes up from the names."""
    for entry in schema.get("properties", {}).values():
        entry.pop("title", None)


class FileModel(BaseModel):
    """Base: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_without_titles)


def spelling(value: Any) -> str:
    """Return which of two spellings a value has: the long one is a mapping."""
    return LONG if isinstance(value, dict | BaseModel) else SHORT
