"""Function tools, each in a process of its own that a worker can lose.

Strategy: the function is loaded by `toolbox.child`, in a session of its own, with an environment
that has no secrets but the declared ones. A process serves one call at a time and is kept for
the next; for more at once there are more of them. Whatever a tool does to its process (exit,
crash, hang, fork, print without end), the worker sees a call that failed: it reads what it
has to in bounded pieces, waits for the process and not only for the socket, and ends the whole
process group of one that is not to be trusted any more.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from contracts.tools import FunctionTool
from toolbox.calls import Env, Invocation, OfferedFunction, ToolResult, Tools
from toolbox.environment import secrets, usual
from toolbox.exceptions import BadArguments, ToolDied, ToolFailure, ToolRaised, ToolUnavailable
from toolbox.frames import SIZES, BadFrame, pack, read_head, sizes

START_S = 20.0
END_S = 1.0
LOOK_S = 0.02
FORKED_S = 0.1
KEPT_IDLE = 4
IDLE_S = 600.0
MOST_CALLS = 1_000
TAIL_BYTES = 2_000
ROOT = Path(__file__).resolve().parents[1]

Frame = tuple[dict[str, Any], bytes]


class FunctionTools(Tools):
    """One function, and the processes that serve it."""

    def __init__(self, spec: FunctionTool, env: Env) -> None:
        self._spec, self._env = spec, env
        self._idle: list[ToolProcess] = []
        self._busy: set[ToolProcess] = set()
        self._version = self._found_version()

    async def offered(self) -> list[OfferedFunction]:
        process = await self._taken()
        told = process.told
        await self._given_back(process)
        description = self._spec.description or told["description"]
        return [OfferedFunction(description, self._spec.parameters or told["schema"])]

    async def call(self, invocation: Invocation) -> ToolResult:
        process = await self._taken()
        try:
            result = await process.call(invocation)
        except (ToolRaised, BadArguments):
            await self._given_back(process)
            raise
        except BaseException:
            await self._ended(process)
            raise
        await self._given_back(process)
        return result

    async def aclose(self) -> None:
        everyone = [*self._idle, *self._busy]
        self._idle.clear()
        self._busy.clear()
        await asyncio.gather(*(process.end() for process in everyone))

    async def _taken(self) -> "ToolProcess":
        """Return an idle process of the function as it is now, or a new one."""
        version, now = self._found_version(), time.monotonic()
        stale = [p for p in self._idle if version != self._version or not p.fresh(now)]
        self._version = version
        self._idle = [process for process in self._idle if process not in stale]
        for process in stale:
            await process.end()
        if self._idle:
            process = self._idle.pop()
            self._busy.add(process)
            return process
        process = ToolProcess(self._spec, self._env)
        self._busy.add(process)
        try:
            await process.start()
        except BaseException:
            await self._ended(process)
            raise
        return process

    async def _given_back(self, process: "ToolProcess") -> None:
        if len(self._idle) >= KEPT_IDLE or process not in self._busy:
            await self._ended(process)
            return
        self._busy.discard(process)
        self._idle.append(process)

    async def _ended(self, process: "ToolProcess") -> None:
        self._busy.discard(process)
        await asyncio.shield(process.end())

    def _found_version(self) -> tuple[int, int]:
        """Return what tells a file from the one it was: an edited tool is loaded again."""
        try:
            told = os.stat(self._spec.file or "")
        except OSError:
            return (0, 0)
        return (told.st_mtime_ns, told.st_size)


class ToolProcess:
    """One process. `start`, any number of `call`, `end`."""

    def __init__(self, spec: FunctionTool, env: Env) -> None:
        self._spec, self._env = spec, env
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._draining: asyncio.Task[None] | None = None
        self._tail = bytearray()
        self._calls, self._used = 0, time.monotonic()
        self.told: dict[str, Any] = {}

    def fresh(self, now: float) -> bool:
        """Say whether it can serve one more call."""
        alive = self._process is not None and self._process.returncode is None
        return alive and self._calls < MOST_CALLS and now - self._used < IDLE_S

    async def start(self) -> None:
        """Start it and load the function. Raises ToolUnavailable."""
        env = {**usual(self._env), **secrets(self._spec.secrets, self._env)}
        paths = [str(ROOT), env.get("PYTHONPATH", "")]
        env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        ours, theirs = socket.socketpair()
        try:
            await self._spawn(theirs, env)
            self._reader, self._writer = await asyncio.open_connection(sock=ours)
        except OSError as error:
            ours.close()
            raise ToolUnavailable(f"its process cannot be started: {error.strerror}") from None
        finally:
            theirs.close()
        try:
            async with asyncio.timeout(START_S):
                self.told = await self._load()
        except TimeoutError:
            raise ToolUnavailable(f"it was not loaded within {START_S:.0f} s") from None
        except ToolDied as error:
            raise ToolUnavailable(f"loading it ended its process: {error}") from None

    async def _spawn(self, theirs: socket.socket, env: dict[str, str]) -> None:
        fd = theirs.fileno()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "toolbox.child", str(fd)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=[fd],
            start_new_session=True,
            cwd=self._spec.folder or None,
            env=env,
        )
        self._draining = asyncio.create_task(self._drain())

    @property
    def _code(self) -> int | None:
        """The exit code. Not of `wait()`: that waits for the ends of pipes that a fork has."""
        assert self._process is not None
        return self._process.returncode

    async def _gone(self, within_s: float) -> bool:
        """Wait for the process to end, and say whether it has."""
        for _ in range(max(1, round(within_s / LOOK_S))):
            if self._code is not None:
                return True
            await asyncio.sleep(LOOK_S)
        return self._code is not None

    async def _drain(self) -> None:
        """Read what it prints and keep the end of it, for whoever has to say why it died."""
        assert self._process is not None
        assert self._process.stdout is not None
        while piece := await self._process.stdout.read(65_536):
            self._tail += piece
            del self._tail[:-TAIL_BYTES]

    async def _load(self) -> dict[str, Any]:
        spec = self._spec
        head, body = await self._asked(
            {
                "folder": spec.folder or os.getcwd(),
                "file": spec.file,
                "module": spec.module,
                "function": spec.function,
                "memory_mb": spec.memory_mb,
            }
        )
        if head["is"] != "ready":
            raise ToolUnavailable(str(head.get("message", "it cannot be loaded")))
        told: dict[str, Any] = orjson.loads(body)
        return told

    async def call(self, invocation: Invocation) -> ToolResult:
        """Call the function. Raises ToolFailure; after ToolDied and when cancelled, `end` it."""
        self._calls += 1
        context = {
            "idempotency_key": invocation.idempotency_key,
            "session_id": invocation.session_id,
            "call_id": invocation.call_id,
            "attempt": invocation.attempt,
        }
        request = pack({"context": context}, orjson.dumps(invocation.arguments))
        head, body = await self._exchanged(request, invocation.progress)
        self._used = time.monotonic()
        match head["is"]:
            case "result":
                return ToolResult(body, str(head["media_type"]), int(head["size"]))
            case "misfit":
                raise BadArguments([str(error) for error in head["errors"]])
            case _:
                raise ToolRaised(str(head.get("message", "it failed")))

    async def _asked(self, head: dict[str, Any]) -> Frame:
        return await self._exchanged(pack(head), lambda message, fraction: None)

    async def _exchanged(
        self, request: bytes, progress: Callable[[str, float | None], None]
    ) -> Frame:
        """Send a frame and return the one that answers it."""
        assert self._writer is not None
        try:
            self._writer.write(request)
            await self._writer.drain()
            while True:
                head, body = await self._frame()
                if head.get("is") != "progress":
                    return head, body
                progress(str(head.get("message", "")), head.get("fraction"))
        except (OSError, EOFError, BadFrame, KeyError, TypeError) as error:
            raise await self._death(error) from None

    async def _frame(self) -> Frame:
        """Return the next frame. Raises EOFError when the process or its socket has ended."""
        reading = asyncio.ensure_future(self._read_frame())
        try:
            while not (await asyncio.wait({reading}, timeout=FORKED_S))[0]:
                if self._code is not None:
                    # What it sent before it ended was read; a fork of it holds the socket.
                    raise EOFError
            return reading.result()
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _read_frame(self) -> Frame:
        assert self._reader is not None
        head, body = sizes(await self._reader.readexactly(SIZES.size))
        return read_head(await self._reader.readexactly(head)), await self._reader.readexactly(body)

    async def _death(self, error: Exception) -> ToolFailure:
        """Return what to say of a process that is gone, or that does not speak as it should."""
        if not await self._gone(0.5):
            return ToolDied(f"its process sent something else than a result: {error}")
        code = self._code or 0
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        last = self._tail.decode(errors="replace").strip().splitlines()[-1:]
        said = f"; it printed last: {last[0][:300]}" if last else ""
        return ToolDied(f"its process ended {how}{said}")

    async def end(self) -> None:
        """End the process and all that it started in its group. May be called twice."""
        if self._process is None:
            return
        if self._code is None:
            self._signal(signal.SIGTERM)
            await self._gone(END_S)
        self._signal(signal.SIGKILL)
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        await self._gone(5)
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.gather(self._draining, return_exceptions=True)
        # A fork that left the group may hold the pipe: do not wait for its end.
        self._process._transport.close()  # type: ignore[attr-defined]

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
