"""A file that is sent along with a step's prompt, as it was when its team was loaded."""

from contracts.artifacts import ArtifactRef
from contracts.base import Frozen
from contracts.execution_plan import SourceFile

TEXTUAL = ("application/json", "application/xml", "application/yaml", "application/x-yaml")
"""Types that are sent as text beside those that say so."""

LARGE_BYTES = 1_000_000
"""A file beyond this is uploaded once where the provider keeps files, not sent with each call."""

INLINE_BYTES = 20_000_000
"""Of one call's files together, where they are part of its request: vendors take no larger one."""

MOST_BYTES = 200_000_000
"""Of one call's files together, uploaded ones among them."""


NAME_BYTES = 1_024
"""A file's name and what stands around it; no file system takes a longer one."""

REPLACED = 3
"""Bytes that stand in a text for one that is no UTF-8."""


def is_text(mime_type: str) -> bool:
    """Whether a file of this type is sent as text, which every model reads."""
    return kind_of(mime_type) == "text"


def kind_of(mime_type: str) -> str:
    """Return what a model must take for a file of this type: "text", "image", "pdf", …

    A type that no model is known to take is its own name.
    """
    kind = mime_type.split(";")[0].strip().lower()
    if kind.startswith("text/") or kind in TEXTUAL:
        return "text"
    if kind == "application/pdf":
        return "pdf"
    family = kind.split("/")[0]
    return family if family in ("image", "audio", "video") else kind


class AttachedFile(Frozen):
    """One file: `path` where it lay, `name` as models and people are told it.

    `content` says where its bytes are kept, once they were stored; `sha256` is theirs. `pages` of
    a document, where they could be counted.
    """

    path: str
    name: str
    mime_type: str
    size_bytes: int
    sha256: str
    pages: int | None = None
    content: ArtifactRef | None = None

    @property
    def large(self) -> bool:
        """Whether it is uploaded where that can be done. Texts never are."""
        return self.size_bytes > LARGE_BYTES and not is_text(self.mime_type)

    @property
    def source(self) -> SourceFile:
        """The same as executions know it."""
        return SourceFile(
            path=self.path,
            name=self.name,
            mime_type=self.mime_type,
            size_bytes=self.size_bytes,
            sha256=self.sha256,
            content=self.content,
        )
