"""The tools that come with Callboard; an agent has those that its file names."""

import asyncio
from typing import Any

import orjson

from contracts.tools import BuiltinTool
from toolbox.calls import JSON, TEXT, Invocation, OfferedFunction, ToolResult, Tools
from toolbox.exceptions import ToolRaised
from toolbox.fetching import Fetcher, Sent
from toolbox.folders import Folder

_PATH = {"type": "string", "minLength": 1, "description": "Below the folder, with slashes."}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


OFFERED = {
    "read_file": OfferedFunction("Read a file.", _object(["path"], path=_PATH)),
    "write_file": OfferedFunction(
        "Write a text to a file, in place of what it has.",
        _object(["path", "text"], path=_PATH, text={"type": "string"}),
    ),
    "list_files": OfferedFunction(
        "List the files of a folder.",
        _object([], path={"type": "string", "description": "Default: the folder itself."}),
    ),
    "fetch_url": OfferedFunction(
        "Fetch a web page.", _object(["url"], url={"type": "string", "minLength": 1})
    ),
}


class BuiltinTools(Tools):
    """One of them."""

    def __init__(self, spec: BuiltinTool, fetcher: Fetcher | None = None) -> None:
        self._spec = spec
        self._folder = Folder(spec.root or "")
        self._fetcher = fetcher or Fetcher(spec.allow, spec.private)

    async def offered(self) -> list[OfferedFunction]:
        offered = OFFERED[self._spec.builtin]
        description = self._spec.description or offered.description
        if self._spec.builtin == "fetch_url":
            description += f" Hosts: {', '.join(self._spec.allow)}."
        return [OfferedFunction(description, offered.parameters)]

    async def call(self, invocation: Invocation) -> ToolResult:
        if self._spec.builtin == "fetch_url":
            return await self._fetched(invocation.arguments["url"])
        return await asyncio.to_thread(self._filed, invocation.arguments)

    async def aclose(self) -> None:
        """Nothing is kept between calls."""

    async def _fetched(self, url: str) -> ToolResult:
        got = await self._fetcher.fetch(Sent("GET", url, {"user-agent": "callboard"}))
        if got.status >= 400:
            raise ToolRaised(f"HTTP {got.status}")
        return got.result()

    def _filed(self, arguments: dict[str, Any]) -> ToolResult:
        match self._spec.builtin:
            case "read_file":
                data, size = self._folder.read(arguments["path"])
                return ToolResult(data, TEXT if _is_text(data) else _BINARY, size)
            case "write_file":
                data = arguments["text"].encode("utf-8", "replace")
                new = self._folder.write(arguments["path"], data)
                said = f"{'wrote' if new else 'replaced'} {arguments['path']}: {len(data):,} bytes"
                return ToolResult(said.encode())
        return ToolResult(orjson.dumps(self._folder.entries(arguments.get("path") or "")), JSON)


_BINARY = "application/octet-stream"


def _is_text(data: bytes) -> bool:
    """Say whether a file is text: UTF-8 without NUL. Its end may be cut within a character."""
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(data) - 3 and error.reason == "unexpected end of data"
    return True
