"""Typed stubs of an execution's activities: what its workflow calls and `activities/` implements.

All are served on the queue of the provider that they ask.
"""

from abc import ABC, abstractmethod

from temporalio import activity

from contracts.execution import CacheRef, Capabilities
from contracts.execution_calls import (
    Asked,
    CacheCall,
    GenerateCall,
    GenerateReply,
    RemoveCall,
    RemoveReply,
    ReuseCall,
    ReuseReply,
    UploadCall,
    UploadReply,
)


class ExecutionActivities(ABC):
    """Effects of an execution."""

    @activity.defn(name="execution_capabilities")
    @abstractmethod
    async def execution_capabilities(self, asked: Asked) -> Capabilities:
        """Return what the provider's client implements. Asks no network."""

    @activity.defn(name="execution_upload")
    @abstractmethod
    async def execution_upload(self, call: UploadCall) -> UploadReply:
        """Upload a file."""

    @activity.defn(name="execution_cache")
    @abstractmethod
    async def execution_cache(self, call: CacheCall) -> CacheRef:
        """Return a cache that is there, or make one; without a name where neither is wanted."""

    @activity.defn(name="execution_reuse")
    @abstractmethod
    async def execution_reuse(self, call: ReuseCall) -> ReuseReply:
        """Return an identical call's answer, where one was kept. Asks no vendor."""

    @activity.defn(name="execution_generate")
    @abstractmethod
    async def execution_generate(self, call: GenerateCall) -> GenerateReply:
        """Make one request and store its answer."""

    @activity.defn(name="execution_remove")
    @abstractmethod
    async def execution_remove(self, call: RemoveCall) -> RemoveReply:
        """Delete what an execution left at the vendor."""
