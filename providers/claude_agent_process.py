"""The Claude Code program as a child process: found, started, read and ended.

Promise: the child gets exactly the given environment, nothing of ours; `kill` ends it and all
that it started at once, from any place and more than once; a line it writes takes bounded memory;
on Linux it does not outlive this process, not even one that was killed.

Strategy: a `Transport` for the SDK, in place of its own, which hands on the whole environment and
waits five seconds for the child to go. A program that ends, or writes what is no message, raises
`ProgramFailed`: why is for the reader of messages to say.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import claude_agent_sdk
import orjson
from claude_agent_sdk import Transport

from providers.exceptions import Unavailable

PROVIDER = "claude_agent"
INSTALL = (
    "Run make venv EXTRA=claude, uv sync --extra claude, or pip install claude-agent-sdk; or, for "
    "the program alone, npm install -g @anthropic-ai/claude-code"
)

OLDEST = (2, 1, 248)
"""The first version that leaves prompts as they are (no files named in them, no commands)."""

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes that one message may have; the last one repeats the whole answer."""

_READ_BYTES = 64 * 1024
_STDERR_BYTES = 4096
_GONE_S = 5.0

# The signal at the death of this process must be asked for in the child, before it becomes the
# program; a hook of `subprocess` for that is not safe in a process with threads.
_LAUNCHER = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"
    "if os.getppid() != int(sys.argv[1]): sys.exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


class ProgramFailed(Exception):
    """The program ended or cannot be understood. `sent`: it had been given the question.

    The text holds nothing of the program's, since the SDK logs it; `complaint` may quote a prompt.
    """

    def __init__(self, why: str, sent: bool, complaint: str = "") -> None:
        super().__init__(why)
        self.sent = sent
        self.complaint = complaint


def find_program(given: str | Path | None) -> Path:
    """Return the program: the given one, the SDK's own, or the first on the path.

    Raises `Unavailable` with the install command.
    """
    name = "claude.exe" if sys.platform == "win32" else "claude"
    bundled = Path(claude_agent_sdk.__file__).parent / "_bundled" / name
    on_path = shutil.which(name)
    for candidate in (given,) if given else (bundled, on_path):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    where = f"there is no {given}" if given else "no program 'claude' in its package or on PATH"
    raise Unavailable(f"{PROVIDER}: {where}. {INSTALL}", provider=PROVIDER)


async def check_version(program: Path, environment: dict[str, str]) -> None:
    """Raise `Unavailable` for a program that cannot be run or is too old to be trusted."""
    try:
        child = await asyncio.create_subprocess_exec(
            program,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
        )
    except OSError as error:
        why = f"{program.name} cannot be run ({error.strerror})"
        raise Unavailable(f"{PROVIDER}: {why}. {INSTALL}", provider=PROVIDER) from None
    try:
        said, _ = await child.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    found = re.match(rb"(\d+)\.(\d+)\.(\d+)", said)
    if found is None or tuple(map(int, found.groups())) < OLDEST:
        has = found[0].decode() if found else "unknown"
        oldest = ".".join(map(str, OLDEST))
        raise Unavailable(
            f"{PROVIDER}: Claude Code's version is {has}; {oldest} is needed. {INSTALL}",
            provider=PROVIDER,
        )


class ChildTransport(Transport):
    """One run of the program, as the SDK talks to it."""

    def __init__(
        self, program: Path, arguments: Sequence[str], environment: dict[str, str], folder: Path
    ) -> None:
        self._command = [str(program), *arguments]
        self._environment = environment
        self._folder = folder
        self._child: asyncio.subprocess.Process | None = None
        self._stderr: asyncio.Task[None] | None = None
        self._complaints = bytearray()
        self.sent = False

    async def connect(self) -> None:
        """Start the program. Raises `Unavailable` where that cannot be done."""
        try:
            self._child = await asyncio.create_subprocess_exec(
                *_launched(self._command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )
        except OSError as error:
            why = f"{self._command[0]} cannot be started ({error.strerror})"
            raise Unavailable(f"{PROVIDER}: {why}. {INSTALL}", provider=PROVIDER) from None
        self._stderr = asyncio.create_task(self._listen())

    async def write(self, data: str) -> None:
        """Hand one message to the program."""
        child = self._running()
        assert child.stdin is not None
        child.stdin.write(data.encode())
        with contextlib.suppress(ConnectionError):  # its end shows where it is read
            await child.stdin.drain()

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what the program writes, line by line; raises `ProgramFailed` at its end."""
        child = self._running()
        assert child.stdout is not None
        pieces: list[bytes] = []
        size = 0
        while data := await child.stdout.read(_READ_BYTES):
            *lines, rest = data.split(b"\n")
            for line in lines:
                message = self._message(b"".join([*pieces, line]))
                pieces, size = [], 0
                if message is not None:
                    yield message
            pieces.append(rest)
            size += len(rest)
            if size > LINE_LIMIT:
                raise ProgramFailed(f"wrote a line of more than {LINE_LIMIT} bytes", self.sent)
        raise await self._ending()

    async def end_input(self) -> None:
        """Tell the program that nothing more comes."""
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()

    def is_ready(self) -> bool:
        """Tell whether the program runs."""
        return self._child is not None and self._child.returncode is None

    def kill(self) -> None:
        """End the program and all it started, now. Safe at any time."""
        child = self._child
        if child is None or child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()

    async def close(self) -> None:
        """End the program and wait until it is gone. Safe to call twice."""
        self.kill()
        if self._child is None:
            return
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(_GONE_S):
                await self._read_to_the_end()
                await self._child.wait()
        if self._child.stdin is not None:
            self._child.stdin.close()
        if self._stderr is not None:
            self._stderr.cancel()
            await asyncio.wait([self._stderr])

    async def _read_to_the_end(self) -> None:
        """Empty the pipes: one that was full is not closed before that."""
        assert self._child is not None
        assert self._child.stdout is not None
        while await self._child.stdout.read(_READ_BYTES):
            pass
        if self._stderr is not None:
            await asyncio.wait([self._stderr])

    def _running(self) -> asyncio.subprocess.Process:
        if self._child is None:
            raise ProgramFailed("was not started", sent=False)
        return self._child

    def _message(self, line: bytes) -> dict[str, Any] | None:
        """One line as a message; lines that do not even begin like one are for people."""
        if not line.startswith(b"{"):
            return None
        try:
            message: dict[str, Any] = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise ProgramFailed("wrote a line that is no JSON", self.sent) from None
        return message

    async def _listen(self) -> None:
        """Keep the last of what it complains about."""
        assert self._child is not None
        assert self._child.stderr is not None
        while data := await self._child.stderr.read(_STDERR_BYTES):
            self._complaints += data
            del self._complaints[:-_STDERR_BYTES]

    async def _ending(self) -> ProgramFailed:
        assert self._child is not None
        assert self._stderr is not None
        code = await self._child.wait()
        await asyncio.wait([self._stderr], timeout=0.2)
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        last = self._complaints.decode("utf-8", "replace").strip().split("\n")[-1]
        return ProgramFailed(how, self.sent, last)


def _launched(command: list[str]) -> list[str]:
    if not sys.platform.startswith("linux"):
        return command
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]
