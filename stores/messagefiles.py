"""Files of messages, by reference: a conversation holds addresses, the store holds the bytes.

`by_reference` puts what a message carries into the store, `with_contents` takes it out again for
the call that sends it: texts as text, under their name. Files that lie with a vendor or behind an
address of their own stay as they are.
"""

from collections.abc import Sequence
from dataclasses import replace

from contracts.artifacts import ArtifactRef
from contracts.files import is_text
from contracts.messages import Message
from contracts.parts import ARTIFACT, FileInlinePart, FileRefPart, Part, TextPart
from stores.artifacts import ArtifactStore


async def by_reference(message: Message, store: ArtifactStore) -> Message:
    """Return a message whose files are in the store. Raises the store's errors."""
    if not any(isinstance(part, FileInlinePart) for part in message.parts):
        return message
    return replace(message, parts=tuple([await _stored(part, store) for part in message.parts]))


async def with_contents(messages: Sequence[Message], store: ArtifactStore) -> list[Message]:
    """Return messages that carry what the store holds for them. Raises the store's errors."""
    found = []
    for message in messages:
        if any(map(is_stored, message.parts)):
            parts = tuple([await _loaded(part, store) for part in message.parts])
            message = replace(message, parts=parts)
        found.append(message)
    return found


def is_stored(part: Part) -> bool:
    """Whether a part is a file in the store."""
    return isinstance(part, FileRefPart) and part.uri.startswith(ARTIFACT)


async def _stored(part: Part, store: ArtifactStore) -> Part:
    if not isinstance(part, FileInlinePart):
        return part
    ref = await store.put_bytes(part.data, part.mime_type)
    return FileRefPart(
        uri=f"{ARTIFACT}{ref.sha256}",
        mime_type=part.mime_type,
        name=part.name,
        size_bytes=ref.size_bytes,
    )


async def _loaded(part: Part, store: ArtifactStore) -> Part:
    if not (isinstance(part, FileRefPart) and is_stored(part)):
        return part
    ref = ArtifactRef(
        sha256=part.uri.removeprefix(ARTIFACT),
        size_bytes=part.size_bytes or 0,
        media_type=part.mime_type,
    )
    data = await store.get_bytes(ref)
    return as_sent(data, part.mime_type, part.name)


def as_sent(data: bytes, mime_type: str, name: str | None) -> Part:
    """Return a file as a request carries it: a text as text, which every model reads."""
    if is_text(mime_type):
        return TextPart(text=f"{name}:\n{data.decode(errors='replace')}")
    return FileInlinePart(data=data, mime_type=mime_type, name=name)
