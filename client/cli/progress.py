"""Progress on a terminal: a line per agent, the text of one of them, the money.

Everything fits the window: of a large team the active agents and counts are shown, of the text its
end. The display writes to stderr and takes itself away when the run has ended; elsewhere
`PlainProgress` writes a line for each change of state, with no control characters.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from client.cli.console import clean, say
from client.cli.echo import hold_echo, restore_echo
from client.cli.invocation import pasteable
from client.cli.picture import Picture
from client.cli.spelling import GLYPHS, cap, elapsed, money, served_by
from client.cli.tool_lines import tool_line
from client.cli.waiting import waiting
from contracts.runs import StepStatus
from contracts.teams import AgentStatus

REFRESH_S = 0.1
FEWEST_TEXT_LINES = 4
FRAME_LINES = 5
"""Of the window's height: head, foot, the text's title and the line below the cursor."""

ENDED = (
    AgentStatus.COMPLETED,
    AgentStatus.FAILED,
    AgentStatus.CANCELLED,
    AgentStatus.RATE_LIMITED,
    AgentStatus.BUDGET_EXCEEDED,
)


class Progress(ABC):
    """Shows a picture while the context lasts. `changed` is called after each new state."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    async def __aenter__(self) -> "Progress":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    @abstractmethod
    def changed(self) -> None:
        """Show what is new."""

    @abstractmethod
    def report(self, line: str) -> None:
        """Show a line that stays."""


class PlainProgress(Progress):
    """Lines on stderr."""

    def __init__(self, picture: Picture) -> None:
        super().__init__(picture)
        self._shown: dict[str, tuple[AgentStatus, int]] = {}
        self._trouble: str | None = None

    def changed(self) -> None:
        for step in self.picture.steps:
            state = (step.status, step.attempt)
            asked = step.attempt or step.kind != "model" or step.status is not AgentStatus.RUNNING
            if asked and self._shown.get(step.name, (AgentStatus.PENDING, 0)) != state:
                self.report(_line(step))
                self._shown[step.name] = state
        while self.picture.tools:
            record = self.picture.tools.popleft()
            if (line := tool_line(record, verbose=True)) is not None:
                self.report(f"{record.agent.partition('.')[0]}: {line.strip()}")
        trouble = self.picture.trouble or self.picture.unread
        if trouble != self._trouble:
            self._trouble = trouble
            self.report(self._trouble or "it goes on")

    def report(self, line: str) -> None:
        say(line)


def _line(step: StepStatus) -> str:
    """Return a step's state as one line."""
    asks = step.kind in ("model", "agent")
    parts = [served_by(step)] if asks and step.provider else []
    if step.attempt > 1:
        parts.append(f"attempt {step.attempt}")
    if step.status in ENDED and asks and step.attempt:
        parts += [f"{step.tokens:,} tokens", money(step.cost)]
        parts.append(elapsed(step.started_at, step.completed_at))
    if step.note:
        parts.append(" ".join(step.note.split()))
    told = f": {', '.join(parts)}" if parts else ""
    return f"{step.name} {step.status.value.replace('_', ' ')}{told}"


class LiveProgress(Progress):
    """A display that is redrawn in place."""

    def __init__(self, picture: Picture, console: Console) -> None:
        super().__init__(picture)
        self._console = console
        self._live = Live(
            console=console, auto_refresh=False, transient=True, vertical_overflow="crop"
        )
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "LiveProgress":
        hold_echo()
        self._live.start()
        self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ticker:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        self._live.update(Text(""))
        self._live.stop()
        restore_echo()

    async def _tick(self) -> None:
        while True:
            size = self._console.size
            self._live.update(draw(self.picture, size.width, size.height), refresh=True)
            await asyncio.sleep(REFRESH_S)

    def changed(self) -> None:
        return None

    def report(self, line: str) -> None:
        self._console.print(Text(clean(line)))


def draw(picture: Picture, width: int, height: int) -> RenderableType:
    """Return the whole display, at most `height` - 1 lines of `width` columns."""
    room = max(2, height - FRAME_LINES - FEWEST_TEXT_LINES)
    shown, rest = _chosen(picture.steps, room)
    used = len(shown) + bool(rest)
    parts: list[RenderableType] = [_head(picture), _agents(picture, shown, width)]
    if rest:
        parts.append(Text(rest, style="dim", no_wrap=True, overflow="ellipsis"))
    parts += _text(picture, width, max(1, height - FRAME_LINES - used))
    parts.append(_foot(picture))
    return Group(*parts)


