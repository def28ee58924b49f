"""What Tab completes at the prompt of a chat: commands, and the paths behind `/file`."""

from collections.abc import Iterable

from prompt_toolkit.completion import (
    CompleteEvent,
    Completer,
    Completion,
    PathCompleter,
    WordCompleter,
)
from prompt_toolkit.document import Document

from client.cli.chat_commands import FILE_COMMANDS


class ChatCompleter(Completer):
    """Completes the last path of a line that names files, else the command."""

    def __init__(self, commands: Iterable[str]) -> None:
        self._commands = WordCompleter(list(commands), sentence=True)
        self._paths = PathCompleter(expanduser=True)

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Yield what may stand at the cursor."""
        command, blank, typed = document.text_before_cursor.partition(" ")
        if not blank or command.lower() not in FILE_COMMANDS:
            yield from self._commands.get_completions(document, complete_event)
            return
        for one in self._paths.get_completions(Document(last_path(typed)), complete_event):
            text = one.text.replace(" ", "\\ ")
            yield Completion(text, one.start_position, one.display)


def completer(commands: Iterable[str]) -> Completer:
    """Return what completes these commands."""
    return ChatCompleter(commands)


def last_path(typed: str) -> str:
    """Return the path that is being typed: what follows the last blank that is none of a name."""
    found, escaped = "", False
    for sign in typed:
        if escaped:
            found, escaped = found + sign, False
        elif sign == "\\":
            escaped = True
        elif sign.isspace():
            found = ""
        else:
            found += sign
    return found
