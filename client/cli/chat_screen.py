"""How a conversation is shown: Markdown as it is written, tools as they work, a line of figures.

On a terminal whole blocks (paragraphs, lists, code) are printed once and for good, and only the
block that is being written is drawn anew; an answer of any length scrolls as it should. Elsewhere
stdout gets each whole answer's text as it is, and stderr the rest.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.spinner import Spinner
from rich.text import Text

from client.chat_values import StreamTrouble
from client.cli.console import clean
from client.cli.echo import hold_echo, restore_echo
from client.cli.tool_lines import tool_line
from contracts.chats import ChatView, PendingTool, TurnResult
from contracts.spools import SpoolRecord

MARKS = {"→": "not dim cyan", "✓": "not dim green", "✗": "not dim red"}
"""How the first character of a tool's line is shown."""

FENCES = ("```", "~~~")


def blocks(text: str) -> tuple[list[str], str]:
    """Return (whole blocks, the one that may still grow).

    A block ends with an empty line outside of fenced code.
    """
    whole: list[str] = []
    lines: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if fence:
            fence = "" if bare.startswith(fence) else fence
        elif bare.startswith(FENCES):
            fence = bare[:3]
        if not bare and not fence and line.endswith("\n"):
            if any(one.strip() for one in lines):
                whole.append("".join(lines))
                lines = []
            continue
        lines.append(line)
    return whole, "".join(lines)


@dataclass
class _Writing:
    """The text of one call of the model, and how much of it was printed for good."""

    text: str = ""
    printed: list[str] = field(default_factory=list)


class Screen:
    """Where one conversation is shown. `verbose` shows what tools were given and gave."""

    def __init__(self, *, verbose: bool = False) -> None:
        self.verbose = verbose
        self._unit = ""
        self._writing = _Writing()
        self._shown = False

    def text(self, unit: str, keep: int, added: str) -> None:
        """Show what was written: keep so many characters of a unit's text, then add some."""
        raise NotImplementedError

    def tool(self, record: SpoolRecord) -> None:
        """Show a tool's event."""
        if (line := tool_line(record, verbose=self.verbose)) is not None:
            self.note(line)

    def note(self, line: str) -> None:
        """Show a line that is no part of the answer."""
        raise NotImplementedError

    def finish(self, text: str) -> None:
        """End an answer whose whole text is known."""
        raise NotImplementedError

    def pause(self) -> None:
        """Leave the terminal to someone else for a while."""

    def wait(self) -> None:
        """Show that something is being waited for, until there is something to show."""

    def part(self) -> None:
        """Set what follows apart from what was shown."""


class SilentScreen(Screen):
    """Shows nothing: for who wants a turn's end alone."""

    def text(self, unit: str, keep: int, added: str) -> None:
        return

    def note(self, line: str) -> None:
        return

    def finish(self, text: str) -> None:
        return


