"""Conversations by reference: append to a node, get a new one; nothing is ever rewritten.

Strategy: a node is an artifact {parent, messages}, so a conversation of N turns costs N small
objects however often it is carried on, two continuations of one node share all that came before
(a fork), and a reader fetches only the nodes that it lacks. Reading walks from the newest node
back, one fetch a node, without recursion, as far as a node that was read or written here before
(`stores.known`): a conversation that goes on is read one node a turn.
"""

from collections.abc import AsyncIterator, Sequence

from contracts.artifacts import ArtifactRef
from contracts.messages import Message
from contracts.transcripts import TranscriptNode
from stores.artifacts import ArtifactStore
from stores.jsontext import json_bytes
from stores.known import KNOWN_BYTES, Known, KnownTranscripts


class Transcripts:
    """The conversations in an artifact store. Every method may raise the store's errors.

    Whoever carries conversations on keeps one of these: what it has read it remembers, as far as
    that was no more than `known_bytes` in the store.
    """

    def __init__(self, store: ArtifactStore, known_bytes: int = KNOWN_BYTES) -> None:
        self._store = store
        self._known = KnownTranscripts(known_bytes)

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
        length, seen = await self.size(parent) if parent else (0, 0)
        node = TranscriptNode(
            parent=parent,
            messages=tuple(messages),
            length=length + len(messages),
            tokens=seen + _tokens(messages, tokens),
        )
        ref = await self._store.put_json(node)
        self._known.add(ref, node)
        return ref

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
        return (await self._read(ref)).read()

    async def size(self, ref: ArtifactRef) -> tuple[int, int]:
        """Return how many messages a reader of the node sees, and how many tokens."""
        known = self._known.get(ref)
        if known is not None:
            return known.length, known.tokens
        node = await self.node(ref)
        return node.length, node.tokens

    async def read_original(self, ref: ArtifactRef) -> list[Message]:
        """Return every message that was ever appended, oldest first; summaries are left out."""
        nodes = [node async for _, node in self._upwards(ref) if node.kind != "summary"]
        return [message for node in reversed(nodes) for message in node.messages]

    async def node(self, ref: ArtifactRef) -> TranscriptNode:
        """Return one node, with its counters and its parent."""
        return await self._store.get_model(ref, TranscriptNode)

    async def _read(self, ref: ArtifactRef) -> Known:
        """Return what is known of a node once all that was lacking has been fetched."""
        if (known := self._known.get(ref)) is not None:
            return known
        lacking = []
        async for at, node in self._upwards(ref):
            lacking.append((at, node))
            if node.kind == "summary" or (node.parent and self._known.get(node.parent)):
                break
        for at, node in reversed(lacking):
            known = self._known.add(at, node)
        assert known is not None
        return known

    async def _upwards(self, ref: ArtifactRef) -> AsyncIterator[tuple[ArtifactRef, TranscriptNode]]:
        at: ArtifactRef | None = ref
        while at is not None:
            node = await self.node(at)
            yield at, node
            at = node.parent


def _tokens(messages: Sequence[Message], counted: int | None) -> int:
    if counted is not None:
        return counted
    return sum(len(json_bytes(message)) for message in messages)
