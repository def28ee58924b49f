"""Agents within a workflow, as far as it has to know them: their headers, their tools.

Each is asked for once and kept, however many steps, items or calls of tools need it at once. A
list of tools holds until the workflow goes on in a new history.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from contracts.activities import RunActivities
from contracts.artifacts import ArtifactRef
from contracts.chats import AgentHeader, Listed
from contracts.tool_activities import ToolActivities
from contracts.tools import ToolList, ToolListing, tool_queue
from workflows.quick_tools import QuickTools
from workflows.reading import LIGHT, STORE_RETRIES

R = TypeVar("R")

LISTING = timedelta(seconds=60)
"""For a worker to list an agent's tools, servers that have to be started included."""


class Agents:
    """The agents that a workflow knows."""

    def __init__(self) -> None:
        self._headers: dict[str, asyncio.Task[AgentHeader]] = {}
        self._listed: dict[str, asyncio.Task[tuple[Listed, ...]]] = {}
        self.quick = QuickTools()
        """How long their tools take."""

    async def header(self, ref: ArtifactRef) -> AgentHeader:
        """Return a stored agent's header. Raises ActivityError."""
        return await _once(self._headers, ref.sha256, lambda: _load(ref))

    async def listed(self, agent: AgentHeader) -> tuple[Listed, ...]:
        """Return an agent's tools. Never raises: what is not served has a problem."""
        return await _once(self._listed, agent.agent.sha256, lambda: list_tools(agent))


async def _once(
    known: "dict[str, asyncio.Task[R]]", key: str, make: Callable[[], Awaitable[R]]
) -> R:
    """Return what is known, or make it; who is cancelled meanwhile takes it from nobody."""

    async def made() -> R:
        return await make()

    if key not in known:
        known[key] = asyncio.create_task(made())
    try:
        return await asyncio.shield(known[key])
    except ActivityError:
        known.pop(key, None)
        raise


async def _load(ref: ArtifactRef) -> AgentHeader:
    return await workflow.execute_activity_method(
        RunActivities.load_agent,
        ref,
        start_to_close_timeout=LIGHT,
        retry_policy=STORE_RETRIES,
        summary="agent",
    )


async def list_tools(agent: AgentHeader) -> tuple[Listed, ...]:
    """Ask the workers for an agent's tools, one queue after the other."""
    listings = [await _listing(agent, queue) for queue in agent.queues]
    return tuple(
        Listed(queue=queue, listing=listing)
        for queue, listing in zip(agent.queues, listings, strict=True)
    )


async def _listing(agent: AgentHeader, queue: str | None) -> ToolListing:
    """Return the tools of one queue; where nobody serves it, why there are none."""
    name = tool_queue(queue, workflow.info().task_queue)
    try:
        return await workflow.execute_activity_method(
            ToolActivities.list_tools,
            ToolList(agent=agent.agent, queue=queue, plan=agent.plan),
            task_queue=name,
            start_to_close_timeout=LISTING,
            schedule_to_close_timeout=LISTING * 2,
            retry_policy=RetryPolicy(maximum_attempts=3),
            summary="list the tools",
        )
    except ActivityError as error:
        return ToolListing(problems=(f"the tools of queue {name}: {error.cause}",))
