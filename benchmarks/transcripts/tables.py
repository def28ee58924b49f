"""What was measured as Markdown: every way's median, and its ratio to the hand-written one.

Ratios are made round by round, as far as a way has rounds: what else the machine did then happened
to all.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence

from benchmarks.transcripts.ways import Sample

OURS, OURS_UNSAFE, REFERENCE = "callboard", "callboard-unsafe", "by-hand"

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
    """Return one line; `most` is the target for both of ours, `times` that for their ratios."""
    values = {name: [value(one) for one in found] for name, found in samples.items()}
    ratios = {name: _ratio(found, values.get(REFERENCE)) for name, found in values.items()}
    cells = []
    for name, found in values.items():
        cell = f"{statistics.median(found):{form}}"
        ratio = ratios[name]
        cells.append(cell if ratio is None else f"{cell} ({ratio:.2f})")
    own = {n: statistics.median(values[n]) for n in (OURS, OURS_UNSAFE) if values.get(n)}
    said = [_judged(each, ratios.get(n), most, times) for n, each in own.items()]
    judged = " / ".join(dict.fromkeys(said)) if said else "–"
    return f"| {what} | {' | '.join(cells)} | {judged} |"


def _ratio(found: Sequence[float], other: Sequence[float] | None) -> float | None:
    if other is None or not all(other):
        return None
    return statistics.median(a / b for a, b in zip(found, other, strict=False))


def _judged(value: float, ratio: float | None, most: float | None, times: float | None) -> str:
    said = []
    if most is not None:
        said.append(f"≤ {most:,.0f}: {'met' if value <= most else 'missed'}")
    if times is not None and ratio is not None:
        said.append(f"≤ {times:.2f} ×: {'met' if ratio <= times else 'missed'}")
    return "; ".join(said) or "–"
