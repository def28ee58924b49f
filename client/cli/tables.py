"""Tables of runs and their costs, for terminals and files alike."""

from collections.abc import Iterable, Sequence
from decimal import ROUND_DOWN, Decimal

from rich import box
from rich.table import Table
from rich.text import Text

from client.cli.console import clean
from client.cli.spelling import GLYPHS, cap, duration, elapsed, moment, money, served_by
from contracts.runs import AttemptRecord, RunCost, RunStatus, StepResult, StepStatus, step_of
from contracts.teams import AgentStatus
from rules import step_notes
from rules.ledger import last_mark

WRAPPED = ("then", "needs")
"""Columns whose texts may take several lines."""

BAD = (AgentStatus.FAILED, AgentStatus.BUDGET_EXCEEDED, AgentStatus.RATE_LIMITED)


def new_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """Return an empty table; columns named in `right` are numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        if column in right:
            table.add_column(column, justify="right", no_wrap=True)
        else:
            table.add_column(column, overflow="ellipsis", no_wrap=column not in WRAPPED)
    return table


def state(value: str, failed_items: int = 0) -> Text:
    """Return a state with its mark and colour; a completed list tells how many items failed."""
    glyph, style = GLYPHS[value]
    if failed_items and value == AgentStatus.COMPLETED:
        return Text(f"{glyph} completed, {failed_items:,} failed", style="yellow")
    return Text(f"{glyph} {value.replace('_', ' ')}", style=style)


def plain(text: str | None) -> Text:
    """Return a text as one line, whatever it holds."""
    return Text(clean(" ".join((text or "").split())))


def results_table(results: Iterable[StepResult], attempts: Iterable[AttemptRecord]) -> Table:
    """Return what each agent did and cost; each attempt but the last has a line of its own.

    Of an agent that ran for each item of a list all have one: its own line is the sum of its items.
    """
    table = new_table("agent", "state", "by", "tokens", "cost", "time", right=_NUMBERS)
    by_step: dict[str, list[AttemptRecord]] = {}
    for attempt in attempts:
        by_step.setdefault(step_of(attempt.step), []).append(attempt)
    for result in results:
        tried = by_step.get(result.agent_id, [])
        last = tried[-1] if tried else None
        table.add_row(
            Text(result.agent_id),
            state(result.status.value, step_notes.failed_items(result)),
            plain(f"{last.provider} {last.model}" if last else ""),
            f"{result.tokens_used:,}" if result.tokens_used else "",
            money(result.cost) if tried else "",
            duration(result.execution_time) if tried else "",
        )
        items = len(tried) > 1 and any("[" in attempt.step for attempt in tried)
        for attempt in tried if items else tried[:-1]:
            table.add_row(*_line(attempt), style="dim")
    return table


_NUMBERS = ("tokens", "cost", "time")


def _line(attempt: AttemptRecord) -> list[Text | str]:
    usage = attempt.usage
    unsure = "≤ " if attempt.state == "uncertain" else ""
    return [
        Text(f"  {attempt.id}"),
        plain(attempt.outcome),
        plain(f"{attempt.provider} {attempt.model}"),
        f"{usage.total_tokens:,}" if usage else "",
        unsure + money(attempt.cost),
        elapsed(attempt.started_at, attempt.ended_at) if attempt.ended_at else "",
    ]


def reasons(results: Iterable[StepResult]) -> list[str]:
    """Return a line for each agent that did not complete: why."""
    lines = []
    for result in results:
        told = why(result)
        if told:
            lines.append(f"{result.agent_id}: {told}")
    return lines


def why(result: StepResult) -> str | None:
    """Return why an agent did not complete, in a line; None for one that did."""
    told = result.error or result.metadata.get("reason")
    if result.status is AgentStatus.COMPLETED or not told:
        return None
    return " ".join(str(told).split())


def left_out(results: Iterable[StepResult]) -> list[str]:
    """Return a line for each agent that completed without all items of its list: how many, why."""
    return [
        f"{result.agent_id}: {told}"
        for result in results
        if (told := step_notes.left_out(result)) is not None
    ]


def notes(steps: Iterable[StepStatus]) -> list[str]:
    """Return a line for each agent that will not complete, or left items out: why."""
    return [
        f"{step.name}: {' '.join(step.note.split())}"
        for step in steps
        if step.note and (step.status in (*BAD, AgentStatus.CANCELLED) or step.failed_items)
    ]


def total(cost: RunCost) -> str:
    """Return what a run cost, against its budget."""
    spent = f"{money(cost.cost)} of {cap(cost.budget)}{share(cost.cost, cost.budget)}"
    if not cost.uncertain:
        return f"total {spent}"
    return f"total at most {spent}: {money(cost.uncertain)} of it is for usage never reported"


def spent(status: RunStatus) -> str:
    """Return what a run has spent so far, against its budget."""
    at_most = "at most " if status.uncertain else ""
    used = share(status.cost, status.budget)
    return f"{at_most}{money(status.cost)} of {cap(status.budget)}{used}"


def share(cost: Decimal, budget: Decimal) -> str:
    """Return how much of a budget is spent, and which mark was crossed: " (83.3 %, 80 % crossed)".

    Rounded down, so that no mark seems to be reached before it is.
    """
    if not budget:
        return ""
    percent = (cost / budget * 100).quantize(Decimal("0.1"), ROUND_DOWN)
    mark = last_mark(cost, budget)
    return f" ({percent} %{f', {mark} % crossed' if mark else ''})"


def status_table(status: RunStatus) -> Table:
    """Return a run's agents as they are now."""
    table = new_table(
        "agent", "state", "by", "attempt", "tokens", "cost", "time", right=(*_NUMBERS, "attempt")
    )
    for step in status.steps:
        table.add_row(
            Text(step.name),
            state(step.status.value, step.failed_items),
            plain(served_by(step)),
            str(step.attempt or ""),
            f"{step.tokens:,}" if step.tokens else "",
            money(step.cost) if step.cost else "",
            elapsed(step.started_at, step.completed_at),
        )
    return table


def runs_table(runs: Iterable[RunStatus]) -> Table:
    """Return runs, a line each."""
    table = new_table("run", "state", "started", "tokens", "cost", "time", right=_NUMBERS)
    for run in runs:
        took = elapsed(run.started_at, run.completed_at)
        started = moment(run.started_at)
        cells = (f"{run.tokens:,}" if run.tokens else "", money(run.cost), took)
        table.add_row(Text(run.run_id), state(run.status.value), started, *cells)
    return table
