"""Conversations that this process has read or written, so that one that goes on is not read again.

Strategy: the nodes of one conversation share one list of messages; a node is the number of them
that it shows. Whoever carries a conversation on adds to the list's end; a second continuation of
the same node (a fork) gets a list of its own. Of each line only the newest node is remembered.
Bounded by the stored size of all that is remembered; the conversation that was used last stays.
"""

from collections import OrderedDict
from dataclasses import dataclass

from contracts.artifacts import ArtifactRef
from contracts.messages import Message
from contracts.transcripts import TranscriptNode

KNOWN_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Known:
    """A node: the first `shown` messages of a list that later nodes may have added to.

    `length` and `tokens` are the node's counters, `size_bytes` that of all nodes it shows.
    """

    messages: list[Message]
    shown: int
    length: int
    tokens: int
    size_bytes: int

    def read(self) -> list[Message]:
        """Return the messages, in a list of the caller's own."""
        return self.messages[: self.shown]


class KnownTranscripts:
    """The nodes that are remembered, by their content's hash."""

    def __init__(self, limit_bytes: int = KNOWN_BYTES) -> None:
        self._limit, self._held = limit_bytes, 0
        self._nodes: OrderedDict[str, Known] = OrderedDict()

    def get(self, ref: ArtifactRef) -> Known | None:
        """Return what is known of a node; counts as a use."""
        known = self._nodes.get(ref.sha256)
        if known is not None:
            self._nodes.move_to_end(ref.sha256)
        return known

    def add(self, ref: ArtifactRef, node: TranscriptNode) -> Known | None:
        """Remember a node in place of its parent, and return it.

        None for one whose conversation is not known from its beginning, or from a summary.
        """
        own = node.kind == "summary" or node.parent is None
        before = None if own or node.parent is None else self._nodes.get(node.parent.sha256)
        if before is None and not own:
            return None
        known = _extended(before, ref, node)
        if before is not None and node.parent is not None:
            self._drop(node.parent.sha256)
        self._drop(ref.sha256)
        self._nodes[ref.sha256] = known
        self._held += known.size_bytes
        while self._held > self._limit and len(self._nodes) > 1:
            self._drop(next(iter(self._nodes)))
        return known

    def _drop(self, sha256: str) -> None:
        known = self._nodes.pop(sha256, None)
        if known is not None:
            self._held -= known.size_bytes


def _extended(before: Known | None, ref: ArtifactRef, node: TranscriptNode) -> Known:
    """Return a node with what came before it; the list is copied only for a fork."""
    messages: list[Message] = []
    if before is not None:
        messages = before.messages
        if len(messages) != before.shown:
            messages = before.read()
    messages.extend(node.messages)
    size = ref.size_bytes + (before.size_bytes if before else 0)
    return Known(messages, len(messages), node.length, node.tokens, size)
