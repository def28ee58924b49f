"""What a person types: lines of a pipe, or a prompt with history and several lines."""

import asyncio
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

HINT = "Enter sends, Alt-Enter makes a new line, /help lists the commands, Ctrl-D leaves."


class Input(ABC):
    """Gives one message after the other."""

    @abstractmethod
    async def next(self) -> str | None:
        """Return the next message; None at the end. Raises KeyboardInterrupt for Ctrl-C."""

    @abstractmethod
    async def agree(self, question: str) -> bool | None:
        """Ask yes or no; None where nobody is there to answer."""


class PipeInput(Input):
    """Each line is a message."""

    async def next(self) -> str | None:
        line = await asyncio.to_thread(sys.stdin.readline)
        return line.rstrip("\n") if line else None

    async def agree(self, question: str) -> bool | None:
        return None


class TerminalInput(Input):
    """A prompt of prompt_toolkit; what was typed before is in `history`."""

    def __init__(self, history: Path) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.history import FileHistory

        from client.cli.chat_commands import COMMANDS

        history.parent.mkdir(parents=True, exist_ok=True)
        history.touch(mode=0o600)
        self._session: PromptSession[str] = PromptSession(
            history=FileHistory(str(history)),
            completer=WordCompleter(list(COMMANDS), sentence=True),
            complete_while_typing=False,
            key_bindings=_keys(),
            multiline=True,
            prompt_continuation=lambda width, _number, _soft: " " * width,
        )

    async def next(self) -> str | None:
        try:
            return await self._session.prompt_async("> ", handle_sigint=False)
        except EOFError:
            return None

    async def agree(self, question: str) -> bool | None:
        from prompt_toolkit import PromptSession

        try:
            asking: PromptSession[str] = PromptSession()
            answer = await asking.prompt_async(f"{question} [y/N] ", handle_sigint=False)
        except EOFError:
            return False
        return answer.strip().lower() in ("y", "yes")


def _keys() -> Any:
    """Return the keys: Enter sends, Alt-Enter and Ctrl-J make a new line."""
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: Any) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    return keys
