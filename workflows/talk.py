"""What a model has been told and has said so far: by reference."""

from dataclasses import dataclass

from contracts.artifacts import ArtifactRef


@dataclass
class Conversation:
    """What the model will be shown: by reference, with a bound of its tokens."""

    transcript: ArtifactRef | None = None
    size: int = 0
    length: int = 0
