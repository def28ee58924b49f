"""What an execution needs of the world, as a port.

Behind it are activities (`workflows.execution`) or direct calls in a process (`client.execution`);
the execution itself does not know which. What fails is returned as a `CallFailure`, never raised.
"""

from abc import ABC, abstractmethod
from typing import Any

from contracts.calls import CallFailure
from contracts.execution import CacheRef, Capabilities, NamedEffect
from contracts.execution_calls import (
    Asked,
    CacheCall,
    GenerateCall,
    GenerateReply,
    RemoveCall,
    RemoveReply,
    ReuseCall,
    UploadCall,
    UploadReply,
)


class Effects(ABC):
    """What an execution needs of the world. What fails is returned as a `CallFailure`."""

    @abstractmethod
    async def capabilities(self, asked: Asked) -> Capabilities | CallFailure:
        """Return what the provider can do."""

    @abstractmethod
    async def upload(self, call: UploadCall) -> UploadReply | CallFailure:
        """Upload a file, in one try."""

    @abstractmethod
    async def cache(self, call: CacheCall) -> CacheRef | CallFailure:
        """Find or make a cache, in one try."""

    async def reuse(self, call: ReuseCall) -> GenerateReply | None:
        """Return an identical call's answer; None where none was kept, or none is ever kept."""
        return None

    @abstractmethod
    async def generate(self, call: GenerateCall) -> GenerateReply | CallFailure:
        """Make one request."""

    @abstractmethod
    async def remove(self, call: RemoveCall) -> RemoveReply:
        """Delete at the vendor. Never fails."""

    @abstractmethod
    async def named(self, effect: NamedEffect) -> Any:
        """Do what a stage of the user's asked for; return its JSON, or a `CallFailure`."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait."""

    @abstractmethod
    def now(self) -> float:
        """Return seconds of a clock that never goes back."""

    @abstractmethod
    def random(self) -> float:
        """Return a number in [0, 1]."""
