"""Values that hold prompts: errors name the field, reprs tell the size, neither shows a text.

Strategy: a class decorator above pydantic's `dataclass`, for what callers construct themselves.
Positional arguments are handed on by name, so that an error says "role" and not "0", and unknown
names are refused as a plain dataclass would (what is loaded from JSON still ignores them). A
wrong value is told where it cannot be a user's text: numbers, None, and the strings of a few
fields that hold words or names only.
"""

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

T = TypeVar("T")

_WORD = re.compile(r"\S{0,32}")
_PLAIN = (
    "missing",
    "multiple_argument_values",
    "too_short",
    "unexpected_positional_argument",
    "value_error",
)
"""Kinds of errors whose value is not there, or already told."""


class Shown(str):
    """A text that is its own repr: stands in a repr for what is not shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def size(value: Any) -> Any:
    """Return a stand-in that tells how much there is; None and numbers as they are."""
    if isinstance(value, str):
        return Shown(f"<{len(value)} characters>")
    if isinstance(value, bytes):
        return Shown(f"<{len(value)} bytes>")
    if isinstance(value, dict | list | tuple):
        return Shown(f"<{len(value)} entries>")
    return value


def discreet(texts: tuple[str, ...] = (), words: tuple[str, ...] = ()) -> Callable[[T], T]:
    """Return the decorator. `texts` are never shown; `words` may be told in errors."""

    def decorate(cls: T) -> T:
        target: Any = cls
        target.__init__ = _named(target, words)
        target.__repr__ = _sized(texts)
        return cls

    return decorate


def _named(cls: Any, words: tuple[str, ...]) -> Callable[..., None]:
    plain: Callable[..., None] = cls.__init__
    names = tuple(field.name for field in dataclasses.fields(cls))

    @functools.wraps(plain)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        given = dict(zip(names, args, strict=False))
        if args and len(args) <= len(names) and not given.keys() & kwargs.keys():
            args, kwargs = (), {**given, **kwargs}
        unknown = [_unknown(name, names) for name in kwargs if name not in names]
        if unknown:
            raise ValidationError.from_exception_data(cls.__name__, unknown, hide_input=True)
        try:
            plain(self, *args, **kwargs)
        except ValidationError as error:
            raise _told(error, words) from None

    return init


def _unknown(name: str, names: tuple[str, ...]) -> InitErrorDetails:
    text = f"Unexpected keyword argument; there are {', '.join(names)}"
    kind = PydanticCustomError("unexpected_keyword_argument", "{text}", {"text": text})
    return InitErrorDetails(type=kind, loc=(name,), input=None)


def _told(error: ValidationError, words: tuple[str, ...]) -> ValidationError:
    """Return the same error with the wrong values in its messages, where they may be told."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError(entry["type"], "{text}", {"text": _text(entry, words)}),
            loc=entry["loc"],
            input=None,
        )
        for entry in error.errors(include_url=False, include_context=False)
    ]
    return ValidationError.from_exception_data(error.title, details, hide_input=True)


def _text(entry: ErrorDetails, words: tuple[str, ...]) -> str:
    value, text = entry["input"], entry["msg"]
    if entry["type"] in _PLAIN:
        return text
    if value is None or isinstance(value, bool | int | float):
        return f"{text}, not {value!r}"
    is_word = entry["loc"][-1] in words or entry["type"] in ("int_parsing", "float_parsing")
    if isinstance(value, str) and is_word and _WORD.fullmatch(value):
        return f"{text}, not {value!r}"
    return f"{text}, not this {type(value).__name__}"


def _sized(texts: tuple[str, ...]) -> Callable[[Any], str]:
    def shown(self: Any) -> str:
        found = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not _is_default(field, value):
                told = size(value) if field.name in texts else value
                found.append(f"{field.name}={told!r}")
        return f"{type(self).__name__}({', '.join(found)})"

    return shown


def _is_default(field: "dataclasses.Field[Any]", value: Any) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        return not value
    default = getattr(field.default, "default", field.default)
    return field.default is not dataclasses.MISSING and bool(value == default)
