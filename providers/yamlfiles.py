"""YAML files into validated models, with errors that name the file, the line and the key.

Every failure is a `RouterError`: a missing or unreadable file, broken YAML, a duplicate key, a
top level that is no mapping, an unknown key, a wrong value. An empty file is an empty mapping.
"""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from providers.exceptions import RouterError

M = TypeVar("M", bound=BaseModel)


def load_model(path: Path, model: type[M]) -> M:
    """Read a YAML file into a model. Raises `RouterError` only."""
    text = _read(path)
    data = _parse(path, text, "safe")
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise RouterError(f"{path}: expected keys and values, found a {_name(data)}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise RouterError(_problems(path, text, error)) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RouterError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RouterError(f"{path}: cannot be read: {error}") from None


def _parse(path: Path, text: str, kind: str) -> Any:
    try:
        return YAML(typ=kind, pure=True).load(text)
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = (error.problem or "not valid YAML").split("\n")[0]
        raise RouterError(f"{path}{line}: {problem}") from None
    except (YAMLError, ValueError) as error:
        raise RouterError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None


def _name(data: Any) -> str:
    return {list: "list", str: "text", int: "number", float: "number"}.get(type(data), "value")


def _problems(path: Path, text: str, error: ValidationError) -> str:
    """Return one line per problem, each with the place in the file."""
    tree = _parse(path, text, "rt")
    lines = []
    for problem in error.errors(include_url=False):
        place = tuple(problem.get("ctx", {}).get("place", problem["loc"]))
        message = _WORDS.get(problem["type"]) or problem["msg"] + _told(problem["input"])
        lines.append(f"{path}{line_of(tree, place)}: {_key(place)}{message}")
    return "\n".join(lines)


_WORDS = {
    "extra_forbidden": "unknown key",
    "missing": "missing",
    "tuple_type": "a list is expected here, such as [one, two]",
    "model_type": "keys and values are expected here",
    "dict_type": "keys and values are expected here",
    "mapping_type": "keys and values are expected here",
}
_SHORT = 40


def _told(value: Any) -> str:
    """The wrong value, where it is short; mappings and lists stand in the file."""
    simple = value is None or isinstance(value, bool | int | float | str)
    return f", not {value!r}" if simple and len(str(value)) <= _SHORT else ""


def _key(place: tuple[int | str, ...]) -> str:
    written = ""
    for step in place:
        written += f"[{step}]" if isinstance(step, int) else f".{step}" if written else step
    return f"{written}: " if written else ""


def line_of(tree: Any, place: tuple[int | str, ...]) -> str:
    """Return ":<line>" of the deepest part of a key path that the file has, or ""."""
    line = ""
    for step in place:
        marks = getattr(tree, "lc", None)
        if marks is None:
            break
        try:
            found = marks.item(step)[0] if isinstance(step, int) else marks.key(step)[0]
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            break
        line = f":{found + 1}"
    return line
