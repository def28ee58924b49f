"""From a collected stream to the step's output: text, checked JSON, or the caller's tool calls."""

import re
from typing import Any

import orjson
from jsonschema import Draft202012Validator

from contracts.base import Json
from contracts.teams import OutputSpec

_FENCED = re.compile(r"^\s*```[a-zA-Z]*\n(.*?)\n?```\s*$", re.DOTALL)


def parse_json(text: str, spec: OutputSpec) -> tuple[Json, tuple[str, ...]]:
    """Return (value, errors): JSON out of an answer, checked against the step's schema.

    A fence around the JSON is taken off, as models add one though told not to. At most eight
    errors are listed, each with the path of the value that is wrong.
    """
    fenced = _FENCED.match(text)
    try:
        value = orjson.loads(fenced.group(1) if fenced else text)
    except orjson.JSONDecodeError as error:
        return None, (f"not JSON: {error}",)
    if spec.schema_ is None:
        return value, ()
    return value, tuple(_problems(value, spec.schema_))


def _problems(value: Json, schema: dict[str, Any]) -> list[str]:
    validator = Draft202012Validator(schema)
    problems = []
    for error in sorted(validator.iter_errors(value), key=lambda e: list(map(str, e.path)))[:8]:
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.path)
        problems.append(f"{where.lstrip('.') or 'answer'}: {error.message[:200]}")
    return problems
