"""Which steps come before which: cycles, and what is certain or possible when a step starts.

Steps are indexes; sets of steps are integers used as bit sets, so that the closure of a graph
of a thousand steps takes milliseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edges:
    """A step's predecessors: `required` have completed when it starts, `optional` have ended."""

    required: tuple[int, ...] = ()
    optional: tuple[int, ...] = ()

    @property
    def all(self) -> tuple[int, ...]:
        """Both kinds."""
        return self.required + self.optional


@dataclass(frozen=True, slots=True)
class Reach:
    """Bit sets by step: what has surely completed, and what has ended one way or another."""

    certain: tuple[int, ...]
    possible: tuple[int, ...]

    def is_certain(self, step: int, of: int) -> bool:
        """Has `of` completed whenever `step` starts?"""
        return bool(self.certain[step] >> of & 1)

    def is_possible(self, step: int, of: int) -> bool:
        """Has `of` ended whenever `step` starts?"""
        return bool(self.possible[step] >> of & 1)


def find_cycles(graph: Sequence[Edges]) -> list[list[int]]:
    """Return cycles, each as [a, b, a]: a step waits for the one after it. No step is in two."""
    left = _in_cycles(graph)
    cycles: list[list[int]] = []
    while left:
        path = [min(left)]
        places = {path[0]: 0}
        while True:
            following = next(step for step in graph[path[-1]].all if step in left)
            if following in places:
                cycle = path[places[following] :]
                break
            places[following] = len(path)
            path.append(following)
        start = cycle.index(min(cycle))
        cycle = cycle[start:] + cycle[:start]
        cycles.append([*cycle, cycle[0]])
        left = _in_cycles(graph, left - set(cycle))
    return cycles


def reach(graph: Sequence[Edges]) -> Reach:
    """Return the closures; they are empty for steps on or behind a cycle."""
    certain, possible = [0] * len(graph), [0] * len(graph)
    for step in _ordered(graph):
        for other in graph[step].required:
            certain[step] |= certain[other] | 1 << other
            possible[step] |= possible[other] | 1 << other
        for other in graph[step].optional:
            possible[step] |= possible[other] | 1 << other
    return Reach(tuple(certain), tuple(possible))


def _ordered(graph: Sequence[Edges], within: set[int] | None = None) -> list[int]:
    """Return steps so that each comes after those it waits for; cycles are left out."""
    members = set(range(len(graph))) if within is None else within
    waiting = {step: len(set(graph[step].all) & members) for step in members}
    followers: dict[int, list[int]] = {step: [] for step in members}
    for step in members:
        for other in set(graph[step].all) & members:
            followers[other].append(step)
    order = sorted(step for step in members if not waiting[step])
    for step in order:
        for follower in followers[step]:
            waiting[follower] -= 1
            if not waiting[follower]:
                order.append(follower)
    return order


def _in_cycles(graph: Sequence[Edges], within: set[int] | None = None) -> set[int]:
    """Return the steps from which only cycles can be followed: each waits for another of them."""
    members = set(range(len(graph))) if within is None else within
    return members - set(_ordered(graph, members))
