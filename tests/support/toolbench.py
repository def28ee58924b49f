"""A bench for tools: `list_tools` and `call_tool` with a store, a spool and one agent."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from temporalio.activity import Info
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment

from activities.tools import RunTools
from contracts.agents import AgentModel, AgentSpec
from contracts.spools import SpoolRecord
from contracts.tools import (
    ToolEventRecord,
    ToolList,
    ToolListing,
    ToolOutcome,
    ToolRequest,
)
from stores.artifacts import ArtifactStore
from stores.spools import FileSpools
from stores.values import store_value

SOURCE = '''
import os, sys, time
from toolbox.context import ToolContext

def count(path: str) -> int:
    """Write a mark and count them."""
    with open(path, "a") as file:
        file.write("x")
    return os.path.getsize(path)

def key(idempotency_key: str) -> str:
    return idempotency_key

def raises(text: str) -> str:
    raise ValueError(text)

def dies(path: str) -> str:
    count(path)
    os._exit(3)

def hangs(path: str) -> str:
    count(path)
    time.sleep(600)

def slow(seconds: float, context: ToolContext) -> str:
    for n in range(10):
        time.sleep(seconds / 10)
        context.progress(f"part {n + 1}", (n + 1) / 10)
    return "done"

def report(context: ToolContext) -> str:
    for n in range(20_000):
        context.progress("x" * 3_000)
    return "told"

def dirty() -> str:
    return "a\\x1b[31mred\\x1b[0m\\x00b\\x9b\\ud800 tab\\t end"

def long(chars: int) -> str:
    return "b" * chars + "end"

def binary() -> bytes:
    return bytes(range(256))

def nothing() -> None:
    pass

def secret() -> str:
    return "the token is " + os.environ["CITY_TOKEN"]

def leaks() -> str:
    raise RuntimeError("401 for " + os.environ["CITY_TOKEN"])
'''


class Bench:
    """The activities with a store, a spool and one agent."""

    def __init__(self, folder: Path, tools: list[dict[str, Any]], env: Mapping[str, str]) -> None:
        self.folder = folder
        (folder / "t.py").write_text(SOURCE)
        self.store = ArtifactStore.open(str(folder / "artifacts"))
        self.spools = FileSpools(folder / "spools")
        self.work = RunTools(self.store, self.spools, {**os.environ, **env})
        self.agent = AgentSpec(
            name="a", model=AgentModel(persona="p"), instructions="i", tools=tuple(tools)
        )
        self.calls = 0

    def environment(self, attempt: int = 1) -> ActivityEnvironment:
        made = ActivityEnvironment()
        made.payload_converter = pydantic_data_converter.payload_converter
        made.info = Info(**{**vars(made.info), "attempt": attempt})
        return made

    async def listing(self, queue: str | None = None) -> ToolListing:
        ref = await self.store.put_json(self.agent)
        return await self.environment().run(self.work.list_tools, ToolList(agent=ref, queue=queue))

    async def request(self, name: str, **more: Any) -> ToolRequest:
        self.calls += 1
        listing = await self.listing()
        assert listing.toolbox is not None
        arguments = more.pop("arguments", {})
        values = {
            "run_id": "s1", "unit": "turn-1", "agent": await self.store.put_json(self.agent),
            "toolbox": listing.toolbox, "name": name, "call_id": f"c{self.calls}",
            "idempotency_key": f"k{self.calls}",
            "arguments": await store_value(self.store, arguments, want_inline=True), **more,
        }  # fmt: skip
        return ToolRequest.model_validate(values)

    async def call(self, name: str, attempt: int = 1, **arguments: Any) -> ToolOutcome:
        request = await self.request(name, arguments=arguments)
        return await self.run(request, attempt)

    async def run(self, request: ToolRequest, attempt: int = 1) -> ToolOutcome:
        return await self.environment(attempt).run(self.work.call_tool, request)

    async def text(self, outcome: ToolOutcome) -> str:
        assert outcome.text.ref is not None
        return await self.store.get_text(outcome.text.ref)

    async def events(self) -> list[ToolEventRecord]:
        stop = asyncio.Event()
        stop.set()
        found = []
        async with contextlib.aclosing(self.spools.follow("s1", stop=stop)) as records:
            async for record, _ in records:
                assert isinstance(record, SpoolRecord)
                if record.tool is not None:
                    found.append(record.tool)
        return found


def function(name: str, folder: Path, **more: Any) -> dict[str, Any]:
    file = {"file": str(folder / "t.py"), "folder": str(folder)}
    return {"kind": "function", "name": name, "function": name, **file, **more}


Make = Callable[..., Bench]
