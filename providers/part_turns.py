"""From a call's parts to the messages that are sent: what is cached goes first, or not at all."""

from collections.abc import Iterable

from contracts.base import Frozen
from contracts.execution import CacheRef
from contracts.execution_parts import Expanding
from contracts.messages import Message
from contracts.parts import FileInlinePart, FileRefPart, Part, TextPart


class Unsendable(ValueError):
    """A part that no model can be sent: it should have been replaced before."""


def messages_of(
    shared: Iterable[Frozen], own: Iterable[Frozen], cache: CacheRef | None = None
) -> tuple[Message, ...]:
    """Return the messages of a request.

    Without a cache, shared and own parts are one turn, in order. A cache that the vendor keeps
    stands for the shared ones; for one that wants its prefix again they are a turn of their own.
    Raises `Unsendable`.
    """
    if cache is None or cache.name is None:
        return turns((*shared, *own))
    return (*turns(shared), *turns(own)) if cache.resends else turns(own)


def turns(parts: Iterable[Frozen]) -> tuple[Message, ...]:
    """Return parts as turns: neighbours are one user turn, a message is itself."""
    found: list[Message] = []
    waiting: list[Part] = []
    for item in _expanded(parts):
        if isinstance(item, Message):
            _flush(waiting, found)
            found.append(item)
        else:
            waiting.append(item)
    _flush(waiting, found)
    return tuple(found)


def _flush(waiting: list[Part], found: list[Message]) -> None:
    if len(waiting) == 1 and isinstance(waiting[0], TextPart):
        found.append(Message("user", waiting[0].text))
    elif waiting:
        found.append(Message("user", "", parts=tuple(waiting)))
    waiting.clear()


def _expanded(parts: Iterable[Frozen]) -> Iterable[Message | Part]:
    for part in parts:
        if isinstance(part, TextPart | FileRefPart | FileInlinePart):
            yield part
        elif isinstance(part, Expanding):
            yield from part.expand()
        else:
            raise Unsendable(f"a part of type {type(part).__name__} cannot be sent as it is")