def _chosen(steps: tuple[StepStatus, ...], room: int) -> tuple[list[StepStatus], str]:
    """Return the steps that fit, the active ones first, and a line about the others."""
    if len(steps) <= room:
        return list(steps), ""
    order = {AgentStatus.RUNNING: 0, AgentStatus.PENDING: 2, AgentStatus.COMPLETED: 3}
    ranked = sorted(range(len(steps)), key=lambda n: (order.get(steps[n].status, 1), n))
    chosen = sorted(ranked[: room - 1])
    hidden = [steps[n].status.value for n in ranked[room - 1 :]]
    counts = ", ".join(f"{hidden.count(state)} {state}" for state in dict.fromkeys(hidden))
    return [steps[n] for n in chosen], f"  and {counts}"


def _head(picture: Picture) -> Text:
    if picture.status is None:
        return _one_line(f"{picture.run_id}  {picture.trouble or 'starting'}", "bold")
    status = picture.status
    ended = picture.count(*ENDED)
    started = elapsed(status.started_at, status.completed_at)
    return _one_line(
        f"{picture.run_id}  {ended} of {len(status.steps)} agents ended  {started}", "bold"
    )


def _foot(picture: Picture) -> Text:
    status = picture.status
    if trouble := picture.trouble or picture.unread:
        return _one_line(pasteable(trouble), "yellow")
    if status is None:
        return Text("")
    for wants in waiting(status)[:1]:
        return _one_line(f"{wants.what} · {wants.how}", "yellow")
    held = f", {money(status.reserved)} held for calls under way" if status.reserved else ""
    line = f"{money(status.cost)} of {cap(status.budget)} spent{held}, {status.tokens:,} tokens"
    return _one_line(line, "bold")


def _agents(picture: Picture, steps: list[StepStatus], width: int) -> Table:
    table = Table.grid(padding=(0, 1), expand=False)
    name_width = min(max((len(step.name) for step in steps), default=1), max(12, width // 4))
    table.add_column(width=1)
    table.add_column(width=name_width, no_wrap=True, overflow="ellipsis")
    by_width = min(max(8, width - name_width - 36), 40)
    table.add_column(width=by_width, no_wrap=True, overflow="ellipsis")
    table.add_column(width=2, justify="right", no_wrap=True)
    table.add_column(width=8, justify="right", no_wrap=True)
    table.add_column(width=8, justify="right", no_wrap=True)
    table.add_column(width=7, justify="right", no_wrap=True)
    for step in steps:
        table.add_row(*_row(picture, step))
    return table


def _row(picture: Picture, step: StepStatus) -> list[Text]:
    glyph, style = GLYPHS[step.status.value]
    why = step.note if step.status in ENDED and step.note else None
    used = picture.using.get(step.name) if step.status is AgentStatus.RUNNING else None
    doing = tool_line(used, verbose=True) if used is not None else None
    middle = clean(why or doing or served_by(step)).replace("\n", " ")
    followed = step.name == picture.shown_agent and step.status is AgentStatus.RUNNING
    return [
        Text(glyph, style=style),
        Text(step.name, style="bold cyan" if followed else ""),
        Text(middle, style=style if why else "dim"),
        Text(
            f"#{step.attempt}" if step.attempt else "", style="yellow" if step.attempt > 1 else ""
        ),
        Text(picture.tokens(step)),
        Text(money(step.cost) if step.cost else ""),
        Text(elapsed(step.started_at, step.completed_at) if step.attempt else "", style="dim"),
    ]


def _text(picture: Picture, width: int, lines: int) -> list[RenderableType]:
    """Return the end of the text that is being written, under its agent's name."""
    agent = picture.shown_agent
    if agent is None:
        return []
    tail = clean(picture.shown_text[-width * lines :]).expandtabs(4)
    wrapped = Text(tail).wrap(Console(width=width), width)
    end = Text("\n").join(list(wrapped)[-lines:])
    return [_one_line(f"── {agent} " + "─" * max(0, width - len(agent) - 4), "dim"), end]


def _one_line(text: str, style: str) -> Text:
    return Text(clean(text), style=style, no_wrap=True, overflow="ellipsis")
