"""Long lists in slices: where they are cut, how many go at once, what each may spend and lose.

Pure arithmetic. Slices are as equal as they can be, so that no child run is left with a long tail;
money is handed out in shares that leave as much behind as they take, so that neither the other
slices nor the run's other steps ever wait for a grant that nobody needs yet.
"""

from collections.abc import Iterable, Mapping
from decimal import ROUND_DOWN, Decimal
from itertools import pairwise
from math import ceil

from rules.prices import EXACT

CALLS_PER_CHILD = 25
"""Calls in flight for which one child run is enough."""

MOST_CHILDREN = 8

REPORTS = 64
"""So many reports of failures, at most, until a list can no longer succeed."""

_NANO = Decimal("1e-9")


def cut(count: int, most: int) -> list[range]:
    """Return the places of a list in as few runs of at most `most` as there can be.

    In order, none empty, their lengths no more than 1 apart.
    """
    if count <= 0:
        return []
    parts = ceil(count / most)
    edges = [count * number // parts for number in range(parts + 1)]
    return [range(start, end) for start, end in pairwise(edges)]


def children(slices: int, width: int) -> int:
    """Return how many child runs share `width` calls in flight.

    Two where there is more than one slice, so that work goes on while one begins or ends; more
    where one workflow would be too slow. Never more than calls.
    """
    wanted = max(2, ceil(width / CALLS_PER_CHILD))
    return max(1, min(slices, width, wanted, MOST_CHILDREN))


def share(width: int, among: int, number: int) -> int:
    """Return how much of `width` the `number`th of some children gets: they add up to it."""
    return width // among + (number < width % among)


def grant(free: Decimal, need: Decimal, want: Decimal, idle: int) -> Decimal:
    """Return how many dollars to hand out of `free`, between `need` and `want`.

    An equal share, as if one more than those `idle` were to come: somebody may.
    """
    if free <= 0:
        return need
    part = (free / (idle + 1)).quantize(_NANO, ROUND_DOWN)
    return min(max(part, need), max(want, need))


def total(amount: Decimal, count: int) -> Decimal:
    """Return so many times an amount, exactly."""
    return EXACT.multiply(amount, Decimal(count))


def can_succeed(count: int, failed: int, min_success: float) -> bool:
    """Whether enough of a list's items can still succeed."""
    return count - failed >= min_success * count


def may_fail(count: int, min_success: float) -> int:
    """Return how many items of a list may fail: with one more `can_succeed` is false."""
    allowed = min(count, max(0, int(count - min_success * count)))
    while allowed < count and can_succeed(count, allowed + 1, min_success):
        allowed += 1
    while allowed > 0 and not can_succeed(count, allowed, min_success):
        allowed -= 1
    return allowed


def report_every(allowed: int) -> int:
    """Return after how many failures a child run tells of them."""
    return max(1, allowed // REPORTS)


def after(name: str, needs: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the steps that wait for a step, directly or not, from what each one waits for."""
    found = {name}
    while True:
        more = {other for other, before in needs.items() if not found.isdisjoint(before)} - found
        if not more:
            return found - {name}
        found |= more
