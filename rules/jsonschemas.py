"""JSON Schema as it is judged by here: draft 2020-12, with patterns that are bounded in time.

What a schema is held against was written by a model. The library's own keywords search with the
standard library's expressions, which nothing can stop; these are `rules.patterns`' instead, and a
pattern that takes too long is a fault like any other. Imported with its first use: the library
takes a twentieth of a second. Nothing is ever fetched: a reference leads into the schema itself or
to JSON Schema's own, and `dangling` tells of those that do not.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from rules import patterns

if TYPE_CHECKING:
    from referencing import Registry
    from referencing._core import Resolver


@cache
def validator_class() -> Any:
    """Return the class of validators, as `jsonschema.Draft202012Validator` is."""
    from jsonschema import Draft202012Validator, validators

    own = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    }
    return validators.extend(Draft202012Validator, own)  # type: ignore[no-untyped-call]


@cache
def known_schemas() -> "Registry[Any]":
    """Return what references may lead to outside of a schema: JSON Schema's own schemas."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

    known: Registry[Any] = REGISTRY
    return known


def dangling(schema: Mapping[str, Any]) -> str | None:
    """Return why a schema could never judge: a reference that leads nowhere, or in circles.

    The schema has been found sound otherwise.
    """
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    resource = DRAFT202012.create_resource(schema)
    resolver = known_schemas().resolver_with_root(resource)
    seen: set[int] = set()
    waiting: list[tuple[Any, Resolver[Any]]] = [(schema, resolver)]
    while waiting:
        node, resolver = waiting.pop()
        if not isinstance(node, Mapping) or id(node) in seen:
            continue
        seen.add(id(node))
        parts = DRAFT202012.create_resource(node).subresources()
        waiting += [(part.contents, resolver.in_subresource(part)) for part in parts]
        target = node.get("$ref", node.get("$dynamicRef"))
        if target is None:
            continue
        try:
            found = resolver.lookup(target)
        except Unresolvable:
            return f"refers to {target}, which is not in it"
        waiting.append((found.contents, found.resolver))
    return _circles(schema)


def _circles(schema: Mapping[str, Any]) -> str | None:
    """Return what is wrong where a value is judged by what it is being judged by already."""
    try:
        for _ in validator_class()(schema, registry=known_schemas()).iter_errors(None):
            pass
    except RecursionError:
        return "refers to itself for the same value: it would be judged without end"
    return None


def _pattern(validator: Any, pattern: Any, instance: Any, _: Any) -> Iterator[Exception]:
    if not validator.is_type(instance, "string"):
        return
    fault = _misses(pattern, instance)
    if fault:
        yield _error(fault)


def _pattern_properties(
    validator: Any, schemas: Mapping[str, Any], instance: Any, _: Any
) -> Iterator[Exception]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, schema in schemas.items():
        for key, value in instance.items():
            named, fault = _named(pattern, key)
            if fault:
                yield _error(fault)
            elif named:
                yield from validator.descend(value, schema, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, wanted: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[Exception]:
    """What is named by neither; faults of patterns are told by their own keyword."""
    if not validator.is_type(instance, "object"):
        return
    known, named = schema.get("properties", {}), schema.get("patternProperties", {})
    further = [
        key
        for key in instance
        if key not in known and not any(any(_named(pattern, key)) for pattern in named)
    ]
    if validator.is_type(wanted, "object"):
        for key in further:
            yield from validator.descend(instance[key], wanted, path=key)
    elif not wanted and further:
        listed = ", ".join(map(repr, further))
        yield _error(f"Additional properties are not allowed (unexpected: {listed})")


def _named(pattern: Any, key: str) -> tuple[bool, str]:
    """Return (whether a pattern names a key, why that is not known)."""
    try:
        return patterns.occurs(pattern, key), ""
    except (patterns.BadPattern, patterns.TooSlow) as error:
        return False, str(error)


def _misses(pattern: Any, text: str) -> str:
    found, fault = _named(pattern, text)
    return fault or ("" if found else f"{text!r} does not match {pattern!r}")


def _error(message: str) -> Exception:
    from jsonschema.exceptions import ValidationError

    return ValidationError(message)
