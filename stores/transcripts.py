"""Conversations by reference: append to a node, get a new one; nothing is ever rewritten.

Strategy: a node is an artifact {parent, messages}, so a conversation of N turns costs N small
objects however often it is carried on, two continuations of one node share all that came before
(a fork), and a reader fetches only the nodes that the store's cache lacks. Reading walks from
the newest node back, one fetch a node, without recursion.
"""

from collections.abc import AsyncIterator, Sequence

from contracts.artifacts import ArtifactRef
from contracts.messages import Message
from contracts.transcripts import TranscriptNode
from stores.artifacts import ArtifactStore
from stores.jsontext import json_bytes


class Transcripts:
    """The conversations in an artifact store. Every method may raise the store's errors."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def append(
        self, parent: ArtifactRef | None, messages: Sequence[Message], tokens: int | None = None
    ) -> ArtifactRef:
        """Add messages, `tokens` in all if they were counted; None as parent begins a conversation.

        Without messages it returns the parent; without either it raises ValueError.
        """
        if not messages:
            if parent is None:
                raise ValueError("a conversation begins with at least one message")
            return parent
        before = await self.node(parent) if parent else None
        node = TranscriptNode(
            parent=parent,
            messages=tuple(messages),
            length=(before.length if before else 0) + len(messages),
            tokens=(before.tokens if before else 0) + _tokens(messages, tokens),
        )
        return await self._store.put_json(node)

    async def compact(
        self, ref: ArtifactRef, summary: Message, tokens: int | None = None, *, by: str
    ) -> ArtifactRef:
        """Let a summary stand for the conversation so far, which stays reachable as its parent.

        `by` names the agent that wrote it; who pays for a summary is on the bill under that name.
        """
        node = TranscriptNode(
            kind="summary",
            parent=ref,
            messages=(summary,),
            length=1,
            tokens=_tokens([summary], tokens),
            by=by,
        )
        return await self._store.put_json(node)

    async def read(self, ref: ArtifactRef) -> list[Message]:
        """Return what a reader of the node sees: from the latest summary on, oldest first."""
        nodes = []
        async for node in self._upwards(ref):
            nodes.append(node)
            if node.kind == "summary":
                break
        return [message for node in reversed(nodes) for message in node.messages]

    async def read_original(self, ref: ArtifactRef) -> list[Message]:
        """Return every message that was ever appended, oldest first; summaries are left out."""
        nodes = [node async for node in self._upwards(ref) if node.kind != "summary"]
        return [message for node in reversed(nodes) for message in node.messages]

    async def node(self, ref: ArtifactRef) -> TranscriptNode:
        """Return one node, with its counters and its parent."""
        return await self._store.get_model(ref, TranscriptNode)

    async def _upwards(self, ref: ArtifactRef) -> AsyncIterator[TranscriptNode]:
        at: ArtifactRef | None = ref
        while at is not None:
            node = await self.node(at)
            yield node
            at = node.parent


def _tokens(messages: Sequence[Message], counted: int | None) -> int:
    if counted is not None:
        return counted
    return sum(len(json_bytes(message)) for message in messages)
