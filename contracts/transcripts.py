"""A conversation as a chain of stored nodes: each holds its new messages and its parent."""

from typing import Literal

from contracts.artifacts import ArtifactRef
from contracts.base import Frozen
from contracts.messages import Message


class TranscriptNode(Frozen):
    """One link of a conversation.

    A "turns" node adds its messages to what its parent shows. A "summary" node's one message
    stands for all that came before it: its parent keeps the original, and readers stop here. `by`
    names the agent that wrote the summary.
    `length` (messages) and `tokens` count what a reader of this node sees. Tokens are what the
    callers counted; messages that nobody counted enter with the size of their JSON in bytes,
    which no tokenizer exceeds.
    """

    kind: Literal["turns", "summary"] = "turns"
    parent: ArtifactRef | None = None
    messages: tuple[Message, ...]
    length: int
    tokens: int
    by: str = ""
