"""YAML files into validated models, with errors that name the file, the line and the key.

Every failure is a `RouterError`: a missing or unreadable file, broken YAML, a duplicate key, a
top level that is no mapping, an unknown key, a wrong value. An empty file is an empty mapping.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from providers.exceptions import RouterError

M = TypeVar("M", bound=BaseModel)
Place = tuple[int | str, ...]


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
        raise RouterError(_problems(path, text, error, model)) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RouterError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RouterError(f"{path}: cannot be read: {error}") from None


def _parse(path: Path, text: str, kind: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

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


def several(found: Sequence[tuple[Place, str]]) -> PydanticCustomError:
    """Return the error of a validator that sees a whole file: what is wrong at each place."""
    context = {"found": list(found), "said": "; ".join(message for _, message in found)}
    return PydanticCustomError("several", "{said}", context)


def _problems(path: Path, text: str, error: ValidationError, model: type[BaseModel]) -> str:
    """Return one line per problem, each with the place in the file."""
    tree = _parse(path, text, "rt")
    lines = []
    for problem in error.errors(include_url=False):
        for place, message in _told_of(problem, model):
            lines.append(f"{path}{line_of(tree, place)}: {_key(place)}{message}")
    return "\n".join(lines)


def _told_of(problem: Any, model: type[BaseModel]) -> Sequence[tuple[Place, str]]:
    if problem["type"] == "several":
        found: Sequence[tuple[Place, str]] = problem["ctx"]["found"]
        return found
    place: Place = tuple(problem["loc"])
    message = _WORDS.get(problem["type"]) or problem["msg"] + _told(problem["input"])
    if problem["type"] == "extra_forbidden":
        message += _near(str(place[-1]), _keys_at(model, place[:-1]))
    return [(place, message)]


def _near(key: str, accepted: list[str]) -> str:
    """Return the accepted key that was meant, or all of them."""
    near = difflib.get_close_matches(key.lower(), accepted, n=1)
    return f'. Did you mean "{near[0]}"?' if near else f". Accepted: {', '.join(accepted)}"


def _keys_at(model: type[BaseModel], place: Place) -> list[str]:
    """Return the keys of the model that holds the value at a place."""
    for step in place:
        field = model.model_fields.get(str(step))
        model = (_model_of(field.annotation) if field is not None else None) or model
    return list(model.model_fields)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_of(inner) for inner in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)


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


def _key(place: Place) -> str:
    written = ""
    for step in place:
        written += f"[{step}]" if isinstance(step, int) else f".{step}" if written else step
    return f"{written}: " if written else ""


def line_of(tree: Any, place: Place) -> str:
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
