"""Files beside a message of a conversation: where they are, and what they take of a prompt.

A message refers to its files, a conversation only counts them: neither is ever a part of a
history. What a file takes depends on who reads it, and that may change between two turns; so the
count is kept in pieces (`FileLoad`), and an agent says what a piece is at most (`FileRates`).
"""

from typing import Annotated

from pydantic import Field

from contracts.base import Frozen, Slim
from contracts.brief import BriefRef
from contracts.parts import Part

Count = Annotated[int, Field(ge=0)]


class FileLoad(Slim):
    """What files take of a prompt, whoever reads it.

    `images` and `pages` are counted, `unpaged` documents do not say how many pages they have;
    all others are `tokens` at most. `size_bytes` is what they are together, `kinds` those of them
    that not every model takes.
    """

    images: Count = 0
    pages: Count = 0
    unpaged: Count = 0
    tokens: Count = 0
    size_bytes: Count = 0
    kinds: tuple[str, ...] = ()

    def __add__(self, other: "FileLoad") -> "FileLoad":
        return FileLoad(
            images=self.images + other.images,
            pages=self.pages + other.pages,
            unpaged=self.unpaged + other.unpaged,
            tokens=self.tokens + other.tokens,
            size_bytes=self.size_bytes + other.size_bytes,
            kinds=tuple(dict.fromkeys((*self.kinds, *other.kinds))),
        )


class FileRates(Slim):
    """Tokens that an agent's models count at most for a picture, a page, a document without pages.

    What nobody has looked up is the dearest that is known.
    """

    image: Count = 50_000
    page: Count = 8_000
    whole: Count = 2_000_000


class MessageParts(Frozen):
    """The artifact: a message's files by reference, and texts between them, in order."""

    parts: tuple[Part, ...]


class Enclosed(Slim):
    """What a message has beside its text. `parts` are the stored MessageParts."""

    parts: BriefRef
    load: FileLoad
