"""Whether what a `for_each` goes over can be a list, as far as that is known before the run.

Known is the kind of an input, the schema of an output, and an expression that reads nothing; of any
other nothing is, and the run says what it finds.
"""

from collections.abc import Mapping
from typing import Any

from rules import conditions, plainpaths

Schema = Mapping[str, Any]

_KINDS = {
    "string": "a text",
    "number": "a number",
    "integer": "a number",
    "boolean": "true or false",
    "object": "an object",
    "null": "nothing",
}


def why_no_list(
    source: str, inputs: Mapping[str, Schema], outputs: Mapping[str, Schema]
) -> str | None:
    """Return why an expression cannot give a list, or None. Schemas are those of the names."""
    names = plainpaths.names(source)
    if names is None:
        return _of_constant(source)
    schema = _field(inputs, names[1:]) if names[0] == "inputs" else _of_output(outputs, names[1:])
    kind = schema.get("type") if schema is not None else None
    if not isinstance(kind, str) or kind not in _KINDS:
        return None
    shown = ".".join(names)
    declare = ", or declare the input {type: list}" if names[0] == "inputs" else ""
    return f"for_each needs a list, and {shown} is {_KINDS[kind]}: name one{declare}"


def _of_constant(source: str) -> str | None:
    """Return why an expression that reads nothing gives no list, or None."""
    try:
        read = conditions.check(source, (), ())
        if read.reads_run or not conditions.is_light(source, {}):
            return None
        value = conditions.evaluate(source, {})
    except conditions.ConditionError:
        return None  # wrong, or it reads what is known to the run only
    if isinstance(value, list):
        return None
    return f"for_each needs a list, and {source.strip()} is {conditions.kind(value)}"


def _of_output(outputs: Mapping[str, Schema], names: tuple[str, ...]) -> Schema | None:
    return _field(outputs, (names[0], *names[2:])) if names[1:2] == ("output",) else None


def _field(schemas: Mapping[str, Schema], names: tuple[str, ...]) -> Schema | None:
    """Return the schema of a field of a named value, None where it is not known."""
    schema: Any = schemas.get(names[0])
    for name in names[1:]:
        fields = schema.get("properties") if isinstance(schema, Mapping) else None
        schema = fields.get(name) if isinstance(fields, Mapping) else None
    return schema if isinstance(schema, Mapping) else None
