"""References to what is kept outside history, and values small enough to travel inline."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from contracts.base import Frozen, Json, Slim

INLINE_LIMIT_BYTES = 8192
"""Structured values up to this size travel beside their reference, for conditions and the UI."""

PREVIEW_CHARS = 160
"""How much of a text is shown where the text itself is only referred to."""


class ArtifactRef(Slim):
    """Content-addressed bytes in the artifact store."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: int
    media_type: str = "text/plain; charset=utf-8"


class Value(Slim):
    """What a step or an input holds: by reference, inline, or both.

    `kind` says what the bytes are: "text" (UTF-8) or "json". `has_inline` tells an inline None
    from an absent one. `size_bytes` is the size of the text or of the JSON text, and bounds the
    tokens that it can become (a token is at least one byte).
    """

    kind: Literal["text", "json"] = "text"
    ref: ArtifactRef | None = None
    inline: Json = None
    has_inline: bool = False
    preview: str = ""
    size_bytes: int = 0


class Bindings(Frozen):
    """Values by name for a template or an expression.

    `pages` refer to stored JSON objects {name: Value}, used when the values themselves would
    make the payload large; `values` wins over them.
    """

    values: dict[str, Value] = {}
    pages: tuple[ArtifactRef, ...] = ()
