"""What is wrong with a file that a person wrote: all of it, each with its line.

A `Problem` is one line of output, `file:line: path: message`. Loaders collect problems and
raise them together; pydantic's errors are turned into the same form here, in the words of the
file: what is accepted, what was found, and the nearest spelling.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from config.keys import ACCEPTED, accepted_keys, find_model, meant_key, unknown_key
from rules.nearest import suggestion

KeyPath = tuple[str | int, ...]
"""Where a value stands: ("agents", 1, "dependencies")."""

SHORT, LONG = "(short)", "(long)"
"""Tags of a value's two spellings in unions; they are no part of a path."""

_NO_PART = (SHORT, LONG, "[key]")
_SHOWN_CHARS = 60
_HIDDEN = object()


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake. `line` counts from 1; 0 means the file as a whole."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigError(Exception):
    """A file or setting that cannot be used; `problems` has all that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = _listed_once(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def spell_path(path: KeyPath) -> str:
    """Return ("agents", 1, "set") as agents[1].set."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


did_you_mean = suggestion
"""Return ' Did you mean "…"?' for the nearest known name, or nothing."""


def _listed_once(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems with each list of what is accepted at the first of them only."""
    seen: dict[tuple[str, str], int] = {}
    told = []
    for problem in problems:
        said, _, accepted = problem.message.partition(ACCEPTED)
        line = seen.setdefault((problem.file, accepted), problem.line) if accepted else 0
        if line and line != problem.line:
            problem = replace(problem, message=f"{said}{ACCEPTED}as in line {line}")
        told.append(problem)
    return told


def explain(
    error: ValidationError, model: type[BaseModel], show_values: bool = True
) -> list[tuple[KeyPath, str]]:
    """Return pydantic's errors as (path below the model, message in the file's words).

    `show_values` False: the wrong values are not repeated, since they may hold secrets.
    """
    items: list[Any] = error.errors(include_url=False)
    if not show_values:
        items = [{**item, "input": _HIDDEN} for item in items]
    meant = {
        (tuple(item["loc"][:-1]), meant_key(str(item["loc"][-1]), _accepted(item, model)))
        for item in items
        if item["type"] == "extra_forbidden"
    }
    return [
        _explain_one(item, model)
        for item in items
        # what is missing stands there, misspelt, and that is told
        if item["type"] != "missing" or (tuple(item["loc"][:-1]), item["loc"][-1]) not in meant
    ]


def _accepted(item: Any, model: type[BaseModel]) -> list[str]:
    return accepted_keys(_model_at(model, _path_of(item)[:-1]))


def _path_of(item: Any) -> KeyPath:
    return tuple(part for part in item["loc"] if part not in _NO_PART)


def _explain_one(item: Any, model: type[BaseModel]) -> tuple[KeyPath, str]:
    path = _path_of(item)
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        owner = _model_at(model, path[:-1])
        return path, unknown_key(path[-1], accepted_keys(owner), owner)
    if kind == "missing":
        return path[:-1], f'"{path[-1]}" is missing'
    if kind == "value_error":
        return path, str(context["error"])
    if kind == "literal_error":
        near = ""
        if isinstance(item["input"], str):
            near = did_you_mean(item["input"], _quoted(context["expected"]))
        said = f"must be {context['expected']}{_found(item)}".replace("'", '"')
        return path, f"{said}.{near}" if near else said
    return path, _plain(item["msg"], kind, context) + _found(item)


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    """Return the model that holds the value at a path, as far as annotations tell."""
    for part in path:
        for name, field in model.model_fields.items():
            if part in (name, field.alias):
                model = find_model(field.annotation) or model
    return model


_WORDS = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "decimal_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "dict_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}


_PATTERNS = {
    "^[0-9a-f]{64}$": "must be a SHA-256: 64 digits of 0 to 9 and a to f",
    r"^[^\s/]+:\d+$": "must be an address such as localhost:7233",
    r"^[a-z][a-z0-9+.-]*://": "must be an address such as s3://bucket/prefix",
    r"^(rediss?|unix)://": "must be an address such as redis://localhost:6379/1",
    r"^(file:///|(rediss?|unix)://)": "must be an address such as redis://localhost:6379/1, or "
    "file:///srv/spools",
}
"""What the regular expressions of our models mean."""

_SUBJECT = re.compile(r"^(Input|String|List|Tuple|Dictionary|Value) should ")


def _plain(message: str, kind: str, context: Mapping[str, Any]) -> str:
    known = _WORDS.get(kind) or _PATTERNS.get(str(context.get("pattern", "")))
    return known or _SUBJECT.sub("must ", message)


def _found(item: Any) -> str:
    """Return what stands there instead, where it is short enough to show."""
    value = item["input"]
    if value is None:
        return ", but nothing stands there"
    if item["type"] == "string_type" and isinstance(value, dict) and set(value.values()) == {None}:
        quoted = "{" + ", ".join(map(str, value)) + "}"
        return f', and {{ begins a mapping: "{quoted}" in quotes is one'
    if isinstance(value, bool):
        return f", not {str(value).lower()}"
    if isinstance(value, int | float):
        return f", not {value}"
    if isinstance(value, str) and value and len(value) <= _SHOWN_CHARS and "\n" not in value:
        return f', not "{value}"'
    return ""


def _quoted(expected: str) -> list[str]:
    return expected.split("'")[1::2]
