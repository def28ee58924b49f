"""The process of function tools: `python -m toolbox.child FD`, started by toolbox.processes.

It loads one function and calls it, one call at a time, on its main thread. Standard output and
error are the tool's own; frames go through the socket FD. When the socket ends (the worker is
gone, however it went) the process ends at once, whatever the tool is doing, so that nothing goes
on working for nobody.
"""

import asyncio
import contextlib
import importlib
import importlib.util
import inspect
import os
import queue
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic_core

from toolbox.context import ToolContext
from toolbox.exceptions import BadArguments
from toolbox.frames import BODY_BYTES, SIZES, pack, read_head, sizes
from toolbox.signatures import FunctionSignature, NoTool, read_function

ORPHANED = 3
MESSAGE_CHARS = 4_000
OUT_OF_MEMORY = "the tool wanted more than the memory_mb that it may have"
JSON, TEXT, BINARY = "application/json", "text/plain; charset=utf-8", "application/octet-stream"


class Unloadable(Exception):
    """The function is not there; the text says why."""


class Channel:
    """The socket to the worker."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self.requests: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()

    def send(self, head: dict[str, Any], body: bytes = b"") -> None:
        """Send one frame. A fork of this process has nothing to say."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            self._sock.sendall(pack(head, body))

    def listen(self) -> None:
        """Queue what arrives until the worker is gone, then end the process."""
        with contextlib.suppress(OSError, Exception):
            while True:
                head, body = sizes(self._exactly(SIZES.size))
                self.requests.put((read_head(self._exactly(head)), self._exactly(body)))
        os._exit(ORPHANED)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._sock.recv(min(size - len(data), 1 << 20))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)


def load(spec: dict[str, Any]) -> Callable[..., Any]:
    """Return the function that {folder, file, module, function} names. Raises Unloadable."""
    sys.path.insert(0, spec["folder"])
    try:
        if spec.get("file"):
            module = _from_file(Path(spec["file"]))
        else:
            module = importlib.import_module(spec["module"])
    except (Exception, SystemExit) as error:
        shown = spec.get("file") or spec["module"]
        raise Unloadable(f"{shown} cannot be loaded: {_described(error)}") from None
    function = getattr(module, spec["function"], None)
    if not callable(function):
        raise Unloadable(f"{module.__name__} has no function {spec['function']}")
    return function  # type: ignore[no-any-return]


def _from_file(path: Path) -> Any:
    name = f"_tool_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise Unloadable(f"{path} is no Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def call(
    function: Callable[..., Any],
    signature: FunctionSignature,
    head: dict[str, Any],
    body: bytes,
    channel: Channel,
) -> None:
    """Call the function and send what came of it."""

    def tell(message: str, fraction: float | None) -> None:
        with contextlib.suppress(Exception):
            share = None if fraction is None else min(max(float(fraction), 0.0), 1.0)
            channel.send({"is": "progress", "message": message[:MESSAGE_CHARS], "fraction": share})

    context = ToolContext(**head["context"], tell=tell)
    pid = os.getpid()
    try:
        result = function(**signature.bind(body, context))
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
        media_type, data = encoded(result)
    except BadArguments as error:
        channel.send({"is": "misfit", "errors": list(error.errors)})
    except SystemExit as error:
        channel.send({"is": "raised", "message": f"the tool called sys.exit({error.code!r})"[:200]})
    except (Exception, asyncio.CancelledError) as error:
        channel.send({"is": "raised", "message": _described(error)})
    else:
        cut = data[:BODY_BYTES]
        channel.send({"is": "result", "media_type": media_type, "size": len(data)}, cut)
    if os.getpid() != pid:
        os._exit(0)  # the tool forked, and its fork came back too


async def _awaited(result: Any) -> Any:
    return await result


def encoded(result: Any) -> tuple[str, bytes]:
    """Return a result's media type and bytes. Raises ValueError for what JSON cannot hold."""
    if isinstance(result, str):
        return TEXT, result.encode("utf-8", "replace")
    if isinstance(result, bytes | bytearray | memoryview):
        return BINARY, bytes(result)
    try:
        return JSON, pydantic_core.to_json(result)
    except (pydantic_core.PydanticSerializationError, RecursionError) as error:
        shown = str(error).splitlines()[0]
        raise ValueError(
            f"the tool returned a {type(result).__name__}, which is no JSON: {shown}"
        ) from None


def _described(error: BaseException) -> str:
    said = str(error) or (OUT_OF_MEMORY if isinstance(error, MemoryError) else "")
    return f"{type(error).__name__}: {said}".removesuffix(": ")[:MESSAGE_CHARS]


def _bounded(memory_mb: int | None) -> None:
    if memory_mb:
        limit = memory_mb * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _on_term(signum: int, frame: object) -> None:
    sys.exit(128 + signum)


def main(fd: int) -> None:
    """Serve until the worker is gone."""
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    channel = Channel(sock)
    signal.signal(signal.SIGTERM, _on_term)
    threading.Thread(target=channel.listen, daemon=True).start()
    head, _ = channel.requests.get()
    try:
        _bounded(head.get("memory_mb"))
        function = load(head)
        signature = read_function(function)
    except (Unloadable, NoTool) as error:
        channel.send({"is": "unloadable", "message": str(error)[:MESSAGE_CHARS]})
        return
    told = {"description": signature.description, "schema": signature.schema}
    channel.send({"is": "ready"}, pydantic_core.to_json(told))
    while True:
        head, body = channel.requests.get()
        call(function, signature, head, body, channel)


if __name__ == "__main__":
    main(int(sys.argv[1]))
