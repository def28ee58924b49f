"""JSON out of a model's answer, checked against a schema. Pure."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from contracts.base import Json
from rules.jsonschemas import known_schemas, validator_class

MOST_ERRORS = 8
"""Listed of one answer."""

_FENCED = re.compile(r"^\s*```[a-zA-Z]*\n(.*?)\n?```\s*$", re.DOTALL)


def read_json(text: str, schema: Mapping[str, Any] | None) -> tuple[Json, tuple[str, ...]]:
    """Return (value, errors). Each error begins with the path of the value that is wrong.

    A fence around the JSON is taken off, as models add one though told not to.
    """
    fenced = _FENCED.match(text)
    try:
        value = orjson.loads(fenced.group(1) if fenced else text)
    except orjson.JSONDecodeError as error:
        return None, (f"not JSON: {error}",)
    return (value, ()) if schema is None else (value, tuple(_problems(value, schema)))


def _problems(value: Json, schema: Mapping[str, Any]) -> list[str]:
    from referencing.exceptions import Unresolvable

    validator = validator_class()(dict(schema), registry=known_schemas())
    problems = []
    try:
        errors = sorted(validator.iter_errors(value), key=lambda e: list(map(str, e.path)))
    except Unresolvable as gone:
        return [f"the schema refers to {gone.ref}, which is not in it"]
    for error in errors[:MOST_ERRORS]:
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.path)
        problems.append(f"{where.lstrip('.') or 'answer'}: {error.message[:200]}")
    return problems
