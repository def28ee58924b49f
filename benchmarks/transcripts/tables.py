"""What was measured as Markdown: every way's median, and its ratio to the hand-written one.

Ratios are made round by round, as far as a way has rounds: what else the machine did then happened
to all.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence

from benchmarks.transcripts.ways import Sample

OURS, REFERENCE = "callboard", "by-hand"

Samples = Mapping[str, Sequence[Sample]]


def heading(what: str, ways: Sequence[str]) -> str:
    """Return the first two lines of a table."""
    names = " | ".join(ways)
    rule = " | ".join("---:" for _ in ways)
    return f"\n| {what} | {names} | target |\n| --- | {rule} | --- |"


def row(
    what: str,
    samples: Samples,
    value: Callable[[Sample], float],
    form: str,
    *,
    most: float | None = None,
    times: float | None = None,
) -> str:
    """Return one line; `most` is the target for ours, `times` that for its ratio."""
    values = {name: [value(one) for one in found] for name, found in samples.items()}
    ratios = {name: _ratio(found, values.get(REFERENCE)) for name, found in values.items()}
    cells = []
    for name, found in values.items():
        cell = f"{statistics.median(found):{form}}"
        ratio = ratios[name]
        cells.append(cell if ratio is None else f"{cell} ({ratio:.2f})")
    own = statistics.median(values[OURS]) if OURS in values else None
    return f"| {what} | {' | '.join(cells)} | {_judged(own, ratios.get(OURS), most, times)} |"


def _ratio(found: Sequence[float], other: Sequence[float] | None) -> float | None:
    if other is None or not all(other):
        return None
    return statistics.median(a / b for a, b in zip(found, other, strict=False))


def _judged(
    value: float | None, ratio: float | None, most: float | None, times: float | None
) -> str:
    said = []
    if most is not None and value is not None:
        said.append(f"≤ {most:,.0f}: {'met' if value <= most else 'missed'}")
    if times is not None and ratio is not None:
        said.append(f"≤ {times:.2f} ×: {'met' if ratio <= times else 'missed'}")
    return "; ".join(said) or "–"
