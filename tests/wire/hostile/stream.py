"""One hostile stream and its truth."""

from dataclasses import dataclass
from typing import Any

from tests.wire.streams import sse

DONE = sse("[DONE]")


@dataclass(frozen=True)
class Call:
    """A tool call as it must come out; `error` is a part of its `arguments_error`."""

    name: str
    args: dict[str, Any]
    id: str | None = None
    error: str = ""


@dataclass(frozen=True)
class Counts:
    """Tokens: prompt and completion, and what is within them."""

    prompt: int
    completion: int
    cached: int = 0
    written: int = 0
    hour: int = 0
    reasoning: int = 0
    estimated: bool = False


@dataclass(frozen=True)
class Hostile:
    """`error` names the error's kind; without one the stream is an answer that ends in `finish`.

    `usage` None: nothing was reported. `state`: what of the vendor's own goes into the next turn.
    `says`: a part of the error's text. `marked`: nothing but the last event tells that the answer
    is whole, so that a cut anywhere before it must be an error. `early`: its endings stand before
    its end, so that nobody can tell it from a cut one.
    """

    api: str
    name: str
    events: tuple[bytes, ...]
    text: str = ""
    finish: str = "stop"
    calls: tuple[Call, ...] = ()
    reasoning: str = ""
    usage: Counts | None = None
    error: str = ""
    retryable: bool = True
    says: str = ""
    state: Any = None
    marked: bool = True
    early: bool = False

    @property
    def data(self) -> bytes:
        return b"".join(self.events)


def events(*payloads: Any) -> tuple[bytes, ...]:
    """Payloads as events: bytes as they are, others as JSON, under their type's name if any."""
    return tuple(p if isinstance(p, bytes) else sse(p) for p in payloads)


def named(*payloads: Any) -> tuple[bytes, ...]:
    """As `events`, each with an `event:` line that says its type."""
    return tuple(p if isinstance(p, bytes) else sse(p, p["type"]) for p in payloads)
