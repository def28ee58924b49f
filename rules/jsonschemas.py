"""JSON Schema as it is judged by here: draft 2020-12, with patterns that are bounded in time.

What a schema is held against was written by a model. The library's own keywords search with the
standard library's expressions, which nothing can stop; these are `rules.patterns`' instead, and a
pattern that takes too long is a fault like any other. Imported with its first use: the library
takes a twentieth of a second.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from rules import patterns


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