class PlainScreen(Screen):
    """Text to stdout, the rest to stderr.

    Only a terminal gets the text as it comes. Whatever else reads stdout could not be told that an
    attempt broke off and its words do not count: it gets each answer when it is whole.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        super().__init__(verbose=verbose)
        self._live = sys.stdout.isatty()

    def text(self, unit: str, keep: int, added: str) -> None:
        if not self._live:
            return
        if unit != self._unit:
            self._end_line()
            self._unit, self._writing = unit, _Writing()
        if keep < len(self._writing.text):
            self._end_line()
            self.note("(the answer was interrupted; it goes on from an earlier place)")
        self._writing.text = self._writing.text[:keep] + added
        sys.stdout.write(clean(added))
        sys.stdout.flush()

    def note(self, line: str) -> None:
        print(clean(line), file=sys.stderr, flush=True)

    def finish(self, text: str) -> None:
        if self._writing.text != text:
            self._end_line()
            sys.stdout.write(clean(text))
        self._writing.text = text
        self._end_line()
        self._unit, self._writing = "", _Writing()

    def pause(self) -> None:
        self._end_line()

    def _end_line(self) -> None:
        if self._writing.text and not self._writing.text.endswith("\n"):
            sys.stdout.write("\n")
        sys.stdout.flush()


class RichScreen(Screen):
    """Markdown on a terminal."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        super().__init__(verbose=verbose)
        self._console = console
        self._live: Live | None = None
        self._waits = False

    def text(self, unit: str, keep: int, added: str) -> None:
        if unit != self._unit:
            self._settle()
            self._unit, self._writing = unit, _Writing()
        self._writing.text = self._writing.text[:keep] + added
        self._draw()

    def note(self, line: str) -> None:
        self._settle()
        self._console.print(Text(clean(line), style="dim"))

    def tool(self, record: SpoolRecord) -> None:
        line = tool_line(record, verbose=self.verbose)
        if line is not None:
            self._settle()
            text = Text(clean(line), style="dim")
            text.stylize(MARKS.get(line[0], ""), 0, 1)
            self._console.print(text)

    def wait(self) -> None:
        if self._live is None:
            dots = Spinner("dots", style="dim")
            self._start(Live(dots, console=self._console, transient=True, refresh_per_second=8))
            self._waits = True

    def part(self) -> None:
        self._settle()
        self._console.print()

    def finish(self, text: str) -> None:
        self._writing.text = text
        self._draw()
        self._settle()
        self._unit, self._writing = "", _Writing()

    def pause(self) -> None:
        self._settle()

    def _draw(self) -> None:
        whole, rest = blocks(self._writing.text)
        printed = self._writing.printed
        if whole[: len(printed)] != printed:
            self._clear()
            self._console.print(Text("(the answer was interrupted and begins anew)", style="dim"))
            printed = self._writing.printed = []
        for block in whole[len(printed) :]:
            self._clear()
            self._console.print(Markdown(clean(block)))
            printed.append(block)
        if rest.strip():
            self._show(rest)

    def _show(self, rest: str) -> None:
        drawn = Markdown(clean(rest))
        if self._waits:
            self._clear()
        if self._live is None:
            self._start(
                Live(
                    drawn,
                    console=self._console,
                    transient=True,
                    vertical_overflow="crop",
                    auto_refresh=False,
                )
            )
        if self._live is not None:
            self._live.update(drawn, refresh=True)

    def _start(self, live: Live) -> None:
        self._live = live
        hold_echo()
        live.start()

    def _clear(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live, self._waits = None, False
            restore_echo()

    def _settle(self) -> None:
        """Print for good what is being written."""
        self._clear()
        whole, rest = blocks(self._writing.text)
        for block in [*whole, rest][len(self._writing.printed) :]:
            if block.strip():
                self._console.print(Markdown(clean(block)))
        self._writing.printed = [*whole, rest] if rest.strip() else whole


def question(pending: PendingTool) -> str:
    """Return what a person is asked about a tool call."""
    call = f"{pending.name} {pending.arguments.preview}"
    if pending.why == "unknown":
        return f"{call} was begun, and nobody knows whether it was done. Call it again?"
    return f"The agent wants to call {call}. Allow it?"


def trouble(event: StreamTrouble) -> str:
    """Return what is said where the text cannot be shown as it is written, or can again."""
    if not event.why:
        return "note: the text comes in again"
    return f"note: {event.why}; the answer goes on, and is shown when it is whole"


def figures(view: ChatView, result: TurnResult) -> str:
    """Return the line of figures below an answer: [3/50 | 1.2s | $0.0042]."""
    began, ended = result.started_at, result.ended_at
    took = (ended - began).total_seconds() if began and ended else 0.0
    digits = 6 if 0 < view.cost < Decimal("0.0001") else 4
    return f"[{view.messages}/{view.max_messages} | {took:.1f}s | ${view.cost:.{digits}f}]"


def listed(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows as lines with aligned columns."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))] if rows else []
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
