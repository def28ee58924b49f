"""A small MCP server by the official SDK: `python mcp_server.py stdio | http PORT [MODE]`.

Modes: "sound", "liar" (schemas that are none), "slow" (answers after minutes), "noisy" (prints
what is no protocol), "dumb" (ends at once).
"""

import asyncio
import os
import sys
import time
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.utilities.types import Image
from mcp.types import Tool

server = MCPServer("small")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers.\x1b[31m"""
    return a + b


@server.tool()
async def steps(count: int, ctx: Context[Any, Any]) -> str:
    """Report progress."""
    for n in range(count):
        await ctx.report_progress(n + 1, count, f"step {n + 1}")
    return "done"


@server.tool()
def fails() -> str:
    raise ValueError("no such order")


@server.tool()
async def hangs() -> str:
    await asyncio.sleep(600)
    return "late"


@server.tool()
def dies(path: str) -> str:
    """End the server in the middle of a call."""
    with open(path, "a") as file:
        file.write("x")
    os._exit(3)


@server.tool()
def environment(name: str) -> str:
    return os.environ.get(name, "unset")


@server.tool()
def picture() -> Image:
    return Image(data=b"\x89PNG" + bytes(1000), format="png")


@server.tool()
def flood(characters: int) -> str:
    return "x" * characters


@server.tool(name="odd name!")
def odd() -> str:
    return "odd"


@server.tool()
def pid() -> int:
    return os.getpid()


GOOD = {"type": "object", "properties": {"x": {"type": "string", "pattern": "(a+)+$"}}}
AWAY = {"type": "object", "properties": {"x": {"$ref": "http://127.0.0.1:9/s.json"}}}
LIES = [
    Tool(name="good", input_schema=GOOD),
    Tool(name="broken", input_schema={"type": "object", "properties": {"x": {"type": 7}}}),
    Tool(name="away", input_schema=AWAY),
    Tool(name="huge", input_schema={"type": "object", "description": "x" * 100_000}),
    Tool(name="good", input_schema=GOOD),
    Tool(name="n" * 200, input_schema=GOOD),
    Tool(name="add", input_schema={"type": "object"}, output_schema={"type": "object"}),
]


class Liar(MCPServer[Any]):
    """Lists schemas that cannot be used, and one that its tool does not have."""

    async def list_tools(self) -> list[Tool]:
        return LIES


def main(transport: str, *more: str) -> None:
    mode = more[-1] if more and not more[-1].isdigit() else "sound"
    if mode == "dumb":
        print("cannot find my settings", file=sys.stderr)
        sys.exit(1)
    if mode == "slow":
        time.sleep(600)
    if mode == "noisy":
        print("hello, this is no protocol\n{}\n[1]", flush=True)
    served = server
    if mode == "liar":
        served = Liar("liar")
        served.add_tool(add, structured_output=False)
    if transport == "http":
        served.run("streamable-http", port=int(more[0]))
    else:
        served.run("stdio")


if __name__ == "__main__":
    main(*sys.argv[1:])
