"""What commands share of the terminal: two streams, errors in one line, exit codes, Ctrl-C.

stdout carries results, stderr all else. An error that its user can mend is shown by its own text;
any other in one line that names the log with its traceback, which CALLBOARD_DEBUG=1 shows.
"""

import asyncio
import contextlib
import errno
import os
import re
import shutil
import signal
import sys
import textwrap
import traceback
import unicodedata
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from rich.console import Console

from client.cli.echo import restore_echo
from client.cli.invocation import ROOT, pasteable

DONE, FAILED, USAGE, WAITING, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes: the run failed; bad usage or configuration; it waits for a person; Ctrl-C."""

PLAIN_WIDTH = 110
"""Columns of tables that are written to a file or a pipe."""

MENDABLE = {
    "client.absence": "ServerUnreachable UnknownRun NoWorker",
    "client.chats": "ChatError",
    "client.cli.console": "Refusal",
    "client.devserver.errors": "DevServerError",
    "client.embedded": "EmbeddedFailed",
    "client.planning": "PlanError",
    "config.inputs": "InputError",
    "config.problems": "ConfigError",
    "config.sourcefiles": "SourceError",
    "providers.exceptions": "ExecutionPlatformError",
    "stores.exceptions": "StoreError",
}
"""Errors whose text says what to do, by module. Only modules that were imported are looked at:
no other's error can have been raised."""


_NO_PLACE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR}
)
"""What a file that its user named, or the home folder, may say of itself."""


class Refusal(Exception):
    """Ends a command with a message and an exit code."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code


def stderr() -> Console:
    """Return the console of progress, tables and errors."""
    return _console(sys.stderr)


def stdout() -> Console:
    """Return the console of results that are tables."""
    return _console(sys.stdout)


def _console(stream: Any) -> Console:
    with contextlib.suppress(AttributeError, ValueError):
        stream.reconfigure(errors="replace")
    width = None if stream.isatty() else PLAIN_WIDTH
    return _Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


class _Console(Console):
    """Leaves it to `guarded` what a reader means who has gone: rich would say 1, a failure."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def say(line: str) -> None:
    """Write a line to stderr, its commands as they can be pasted.

    On a terminal it is wrapped between words, and a line that counts on (how far the server's
    build is) takes the place of the one before.
    """
    global _counted
    text = pasteable(clean(line))
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(_wrapped(part, width) for part in text.split("\n"))
        counts = text.startswith(_COUNTING)
        back = f"\x1b[{_counted}F\x1b[J" if counts and _counted else ""
        _counted = text.count("\n") + 1 if counts else 0
        text = back + text
    print(text, file=sys.stderr, flush=True)


_COUNTING = ("building the Temporal server: ", "another process is making the server")
_counted = 0
"""Of the terminal's lines, how many the last counting one took."""


def on_screen(answer: str) -> str:
    """Return an answer as stdout gets it: cleaned and wrapped on a terminal, else as it is."""
    if not sys.stdout.isatty():
        return answer
    width = shutil.get_terminal_size().columns
    lines = clean(answer).split("\n")
    # What is indented is code or data: the terminal breaks it where it must.
    return "\n".join(line if line[:1].isspace() else _wrapped(line, width) for line in lines)


_COMMAND = re.compile(r"(^|: )(\S*python\S* )\S*(starter|worker)\.py |^\s*curl ")


def _wrapped(line: str, width: int) -> str:
    # A command with line breaks of ours in it cannot be pasted: the terminal wraps it itself.
    if len(line) <= width or _COMMAND.search(line):
        return line
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def clean(text: str) -> str:
    """Return a text without what could move a terminal's cursor or reorder its lines."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _UNSEEN)


_UNSEEN = ("Cc", "Cf", "Cs")


def interactive() -> bool:
    """Tell whether a person sits at all three streams."""
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()


def ask(question: str) -> bool:
    """Ask a person yes or no on stderr; Enter means yes."""
    print(f"{question} [Y/n] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    return bool(answer) and answer.strip().lower() in ("", "y", "yes")


def guarded(command: Callable[[], int]) -> int:
    """Run a command; turn what it raises into a message and an exit code."""
    try:
        return command()
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return DONE
    except Exception as error:
        return _told(error)


def _told(error: Exception) -> int:
    if os.environ.get("CALLBOARD_DEBUG") == "1":
        traceback.print_exception(error)
    if _mendable(error):
        # A line each, so that editors find the places.
        several = len(getattr(error, "problems", ()))
        say(f"error: {several} problems:\n{error}" if several > 1 else f"error: {error}")
        if "_API_KEY is not set" in str(error) and not _simulating():
            say("To try it without any key, at no cost: --provider simulated")
        return error.code if isinstance(error, Refusal) else USAGE
    if isinstance(error, OSError) and error.errno in _NO_PLACE and error.filename:
        say(f"error: {error.filename}: {error.strerror}")
        return USAGE
    if isinstance(error, ModuleNotFoundError) and not _ours(error.name or ""):
        say(
            f"error: {error.name} is not installed. After an update, `make venv` brings what is new"
        )
        return USAGE
    kind = type(error).__name__
    text = " ".join(str(error).split())[:300]
    say(f"error: {kind}{': ' if text else ''}{text} ({_logged(error)})")
    return FAILED


def _simulating() -> bool:
    """Was the provider that needs no key asked for already?"""
    return any(word.endswith("simulated") for word in sys.argv[1:])


def _ours(module: str) -> bool:
    return (ROOT / module.partition(".")[0]).is_dir()


def _mendable(error: Exception) -> bool:
    for module, names in MENDABLE.items():
        loaded = sys.modules.get(module)
        if loaded and isinstance(error, tuple(getattr(loaded, name) for name in names.split())):
            return True
    return False


def _logged(error: Exception) -> str:
    """Write the traceback to the log; return where that is."""
    from stores.locations import DataDir

    try:
        log = DataDir().logs / "starter.log"
        with log.open("a") as stream:
            traceback.print_exception(error, file=stream)
    except OSError:
        return "CALLBOARD_DEBUG=1 shows where"
    return f"unexpected; the traceback is in {log}"


def run_async(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a coroutine to its exit code. The first Ctrl-C cancels it, a second ends the process.

    SIGTERM and a closed terminal count as Ctrl-C does.
    """
    return asyncio.run(_interruptible(main))


async def _interruptible(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    loop = asyncio.get_running_loop()
    task = loop.create_task(main())
    received: list[int] = []

    def interrupt(number: int) -> None:
        if received:
            _leave_now()
        received.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        return INTERRUPTED if received[0] == signal.SIGINT else 128 + received[0]
    finally:
        await asyncio.sleep(0.05)  # else the SDK's runtime may crash the interpreter's exit


def _leave_now() -> NoReturn:
    """End at once: what we started ends by itself when we are gone."""
    restore_echo()
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")  # the cursor that a live display has hidden
    sys.stderr.flush()
    os._exit(INTERRUPTED)
