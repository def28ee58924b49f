"""What a person types: lines of a pipe, or a prompt with history and several lines."""

import asyncio
import contextlib
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

HINT = "Enter sends, Alt-Enter makes a new line, /help lists the commands, Ctrl-D leaves."


class Input(ABC):
    """Gives one message after the other."""

    @abstractmethod
    async def next(self, files: Sequence[str] = ()) -> str | None:
        """Return the next message; None at the end. Raises KeyboardInterrupt for Ctrl-C.

        `files` says which go with it.
        """

    @abstractmethod
    async def ask(self, question: str) -> str | None:
        """Ask for a line; None where nobody is there to answer."""

    async def agree(self, question: str) -> bool | None:
        """Ask yes or no; None where nobody is there to answer."""
        answer = await self.ask(f"{question} [y/N] ")
        return None if answer is None else answer.strip().lower() in ("y", "yes")


class PipeInput(Input):
    """Each line is a message.

    Lines are read by a daemon thread: a pipe that nobody closes must not keep the process.
    """

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._reader: threading.Thread | None = None

    async def next(self, files: Sequence[str] = ()) -> str | None:
        if self._reader is None:
            loop = asyncio.get_running_loop()
            self._reader = threading.Thread(target=self._read, args=(loop,), daemon=True)
            self._reader.start()
        line = await self._lines.get()
        return line.rstrip("\r\n") if line else None

    async def ask(self, question: str) -> str | None:
        return None

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have ended
            while line := sys.stdin.readline():
                loop.call_soon_threadsafe(self._lines.put_nowait, line)
            loop.call_soon_threadsafe(self._lines.put_nowait, "")


class TerminalInput(Input):
    """A prompt of prompt_toolkit that completes `commands` and the paths of files.

    `history` has what was typed before.
    """

    def __init__(self, history: Path, commands: Iterable[str]) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory

        from client.cli.chat_completing import completer

        history.parent.mkdir(parents=True, exist_ok=True)
        history.touch(mode=0o600)
        self._session: PromptSession[str] = PromptSession(
            history=FileHistory(str(history)),
            completer=completer(commands),
            complete_while_typing=False,
            key_bindings=_keys(),
            multiline=True,
            prompt_continuation=lambda width, _number, _soft: " " * width,
        )

    async def next(self, files: Sequence[str] = ()) -> str | None:
        from prompt_toolkit.formatted_text import FormattedText

        try:
            shown = [("ansicyan", f"{one}\n") for one in files]
            prompt = FormattedText([*shown, ("bold ansicyan", "> ")])
            return await self._session.prompt_async(prompt, handle_sigint=False)
        except EOFError:
            return None

    async def ask(self, question: str) -> str | None:
        from prompt_toolkit import PromptSession

        try:
            asking: PromptSession[str] = PromptSession()
            return await asking.prompt_async(question, handle_sigint=False)
        except EOFError:
            return ""


def _keys() -> Any:
    """Return the keys: Enter sends, Alt-Enter makes a new line.

    Ctrl-J is Enter: what was typed while an answer was being written ends with it.
    """
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: Any) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    return keys
