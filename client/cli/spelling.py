"""How values are spelled for people: money, times, tokens, models, states."""

from datetime import UTC, datetime
from decimal import ROUND_UP, Decimal

from contracts.runs import StepStatus

GLYPHS = {
    "pending": ("·", "dim"),
    "running": ("▸", "cyan"),
    "completed": ("✓", "green"),
    "partially_completed": ("✓", "yellow"),
    "failed": ("✗", "red"),
    "cancelled": ("–", "dim"),
    "rate_limited": ("✗", "red"),
    "budget_exceeded": ("$", "red"),
}
"""A mark and its style for each state of a step or a run."""


def money(dollars: Decimal) -> str:
    """Return dollars with four digits after the point; what is less than that is not nothing."""
    if 0 < dollars <= Decimal("0.00005"):
        return "<$0.0001"
    return f"${dollars:.4f}"


def about(dollars: Decimal) -> str:
    """Return a guess in dollars: four digits after the point, or the first two that are not 0."""
    if dollars == 0 or dollars >= Decimal("0.001"):
        return money(dollars)
    return f"${round(dollars, 1 - dollars.adjusted()):f}"


def at_most(dollars: Decimal) -> str:
    """Return a bound in dollars: rounded up, so that it stays one."""
    digits = 4 if dollars == 0 or dollars >= Decimal("0.001") else 1 - dollars.adjusted()
    return f"${dollars.quantize(Decimal(1).scaleb(-digits), ROUND_UP):f}"


def cap(dollars: Decimal) -> str:
    """Return a budget: cents, unless it has smaller parts."""
    return f"${dollars:.2f}" if dollars == round(dollars, 2) else exact(dollars)


def exact(dollars: Decimal) -> str:
    """Return dollars with all their digits, four at least."""
    plain = dollars.normalize()
    digits = max(4, -int(plain.as_tuple().exponent))
    return f"${plain:.{digits}f}"


def duration(seconds: float) -> str:
    """Return a time as 7.2 s, 1:23 or 2:03:04."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def elapsed(started: datetime | None, ended: datetime | None = None) -> str:
    """Return how long something took, or takes so far; nothing where it has not begun."""
    if started is None:
        return ""
    until = ended or datetime.now(UTC)
    return duration(max(0.0, (until - started).total_seconds()))


def served_by(step: StepStatus) -> str:
    """Return provider and model of a step's latest attempt; for others what kind they are."""
    if step.kind == "agent" and step.provider:
        return f"agent, {step.provider} {step.model}"
    if step.kind != "model":
        return step.kind
    return f"{step.provider} {step.model}" if step.provider else ""


def moment(when: datetime | None) -> str:
    """Return a time of this place, to the second."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S") if when else ""


def plural(count: int, noun: str) -> str:
    """Return "1 agent" or "3 agents"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """Return bytes as 870 bytes, 1.2 kB, 35.0 MB."""
    if count < 1000:
        return f"{count} bytes"
    value, unit = count / 1000, "kB"
    for unit in ("kB", "MB", "GB", "TB"):
        if value < 999.95 or unit == "TB":
            break
        value /= 1000
    return f"{value:,.1f} {unit}"
