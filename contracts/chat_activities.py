"""Typed stubs of a conversation's own activities; those of tools are in `tool_activities`."""

from abc import ABC, abstractmethod

from temporalio import activity

from contracts.chats import TurnCall, TurnReply


class TurnActivities(ABC):
    """Calls of a model about a conversation. Served on the provider's own queue."""

    @activity.defn(name="call_turn")
    @abstractmethod
    async def call_turn(self, call: TurnCall) -> TurnReply:
        """Make one attempt, under the terms of `call_model`."""

    @activity.defn(name="count_turn")
    @abstractmethod
    async def count_turn(self, call: TurnCall) -> int:
        """Return the prompt's tokens as the provider counts them, without charge."""
