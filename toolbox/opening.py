"""From a declaration to what calls it, and how many of those a worker keeps."""

import asyncio
import hashlib
from collections import OrderedDict

from contracts.tools import BuiltinTool, FunctionTool, HttpTool, McpTool, ToolSpec
from toolbox.calls import Env, Tools
from toolbox.exceptions import ToolUnavailable
from toolbox.processes import FunctionTools

KEPT = 64
"""Declarations that a worker keeps open; the one that was used longest ago is closed first."""


def open_tools(spec: ToolSpec, env: Env) -> Tools:
    """Return what calls a declaration's tools; nothing is started. Raises ToolUnavailable.

    What brings an HTTP client along is imported by those who declare such a tool.
    """
    match spec:
        case FunctionTool():
            return FunctionTools(spec, env)
        case HttpTool():
            from toolbox.requests import HttpTools

            return HttpTools(spec, env)
        case BuiltinTool():
            from toolbox.builtin import BuiltinTools

            return BuiltinTools(spec)
        case McpTool():
            return _mcp_tools(spec, env)
    raise ToolUnavailable(f"{spec.name} is not run by a worker's toolbox")


def _mcp_tools(spec: McpTool, env: Env) -> Tools:
    try:
        from toolbox.mcp_tools import McpTools
    except ImportError:
        raise ToolUnavailable(
            "MCP servers need the package mcp here: make venv EXTRA=mcp, or uv sync --extra mcp"
        ) from None
    return McpTools(spec, env)


class OpenTools:
    """The tools of this worker, by their whole declaration: equal ones are shared by all chats."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._open: OrderedDict[str, Tools] = OrderedDict()
        self._used: dict[str, int] = {}

    def borrow(self, spec: ToolSpec) -> "Borrowed":
        """Return a context that gives the tools, and keeps them open meanwhile."""
        return Borrowed(self, spec)

    def take(self, key: str, spec: ToolSpec) -> Tools:
        """Return a declaration's tools, in use from now on. Raises ToolUnavailable."""
        tools = self._open.get(key)
        if tools is None:
            tools = self._open[key] = open_tools(spec, self._env)
        self._open.move_to_end(key)
        self._used[key] = self._used.get(key, 0) + 1
        return tools

    async def give(self, key: str) -> None:
        """Say that one use has ended, and close what is too much."""
        self._used[key] -= 1
        if not self._used[key]:
            del self._used[key]
        idle = [other for other in self._open if other not in self._used]
        for other in idle[: max(0, len(self._open) - KEPT)]:
            await self._open.pop(other).aclose()

    async def aclose(self) -> None:
        """Close all, whatever they do."""
        everything = list(self._open.values())
        self._open.clear()
        await asyncio.gather(*(tools.aclose() for tools in everything), return_exceptions=True)


class Borrowed:
    """`async with open_tools.borrow(spec) as tools`."""

    def __init__(self, owner: OpenTools, spec: ToolSpec) -> None:
        self._owner, self._spec = owner, spec
        self._key = hashlib.sha256(spec.model_dump_json().encode()).hexdigest()

    async def __aenter__(self) -> Tools:
        return self._owner.take(self._key, self._spec)

    async def __aexit__(self, *told: object) -> None:
        await self._owner.give(self._key)
