"""Parts of an execution plan: those of a message, placeholders, conversations, and your own.

A part type is a frozen model with a `kind` of its own, made known by `@part_type`. What a model
is sent of it is told by `expand()`: messages and plain parts, in order. So a program adds a part
by writing a class; nothing here or in the engine knows it. The process that executes a plan has
to have imported it.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializationInfo,
    TypeAdapter,
    ValidationInfo,
)

from contracts.artifacts import ArtifactRef
from contracts.base import Frozen
from contracts.messages import Message
from contracts.parts import FileInlinePart, FileRefPart, Part, TextPart

P = TypeVar("P", bound=Frozen)


@runtime_checkable
class Expanding(Protocol):
    """A part that stands for other things."""

    def expand(self) -> "tuple[Message | Part, ...]":
        """Return what is sent in its place."""
        ...


_types: dict[str, type[Frozen]] = {}


def part_type(cls: type[P]) -> type[P]:
    """Make a part type known by its `kind`. Raises `ValueError` where that cannot be."""
    field = cls.model_fields.get("kind")
    kind = field.default if field is not None else None
    if not isinstance(kind, str):
        raise ValueError(f"{cls.__name__} needs a field `kind` with its name as the default")
    known = _types.setdefault(kind, cls)
    if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"{known.__name__} is a part of kind {kind!r} already")
    return cls


def _load(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, Frozen):
        if type(value) not in _types.values():
            raise ValueError(f"{type(value).__name__} is no part: declare it with @part_type")
        return value
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind not in _types:
        raise ValueError(f"no part type {kind!r} is known here (there are {', '.join(_types)})")
    if info.mode == "json":
        return _types[kind].model_validate_json(json.dumps(value))
    return _types[kind].model_validate(value)


def _dump(part: Frozen, info: SerializationInfo) -> dict[str, Any]:
    if info.mode == "json":
        written: dict[str, Any] = json.loads(part.model_dump_json())
        return written
    return part.model_dump()


AnyPart = Annotated[Frozen, BeforeValidator(_load), PlainSerializer(_dump)]
"""A part of a known type."""


@part_type
class FilePlaceholder(Frozen):
    """Stands for the plan's file of this index until it was uploaded, or is sent inline."""

    kind: Literal["file_placeholder"] = "file_placeholder"
    index: Annotated[int, Field(ge=0)]


@part_type
class StoredPart(Frozen):
    """A part that is kept in the artifact store, as JSON, because it is large. `of`: its kind."""

    kind: Literal["stored"] = "stored"
    ref: ArtifactRef
    of: str


@part_type
class ConversationPart(Frozen):
    """Turns of a conversation before the question."""

    kind: Literal["conversation"] = "conversation"
    messages: Annotated[tuple[Message, ...], Field(min_length=1)]

    def expand(self) -> tuple[Message | Part, ...]:
        """Return the turns."""
        return self.messages


for _plain in (TextPart, FileRefPart, FileInlinePart):
    part_type(_plain)


def load_part(data: bytes) -> Frozen:
    """Return a part of its JSON. Raises `ValueError` for a kind that is not known here."""
    return _any.validate_json(data)


_any: TypeAdapter[Frozen] = TypeAdapter(AnyPart)
