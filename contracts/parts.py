"""Parts of a message or of an execution state: text, and files by reference or inline.

Their reprs tell sizes and the place of a file, never a text nor what signs an address.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from contracts.base import Frozen
from contracts.discreet import Shown, size

_LONGEST_PLACE = 100


class _Discreet(Frozen):
    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            if name in ("text", "data"):
                yield name, size(value)
            elif name == "uri":
                yield name, _place(value)
            else:
                yield name, value


def _place(uri: str) -> Shown:
    """Return an address without its query, which may hold a signature or a key."""
    if uri.startswith("data:"):
        return Shown(f"<data URL of {len(uri)} characters>")
    return Shown(uri.split("?")[0][:_LONGEST_PLACE])


class TextPart(_Discreet):
    """Plain text."""

    kind: Literal["text"] = "text"
    text: str


ARTIFACT = "artifact:"
"""What the address of a file in the store begins with; its SHA-256 follows."""


class FileRefPart(_Discreet):
    """A file that lies elsewhere: a vendor's file id, an https URL, or `artifact:<sha256>`.

    `size_bytes` is known of a file in the store, `pages` of a document in it that says so.
    """

    kind: Literal["file_ref"] = "file_ref"
    uri: str
    mime_type: str
    name: str | None = None
    size_bytes: int | None = None
    pages: int | None = None


class FileInlinePart(_Discreet):
    """A file's bytes, carried in the request. In JSON they are base64."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    kind: Literal["file_inline"] = "file_inline"
    data: bytes
    mime_type: str
    name: str | None = None


Part = Annotated[TextPart | FileRefPart | FileInlinePart, Field(discriminator="kind")]
