"""Files in a team file: paths, patterns and artifacts; the shared context."""

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from config.filemodel import FileModel, spelling
from config.problems import LONG, SHORT
from config.teamtypes import FilledText, Flag, Seconds, Whole


class ArtifactFile(FileModel):
    """A file that is in the store already."""

    artifact: str = Field(pattern="^[0-9a-f]{64}$", description="Its SHA-256.")
    type: FilledText = Field(description="Its media type.", examples=["application/pdf"])
    size_bytes: Whole = Field(ge=1)
    name: FilledText | None = Field(None, description="As the model is told it.")
    pages: Whole | None = Field(None, ge=1, description="Of a document, where it is known.")


AttachmentSpelling = Annotated[
    Annotated[FilledText, Tag(SHORT)] | Annotated[ArtifactFile, Tag(LONG)],
    Discriminator(spelling),
]


class SharedFile(FileModel):
    """Files that the prompts of several agents begin with: cached once per provider and model."""

    files: list[AttachmentSpelling] = Field(
        min_length=1, description="Paths and patterns beside this file, or artifacts."
    )
    cache: Flag = Field(True, description="Cache them at the vendor, where it can.")
    ttl: Seconds = Field(
        3600.0,
        description="Seconds that a cache with a name of its own lives. Written down, it also says "
        "how long a cached prefix is to last from its last use on: Anthropic keeps one for five "
        "minutes, or for an hour where more is asked for, which costs more to write.",
    )
    keep: Flag = Field(
        False, description="Leave cache and uploads to further runs instead of deleting them."
    )


def _shared_spelling(value: Any) -> str:
    return SHORT if isinstance(value, list) else LONG


SharedSpelling = Annotated[
    Annotated[list[AttachmentSpelling], Field(min_length=1), Tag(SHORT)]
    | Annotated[SharedFile, Tag(LONG)],
    Discriminator(_shared_spelling),
]
