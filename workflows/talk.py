"""What a model has been told and has said so far: by reference."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.artifacts import ArtifactRef
from contracts.chats import NewMessage, TurnReply
from contracts.enclosures import FileLoad, FileRates
from rules import bounds


@dataclass
class Conversation:
    """What the model will be shown: by reference, with a bound of its tokens without its files."""

    transcript: ArtifactRef | None = None
    size: int = 0
    length: int = 0
    files: FileLoad = field(default_factory=FileLoad)

    def carried_on(self, reply: TurnReply, messages: Sequence[NewMessage]) -> "Conversation":
        """Return it with what was said and its answer, and with the files that that was about."""
        said = (one.enclosed.load for one in messages if one.enclosed is not None)
        files = sum(said, self.files)
        return Conversation(reply.transcript, reply.size, reply.length, files)

    def file_bounds(self, messages: Sequence[NewMessage], rates: FileRates) -> list[int]:
        """Return what its files take of a prompt at most, with those that are said now."""
        said = [one.enclosed for one in messages if one.enclosed is not None]
        load = sum((one.load for one in said), self.files)
        return [*(one.parts.size_bytes for one in said), bounds.file_bound(load, rates)]
