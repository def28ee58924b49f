"""Do the fields that a template or a condition reads exist in the output's JSON Schema?

Only what can be known for sure is refused. A schema that names its properties is taken at its
word, although JSON Schema lets an object have more: a team file that reads a field which its own
schema does not mention is a typing error. Where the schema opens itself (`additionalProperties`,
`anyOf`, `$ref`, a type that is not given) everything below is accepted.
"""

from collections.abc import Mapping
from typing import Any

from rules.nearest import suggestion

_OPEN_KEYWORDS = frozenset(
    {
        "$dynamicRef",
        "$ref",
        "allOf",
        "anyOf",
        "dependentSchemas",
        "if",
        "oneOf",
        "patternProperties",
    }
)

Schema = Mapping[str, Any]


def below(schema: Schema | None, key: str | int | None) -> Schema | None:
    """Return the schema of a field (str), of an item (int, None: any), or None if unknown."""
    if schema is None or _is_open(schema):
        return None
    if isinstance(key, str) and _type_of(schema) == "object":
        return _as_schema(schema.get("properties", {}).get(key))
    if not isinstance(key, str) and _type_of(schema) == "array":
        return _as_schema(schema.get("items"))
    return None


def problem(schema: Schema | None, key: str | int | None, where: str) -> str | None:
    """Return why `key` cannot be read of a value of this schema, or None if it may be.

    `where` spells the value, such as `agents.risk.output`.
    """
    if schema is None or _is_open(schema):
        return None
    kind = _type_of(schema)
    if kind is None:
        return None
    if kind == "object":
        return _missing_field(schema, key, where)
    if kind == "array":
        return f'{where} is a list, it has no field "{key}"' if isinstance(key, str) else None
    said = f'it has no field "{key}"' if isinstance(key, str) else "it has no items"
    return f"{where} is a {kind}, {said}"


def path_problem(schema: Schema | None, path: tuple[str | int, ...], where: str) -> str | None:
    """Return the first problem along a path of fields and items, or None."""
    for key in path:
        if isinstance(key, int) and schema is not None and _type_of(schema) == "object":
            key = str(key)
        said = problem(schema, key, where)
        if said is not None:
            return said
        schema, where = below(schema, key), f"{where}.{key}"
    return None


def _missing_field(schema: Schema, key: str | int | None, where: str) -> str | None:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or schema.get("additionalProperties", False):
        return None
    if key is None or key in properties:
        return None
    if isinstance(key, int):
        return f"{where} is an object, it has no item {key}"
    hint = suggestion(key, properties)
    said = f".{hint}" if hint else f" (have: {', '.join(properties)})"
    return f'{where} has no field "{key}"{said}'


def _is_open(schema: Schema) -> bool:
    return not _OPEN_KEYWORDS.isdisjoint(schema)


def _type_of(schema: Schema) -> str | None:
    """Return the one type that the schema allows beside null, or None where there are several."""
    kind = schema.get("type")
    if isinstance(kind, list):
        others = [name for name in kind if name != "null"]
        return others[0] if len(others) == 1 else None
    if kind is None and isinstance(schema.get("properties"), Mapping):
        return "object"
    return kind if isinstance(kind, str) else None


def _as_schema(value: Any) -> Schema | None:
    return value if isinstance(value, Mapping) else None
