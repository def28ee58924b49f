"""A tool's arguments against its schema, and the schema against what can be trusted. Pure.

Validation never fetches anything: a schema that refers to something outside itself is refused
when the tool is listed. A schema may come from a server that nobody here wrote, so its size and
depth have bounds. The library is imported with its first use: it takes longer than all else here.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from contracts.base import Json
from rules.jsonschemas import validator_class

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

MOST_ERRORS = 8
SCHEMA_BYTES = 64 * 1024
SCHEMA_DEPTH = 40


def unsound(schema: Any) -> str | None:
    """Return why a schema cannot be used for a tool's arguments, or None."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        return "its schema is not of type: object"
    try:
        size = len(orjson.dumps(schema))
    except (TypeError, orjson.JSONEncodeError):
        return "its schema is no JSON"
    if size > SCHEMA_BYTES:
        return f"its schema has {size:,} bytes: {SCHEMA_BYTES:,} at most"
    if _depth(schema) > SCHEMA_DEPTH:
        return "its schema is nested too deeply"
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "its top"
        return f"its schema is no JSON Schema (at {place})"
    return _outside(schema, schema)


def misfits(arguments: Json, schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is wrong with arguments, each beginning with the place; empty if nothing is."""
    from referencing.exceptions import Unresolvable

    validator, found = _validator(orjson.dumps(schema)), []
    try:
        errors = sorted(validator.iter_errors(arguments), key=lambda e: list(map(str, e.path)))
    except (Unresolvable, RecursionError):
        return ("the tool's schema cannot be resolved",)
    for error in errors[:MOST_ERRORS]:
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.path)
        found.append(f"{where.lstrip('.') or 'arguments'}: {error.message[:200]}")
    return tuple(found)


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> "Draft202012Validator":
    """Return what judges by a schema, as JSON. The same few schemas come again and again."""
    from referencing import Registry

    found: Draft202012Validator = validator_class()(orjson.loads(schema), registry=Registry())
    return found


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(node, Mapping):
            waiting += [(child, depth + 1) for child in node.values()]
        elif isinstance(node, list):
            waiting += [(child, depth + 1) for child in node]
    return deepest


def _outside(node: Any, root: Mapping[str, Any]) -> str | None:
    """Return the first reference that leads nowhere within the schema."""
    if isinstance(node, list):
        return next((said for child in node if (said := _outside(child, root))), None)
    if not isinstance(node, Mapping):
        return None
    for key in ("$ref", "$dynamicRef"):
        target = node.get(key)
        if isinstance(target, str) and not _resolves(target, root):
            return f"its schema refers to {target[:80]}, which is not in it"
    return next((said for child in node.values() if (said := _outside(child, root))), None)


def _resolves(target: str, root: Any) -> bool:
    if target == "#":
        return True
    if not target.startswith("#/"):
        return False
    node = root
    for part in target[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping) and key in node:
            node = node[key]
        elif isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        else:
            return False
    return True


def without_patterns(schema: Any) -> Any:
    """Return a schema of a stranger without its regular expressions.

    One that takes for ever would hold up the whole worker; the server checks them itself. A
    property that is called "pattern" stays: its value is a schema, no text.
    """
    if isinstance(schema, list):
        return [without_patterns(child) for child in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: without_patterns(value)
        for key, value in schema.items()
        if not (key == "pattern" and isinstance(value, str)) and key != "patternProperties"
    }
