"""The tools of an MCP server: listed and judged, called in one session that all calls share.

A server is somebody else's program. What it lists is taken with care: names are made to fit,
schemas that cannot be used leave their tools out, descriptions are cleaned and cut. What it
answers is judged by its own output schema, by the SDK. A server that goes away is connected to
again by the next call.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from mcp import MCPError
from mcp.shared.dispatcher import ProgressFnT
from mcp.types import CallToolResult, RequestParamsMeta, Tool
from pydantic import ValidationError

from contracts.tools import MOST_LISTED, McpTool
from rules.toolargs import unsound, without_patterns
from rules.toolresults import clean, cut
from toolbox.calls import Env, Invocation, OfferedFunction, ToolResult, Tools
from toolbox.exceptions import ToolDied, ToolFailure, ToolRaised, ToolUnavailable
from toolbox.mcp_content import result_of
from toolbox.mcp_session import McpSession

DESCRIPTION_CHARS = 4_000
MOST_PAGES = 20
KEY_META = "callboard/idempotency-key"
_CLOSED, _TIMED_OUT = -32000, -32001


class McpTools(Tools):
    """One server, and this worker's session with it."""

    def __init__(self, spec: McpTool, env: Env) -> None:
        self._spec, self._env = spec, env
        self._session: McpSession | None = None
        self._not_closed: set[McpSession] = set()
        self._opening = asyncio.Lock()

    async def offered(self) -> list[OfferedFunction]:
        try:
            async with asyncio.timeout(self._spec.start_timeout):
                tools = await self._listed()
        except TimeoutError:
            await self._drop(self._session)
            raise ToolUnavailable(
                f"the MCP server {self._spec.name} did not list its tools within"
                f" {self._spec.start_timeout:g} s"
            ) from None
        wanted = self._spec.only
        offered = [_offered(tool) for tool in tools if wanted is None or tool.name in wanted]
        missing = set(wanted or ()) - {tool.name for tool in tools}
        return offered + [
            OfferedFunction("", {}, name, "the server has no such tool") for name in sorted(missing)
        ]

    async def call(self, invocation: Invocation) -> ToolResult:
        try:
            return await self._tried(invocation)
        except ToolUnavailable:
            # Nothing was sent: the session was one that its server had left before.
            return await self._tried(invocation)

    async def _tried(self, invocation: Invocation) -> ToolResult:
        session = await self._connected()
        before = session.sent
        try:
            return result_of(await self._called(session, invocation))
        except ToolFailure:
            raise
        except Exception as error:
            failure = _failure(error, session.sent > before)
            if not isinstance(failure, ToolRaised):
                await self._drop(session)
            raise failure from None

    async def aclose(self) -> None:
        for session in list(self._not_closed):
            await self._drop(session)

    async def _called(self, session: McpSession, invocation: Invocation) -> CallToolResult:
        assert session.client is not None
        return await session.client.call_tool(
            invocation.remote or "",
            invocation.arguments,
            progress_callback=_progress(invocation.progress),
            meta=_meta(invocation),
        )

    async def _listed(self) -> list[Tool]:
        for trial in (1, 2):
            session = await self._connected()
            assert session.client is not None
            try:
                tools: list[Tool] = []
                cursor: str | None = None
                for _ in range(MOST_PAGES):
                    page = await session.client.list_tools(cursor=cursor, cache_mode="refresh")
                    tools += page.tools
                    cursor = page.next_cursor
                    if cursor is None or len(tools) > MOST_LISTED:
                        break
                return tools
            except Exception as error:
                # A session that was left alone for long may be one that its server forgot.
                await self._drop(session)
                if trial == 2 or isinstance(error, ValidationError):
                    said = str(error).splitlines()[0][:300]
                    raise ToolUnavailable(
                        f"the MCP server {self._spec.name} does not list its tools: {said}"
                    ) from None
        raise AssertionError("unreachable: the second trial returns or raises")

    async def _connected(self) -> McpSession:
        async with self._opening:
            if self._session is None:
                session = McpSession(self._spec, self._env)
                left = {other for other in self._not_closed if not other.closed}
                self._not_closed = {*left, session}
                try:
                    async with asyncio.timeout(self._spec.start_timeout):
                        await session.open()
                except TimeoutError:
                    raise ToolUnavailable(
                        f"the MCP server {self._spec.name} did not answer within"
                        f" {self._spec.start_timeout:g} s"
                    ) from None
                self._session = session
            return self._session

    async def _drop(self, session: McpSession | None) -> None:
        """Forget a session, and end it."""
        if session is None:
            return
        if self._session is session:
            self._session = None
        await session.close()
        self._not_closed.discard(session)


def _offered(tool: Tool) -> OfferedFunction:
    schema = without_patterns(tool.input_schema)
    schema = {**schema, "properties": schema.get("properties", {})}
    text = clean(tool.description or tool.title or "")
    return OfferedFunction(cut(text, DESCRIPTION_CHARS), schema, tool.name, unsound(schema))


def _failure(error: Exception, sent: bool) -> ToolFailure:
    """Say what a failed call means: refused by the server, or cut off, or never sent."""
    if isinstance(error, MCPError) and error.code not in (_CLOSED, _TIMED_OUT):
        return ToolRaised(error.message[:DESCRIPTION_CHARS])
    if isinstance(error, RuntimeError | ValidationError):
        said = str(error).splitlines()[0][:300]
        return ToolRaised(f"the server's answer is not what it declared: {said}")
    if not sent:
        return ToolUnavailable("the MCP server went away before it was asked")
    return ToolDied("the MCP server went away before it answered")


def _meta(invocation: Invocation) -> RequestParamsMeta:
    return cast(RequestParamsMeta, {KEY_META: invocation.idempotency_key})


def _progress(tell: Callable[[str, float | None], None]) -> ProgressFnT:
    async def told(progress: float, total: float | None, message: str | None) -> None:
        tell(message or "", progress / total if total else None)

    return told
