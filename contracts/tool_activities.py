"""Typed stubs of the tools' activities: what workflows call and `activities/tools.py` implements.

All are served on the tools' queues (`contracts.tools.tool_queue`).
"""

from abc import ABC, abstractmethod

from temporalio import activity

from contracts.tools import ToolEnding, ToolList, ToolListing, ToolOutcome, ToolRequest


class ToolActivities(ABC):
    """Served on the tools' queues. `agent` and `prompt` tools are the workflow's own."""

    @activity.defn(name="list_tools")
    @abstractmethod
    async def list_tools(self, request: ToolList) -> ToolListing:
        """List the tools of the agent that are served on the queue. Safe to repeat.

        A server that is away or lies leaves its tools out, with a problem; never an error.
        """

    @activity.defn(name="call_tool")
    @abstractmethod
    async def call_tool(self, request: ToolRequest) -> ToolOutcome:
        """Call one tool. Heartbeats every second; allow `timeout` and 60 s more in all.

        To be retried by the server at most `ToolFact.attempts` times, lost workers included: an
        unsafe call is made once all the same, its second run reports what came of the first,
        or that it is `unknown`. An error of this activity means that nobody knows.
        """

    @activity.defn(name="ask_of_tool")
    @abstractmethod
    async def ask_of_tool(self, request: ToolRequest) -> ToolOutcome:
        """Check the arguments of a `prompt` or `agent` tool and render its text as `text`."""

    @activity.defn(name="end_of_tool")
    @abstractmethod
    async def end_of_tool(self, ending: ToolEnding) -> ToolOutcome:
        """Cut and keep what a `prompt` or `agent` tool was answered. Safe to repeat."""
