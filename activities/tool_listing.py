"""What an agent's declarations stand for, on the queue that asks: names, schemas, facts.

Declarations are asked at once, each in its own time. One that cannot be had, or that offers what
cannot be used, is a problem in the listing and no error: the agent goes on with what is there.
"""

import asyncio
from collections import OrderedDict
from typing import TypeVar

import orjson
from pydantic import BaseModel

from contracts.agents import AgentSpec
from contracts.artifacts import ArtifactRef
from contracts.chats import AgentPlan
from contracts.tools import (
    MOST_LISTED,
    AgentTool,
    Effect,
    McpTool,
    OfferedTool,
    PromptTool,
    Toolbox,
    ToolFact,
    ToolList,
    ToolListing,
    ToolSpec,
)
from rules.toolargs import unsound
from rules.toolresults import clean, cut
from stores.artifacts import ArtifactStore
from toolbox.calls import OfferedFunction
from toolbox.exceptions import ToolFailure
from toolbox.opening import OpenTools

M = TypeVar("M", bound=BaseModel)

KEPT = 256
PROBLEM_CHARS = 600
UNSAFE_TRIES = 2
"""An unsafe call is not made twice; its second run finds out what came of the first."""


class KnownAgents:
    """The agents, their plans and toolboxes that this worker used last, by digest."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._kept: OrderedDict[str, BaseModel] = OrderedDict()

    async def agent(self, ref: ArtifactRef) -> AgentSpec:
        """Return a stored agent. Raises the store's errors."""
        return await self._get(ref, AgentSpec)

    async def toolbox(self, ref: ArtifactRef) -> Toolbox:
        """Return a stored toolbox. Raises the store's errors."""
        return await self._get(ref, Toolbox)

    async def plan(self, ref: ArtifactRef) -> AgentPlan:
        """Return an agent's stored plan. Raises the store's errors."""
        return await self._get(ref, AgentPlan)

    async def _get(self, ref: ArtifactRef, model: type[M]) -> M:
        found = self._kept.get(ref.sha256)
        if not isinstance(found, model):
            found = await self._store.get_model(ref, model)
            self._kept[ref.sha256] = found
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(ref.sha256)
        return found


class Listing:
    """One listing on its way."""

    def __init__(self, opened: OpenTools, request: ToolList) -> None:
        self._open, self._request = opened, request
        self._facts: list[ToolFact] = []
        self._tools: dict[str, OfferedTool] = {}
        self._problems: list[str] = []

    async def of(self, agent: AgentSpec, store: ArtifactStore) -> ToolListing:
        """Return the listing of an agent. Raises the store's errors."""
        specs = [spec for spec in agent.tools if spec.queue == self._request.queue]
        offers = await asyncio.gather(*(self._offers(spec) for spec in specs))
        for spec, offered in zip(specs, offers, strict=True):
            for tool in offered:
                self._add(spec, tool)
        request = self._request
        toolbox = Toolbox(tools=tuple(self._tools.values()), agent=request.agent, plan=request.plan)
        return ToolListing(
            facts=tuple(self._facts),
            toolbox=await store.put_json(toolbox),
            problems=tuple(cut(clean(said), PROBLEM_CHARS) for said in self._problems[:50]),
            whole=request.plan is not None,
        )

    async def _offers(self, spec: ToolSpec) -> list[OfferedFunction]:
        if isinstance(spec, PromptTool | AgentTool):
            return [OfferedFunction(spec.description, spec.parameters or {})]
        try:
            async with self._open.borrow(spec) as tools:
                return await tools.offered()
        except ToolFailure as error:
            return [OfferedFunction("", {}, problem=str(error))]

    def _add(self, spec: ToolSpec, offered: OfferedFunction) -> None:
        """Take one tool over, or say why not."""
        shown = spec.name if offered.remote is None else f"{spec.name}: {offered.remote[:100]}"
        name = spec.name if offered.remote is None else remote_name(spec.name, offered.remote)
        problem = offered.problem or unsound(offered.parameters)
        if name is None:
            problem = "its name is too long for the vendors"
        elif name in self._tools:
            problem = "there is another tool of that name"
        elif len(self._tools) >= MOST_LISTED:
            problem = f"more than {MOST_LISTED} tools: name those that are wanted"
        if problem is not None or name is None:
            self._problems.append(f"{shown}: {problem}")
            return
        tool = OfferedTool(
            name=name,
            description=offered.description,
            parameters=offered.parameters,
            declared=spec.name,
            remote=offered.remote,
        )
        self._tools[name] = tool
        self._facts.append(_fact(spec, tool))


def _fact(spec: ToolSpec, tool: OfferedTool) -> ToolFact:
    effect = effect_of(spec, tool.remote)
    told = {"d": tool.description, "p": tool.parameters, "n": tool.name}
    return ToolFact(
        name=tool.name,
        declared=spec.name,
        kind=spec.kind,
        effect=effect,
        approval=spec.approval,
        critical=spec.critical,
        timeout=spec.timeout,
        attempts=UNSAFE_TRIES if effect == "unsafe" else spec.attempts,
        queue=spec.queue,
        definition_bytes=len(orjson.dumps(told)),
    )


def effect_of(spec: ToolSpec, remote: str | None) -> Effect:
    """Return the effect of one of a declaration's tools."""
    if isinstance(spec, McpTool) and remote is not None:
        return spec.effects.get(remote, spec.effect)
    return spec.effect


def remote_name(server: str, remote: str) -> str | None:
    """Return the name that the model is given of a server's tool, or None where none can be."""
    odd = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in remote)
    name = f"{server}__{odd}"
    return name if remote and len(name) <= 64 else None
