"""One call of a tool, as all kinds take it, and what they give back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.base import Json

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True)
class OfferedFunction:
    """A tool as its owner describes it: `remote` is its name there, None where there is one.

    With a `problem` it cannot be called.
    """

    description: str
    parameters: dict[str, Any]
    remote: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class ToolResult:
    """What a tool gave back. `size` is what it had, if `data` was cut.

    `text` is for the model where it is not simply `data`.
    """

    data: bytes
    media_type: str = TEXT
    size: int = 0
    text: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether the data is text."""
        kind = self.media_type.partition(";")[0].strip().lower()
        return kind.startswith("text/") or kind.endswith(("json", "xml")) or kind in _TEXTS


_TEXTS = frozenset({"application/javascript", "application/yaml", "application/x-yaml"})


def _unheard(message: str, fraction: float | None) -> None:
    """No one listens."""


@dataclass(frozen=True)
class Invocation:
    """One try of one call. `arguments` fit the schema that was offered."""

    arguments: dict[str, Json]
    remote: str | None = None
    idempotency_key: str = ""
    session_id: str = ""
    call_id: str = ""
    attempt: int = 1
    progress: Callable[[str, float | None], None] = field(default=_unheard)


class Tools(ABC):
    """One declaration's tools, and how they are called.

    `call` may be cancelled at any time: whatever it began is ended, or left where it can harm
    nobody, before it returns. Its caller holds the clock. Failures are toolbox.exceptions'.
    """

    @abstractmethod
    async def offered(self) -> list[OfferedFunction]:
        """Return what can be called. Raises ToolFailure; takes at most its start's time."""

    @abstractmethod
    async def call(self, invocation: Invocation) -> ToolResult:
        """Call one. Raises ToolFailure."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of everything. May be called twice."""


Env = Mapping[str, str]
