"""A file that is sent along with a step's prompt, as it was when its team was loaded."""

from contracts.artifacts import ArtifactRef
from contracts.base import Frozen


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
