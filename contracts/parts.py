"""Parts of a message or of an execution state: text, and files by reference or inline."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from contracts.base import Frozen


class TextPart(Frozen):
    """Plain text."""

    kind: Literal["text"] = "text"
    text: str


class FileRefPart(Frozen):
    """A file that lies elsewhere: a vendor's file id, an https URL, or `artifact:<sha256>`."""

    kind: Literal["file_ref"] = "file_ref"
    uri: str
    mime_type: str
    name: str | None = None


class FileInlinePart(Frozen):
    """A file's bytes, carried in the request. In JSON they are base64."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    kind: Literal["file_inline"] = "file_inline"
    data: bytes
    mime_type: str
    name: str | None = None


Part = Annotated[TextPart | FileRefPart | FileInlinePart, Field(discriminator="kind")]
