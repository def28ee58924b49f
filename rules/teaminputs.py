"""What a team's inputs may hold, and what an inner team has of what its step gives.

Types: text, string and file are texts; number, boolean and list are JSON's. A number that is given
for a text is its spelling.
"""

from collections.abc import Mapping

import orjson

from contracts.base import Json
from contracts.teams import InputSpec
from rules import templates
from rules.nearest import suggestion


class InputMisfit(ValueError):
    """What a team is given can be none of its inputs."""


def filled(specs: Mapping[str, InputSpec], given: Mapping[str, Json]) -> dict[str, Json]:
    """Return a team's inputs by name: what is given, else the default. Raises InputMisfit.

    Null is nothing: it stands for what an optional reference did not find.
    """
    whole: dict[str, Json] = {}
    for name, spec in specs.items():
        value = given.get(name)
        wrong = None
        if value is not None:
            wrong = _misfit_but_text(spec.type, value) or outside_enum(spec, value)
        elif spec.required:
            wrong = "is required, and there is nothing to give"
        if wrong is not None:
            raise InputMisfit(f"{name} {wrong}")
        whole[name] = spec.default if value is None else value
    return whole


def misfit(kind: str, value: Json) -> str | None:
    """Return why a value is none of an input's type, or None."""
    match kind:
        case "number":
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            fits = isinstance(value, bool)
        case "list":
            fits = isinstance(value, list)
        case _:
            fits = isinstance(value, str)
    article = {"number": "a number", "boolean": "true or false", "list": "a list"}
    return None if fits else f"must be {article.get(kind, 'a text')}"


def outside_enum(spec: InputSpec, value: Json) -> str | None:
    """Return why a value is none of those that an input may have, or None."""
    if spec.enum is None or any(_same(value, allowed) for allowed in spec.enum):
        return None
    near = suggestion(value, [str(v) for v in spec.enum]) if isinstance(value, str) else ""
    return f"must be one of {', '.join(_spell(v) for v in spec.enum)}.{near}"


def never_fits(spec: InputSpec, given: Json) -> str | None:
    """Return why what a team's step gives can never be the inner team's input, or None.

    What a template leads to by a lone reference is known only when it runs; anything around it
    makes it a text. Texts may be given as any JSON, and null where the input has a default.
    """
    if given is None and not spec.required:
        return None
    if isinstance(given, str):
        template = templates.parse(given)
        if template.references:
            lone = len(template.references) == 1 and not template.literal_bytes
            return None if lone else _misfit_but_text(spec.type, given)
        given = templates.render(template, {})
    return _misfit_but_text(spec.type, given) or outside_enum(spec, given)


def _misfit_but_text(kind: str, value: Json) -> str | None:
    wrong = misfit(kind, value) if kind in ("number", "boolean", "list") else None
    return f"{wrong}, not {_spell(value)}" if wrong else None


def _same(left: Json, right: Json) -> bool:
    return type(left) is type(right) and bool(left == right)


def _spell(value: Json) -> str:
    return orjson.dumps(value).decode()
