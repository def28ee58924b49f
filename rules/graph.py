"""The graph of steps: what may start now, what can never run any more, how the run ended.

`Frontier` is told what starts and how it ends; each event costs the degree of its step and one
insertion into a sorted list, so a run of a thousand steps spends microseconds here. Every step
ends exactly once: finished, or skipped with a reason that people can read.
"""

from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contracts.base import Frozen
from contracts.teams import AgentStatus, WorkflowStatus
from rules.nearest import suggestion

FAILURES = frozenset({AgentStatus.FAILED, AgentStatus.RATE_LIMITED, AgentStatus.BUDGET_EXCEEDED})
"""Statuses that count as failed. A cancelled step has neither failed nor given anything."""

CRITICAL_PRIORITY = 8
"""A failed step of this priority or more fails the run (D11)."""

_ENDINGS = {
    AgentStatus.FAILED: "failed",
    AgentStatus.RATE_LIMITED: "was rate limited",
    AgentStatus.BUDGET_EXCEEDED: "exceeded its budget",
    AgentStatus.CANCELLED: "was cancelled",
}
_SKIPPED = "was skipped"
_FAILED = frozenset(_ENDINGS[status] for status in FAILURES)


class GraphError(ValueError):
    """Steps that are no graph, or an event that cannot be."""


@dataclass(frozen=True, slots=True)
class Node:
    """A step: what must have completed before it, what must only have ended, and its rank.

    `handler` is the step that deals with its failure, one of those that wait for its end.
    """

    name: str
    dependencies: tuple[str, ...] = ()
    optional_dependencies: tuple[str, ...] = ()
    priority: int = 5
    handler: str | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """A step that will not run, and why: "skipped: clauses failed"."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a step ended: what was wrong, or None, and whose failure a skipped one is due to."""

    wrong: str | None
    cause: str | None = None


def problems(nodes: Sequence[Node]) -> list[str]:
    """Return what is wrong with a graph: names, missing steps, a cycle."""
    names = Counter(node.name for node in nodes)
    found = [f'two steps are named "{name}"' for name, count in names.items() if count > 1]
    for node in nodes:
        for name in _all_dependencies(node):
            if name == node.name:
                found.append(f'"{name}" depends on itself')
            elif name not in names:
                said = f'no step named "{name}".{suggestion(name, names)}'
                found.append(f"{node.name}: {said.removesuffix('.')}")
    cycle = find_cycle(nodes)
    if cycle is not None and len(cycle) > 2:  # a step that depends on itself is told already
        found.append(f"steps wait for each other: {' → '.join(cycle)}")
    return found


def validate(nodes: Sequence[Node]) -> None:
    """Raise GraphError with all problems of a graph."""
    found = problems(nodes)
    if found:
        raise GraphError("; ".join(found))


def find_cycle(nodes: Sequence[Node]) -> list[str] | None:
    """Return a circle of dependencies as a path that ends where it began, or None."""
    edges = {node.name: _all_dependencies(node) for node in nodes}
    finished: set[str] = set()
    for start in edges:
        path: dict[str, int] = {}
        trail = [(start, iter(edges[start]))] if start not in finished else []
        path[start] = 0
        while trail:
            name, rest = trail[-1]
            following = next((n for n in rest if n in edges and n not in finished), None)
            if following is None:
                finished.add(name)
                path.pop(name, None)
                trail.pop()
            elif following in path:
                return [*list(path)[path[following] :], following]
            else:
                path[following] = len(trail)
                trail.append((following, iter(edges[following])))
    return None


def critical_path(nodes: Sequence[Node], weights: Mapping[str, float]) -> list[str]:
    """Return the heaviest chain of dependencies, first step first. Absent weights are 0.

    A run can be no shorter than this chain, however many steps run at once.
    """
    edges = {node.name: _all_dependencies(node) for node in nodes}
    best: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for name in _in_order(edges):
        known = [n for n in edges[name] if n in edges]
        heaviest = max(known, key=best.__getitem__, default=None)
        before[name] = heaviest
        best[name] = weights.get(name, 0.0) + (best[heaviest] if heaviest is not None else 0.0)
    path: list[str] = []
    last = max(best, key=best.__getitem__, default=None)
    while last is not None:
        path.append(last)
        last = before[last]
    return path[::-1]


def run_status(
    results: Iterable[tuple[AgentStatus, int, bool]], allow_partial: bool, cancelled: bool
) -> WorkflowStatus:
    """Return how a run ended, from (status, priority, skipped) of each step (D10 to D12).

    Skipped steps count neither as failed nor in the total. The run has failed where a failure is
    critical, partial completion is not allowed, or more than half have failed; a failure, a
    cancelled step or one that never ended leaves it partially completed.
    """
    if cancelled:
        return WorkflowStatus.CANCELLED
    counted = [(status, priority) for status, priority, skipped in results if not skipped]
    failed = [priority for status, priority in counted if status in FAILURES]
    if failed and not allow_partial:
        return WorkflowStatus.FAILED
    if any(priority >= CRITICAL_PRIORITY for priority in failed) or 2 * len(failed) > len(counted):
        return WorkflowStatus.FAILED
    if all(status is AgentStatus.COMPLETED for status, _ in counted):
        return WorkflowStatus.COMPLETED
    return WorkflowStatus.PARTIALLY_COMPLETED


class FrontierState(Frozen):
    """A frontier as data. Ended steps: what was wrong with them, or None, and whose failure."""

    running: tuple[str, ...] = ()
    endings: dict[str, tuple[str | None, str | None]] = {}


class Frontier:
    """A run's graph while it runs. Raises GraphError for a graph or an event that cannot be.

    With `allow_partial` False the first failure skips all that has not started: that of a step
    with a handler only where the handler has not dealt with it.
    """

    def __init__(self, nodes: Sequence[Node], allow_partial: bool = True) -> None:
        validate(nodes)
        self._nodes = {node.name: node for node in nodes}
        self._required = {node.name: frozenset(node.dependencies) for node in nodes}
        self._rank = {node.name: (-node.priority, at) for at, node in enumerate(nodes)}
        self._names = [node.name for node in nodes]
        self._allow_partial = allow_partial
        self._missing = {node.name: len(set(_all_dependencies(node))) for node in nodes}
        self._dependants: dict[str, list[str]] = {name: [] for name in self._nodes}
        for node in nodes:
            for name in dict.fromkeys(_all_dependencies(node)):
                self._dependants[name].append(node.name)
        self._ready = sorted(self._rank[name] for name, count in self._missing.items() if not count)
        self._pending = dict.fromkeys(self._names)
        self._running: dict[str, None] = {}
        self._endings: dict[str, _Ending] = {}
        self._failed: dict[str, None] = {}

    @property
    def done(self) -> bool:
        """Has every step ended?"""
        return not self._pending and not self._running

    @property
    def pending(self) -> tuple[str, ...]:
        """Steps that have neither started nor ended, in file order."""
        return tuple(self._pending)

    @property
    def running(self) -> tuple[str, ...]:
        """Steps that have started and not ended, in the order of their starts."""
        return tuple(self._running)

    def ready(self, limit: int) -> list[str]:
        """Return up to `limit` steps that may start: highest priority first, then file order."""
        return [self._names[at] for _, at in self._ready[: max(0, limit)]]

    def start(self, name: str) -> None:
        """Note that a ready step has started."""
        if name not in self._pending or self._missing[name]:
            raise GraphError(f'"{name}" is not ready to start')
        self._take(name)
        self._running[name] = None

    def finish(self, name: str, status: AgentStatus) -> list[Skip]:
        """Note how a running step ended; return the steps that can never run because of it."""
        if name not in self._running:
            raise GraphError(f'"{name}" is not running')
        if status is not AgentStatus.COMPLETED and status not in _ENDINGS:
            raise GraphError(f'"{name}" cannot end {status.value}')
        del self._running[name]
        return self._after(self._ended(name, _Ending(_ENDINGS.get(status))))

    def skip(self, name: str, reason: str) -> list[Skip]:
        """End a step without a result, started or not; return it and all that needed it."""
        if name in self._running:
            del self._running[name]
        elif name in self._pending:
            self._take(name)
        else:
            raise GraphError(f'"{name}" has ended already')
        return self._after([Skip(name, reason), *self._ended(name, _Ending(_SKIPPED))])

    def _after(self, skips: list[Skip]) -> list[Skip]:
        """Skip the rest as well where a failure, which nothing deals with, ends the run."""
        fatal = None if self._allow_partial else self._unhandled()
        if fatal is None:
            return skips
        why = f"{fatal} {self._endings[fatal].wrong} and allow_partial_completion is false"
        return skips + self.cancel_rest(f"skipped: {why}", fatal)

    def _unhandled(self) -> str | None:
        """Return the first failed step without a handler that is to run, runs or has completed."""
        for name in self._failed:
            handler = self._nodes[name].handler
            handled = self._endings.get(handler) if handler is not None else None
            if handler is None or (handled is not None and handled.wrong is not None):
                return name
        return None

    def cancel_rest(self, reason: str, cause: str | None = None) -> list[Skip]:
        """Skip all steps that have not started. Those in flight are still to be finished.

        `cause` is the failed step that it is due to.
        """
        skips = [Skip(name, reason) for name in self._pending]
        self._endings |= {name: _Ending(_SKIPPED, cause) for name in self._pending}
        self._pending.clear()
        self._ready.clear()
        return skips

    def reopen(self, name: str) -> tuple[list[str], list[Skip]]:
        """Let a failed step run again, and what was skipped because of it.

        Returns the steps that are to run again, in file order, and those of them that another
        failure keeps from it. Steps that went on without the failed one keep what they have.
        """
        ending = self._endings.get(name)
        if ending is None or ending.wrong is None or ending.wrong == _SKIPPED:
            raise GraphError(f'"{name}" has not failed')
        again = {name} | {n for n, e in self._endings.items() if e.cause == name}
        for other in again:
            del self._endings[other]
            self._failed.pop(other, None)
        self._place()
        skips: list[Skip] = []
        for other in self._names:
            if other not in again or other not in self._pending:
                continue
            wrong = [
                (n, self._endings[n]) for n in self._nodes[other].dependencies if n in self._endings
            ]
            for needed, ended in wrong:
                if ended.wrong is not None:
                    cause = ended.cause if ended.wrong == _SKIPPED else needed
                    self._take(other)
                    skips.append(Skip(other, f"skipped: {needed} {ended.wrong}"))
                    skips += self._ended(other, _Ending(_SKIPPED, cause))
                    break
        gone = {skip.name for skip in skips}
        return [n for n in self._names if n in again and n not in gone], skips

    def to_state(self) -> FrontierState:
        """Return all that there is to know."""
        return FrontierState(
            running=tuple(self._running),
            endings={name: (e.wrong, e.cause) for name, e in self._endings.items()},
        )

    def restore(self, state: FrontierState) -> None:
        """Take over what `to_state` described of the same graph."""
        self._running = dict.fromkeys(state.running)
        self._endings = {name: _Ending(*ending) for name, ending in state.endings.items()}
        self._failed = {name: None for name, end in self._endings.items() if end.wrong in _FAILED}
        self._place()

    def _place(self) -> None:
        """Work out from what runs and what has ended who waits, for how many, and who is ready."""
        self._pending = {
            name: None
            for name in self._names
            if name not in self._running and name not in self._endings
        }
        self._missing = {
            name: sum(n not in self._endings for n in set(_all_dependencies(node)))
            for name, node in self._nodes.items()
        }
        self._ready = sorted(self._rank[n] for n in self._pending if not self._missing[n])

    def critical_path(self, weights: Mapping[str, float]) -> list[str]:
        """Return the heaviest chain of the steps that have not ended, first step first."""
        left = [node for name, node in self._nodes.items() if self._is_left(name)]
        return critical_path(left, weights)

    def _is_left(self, name: str) -> bool:
        return name in self._pending or name in self._running

    def _take(self, name: str) -> None:
        """Take a step out of those that wait, and out of those that are ready."""
        del self._pending[name]
        if not self._missing[name]:
            del self._ready[bisect_left(self._ready, self._rank[name])]

    def _ended(self, name: str, ending: _Ending) -> list[Skip]:
        """Free the dependants of a step that ended; skip those that needed what is not there."""
        skips: list[Skip] = []
        queue = deque([(name, ending)])
        while queue:
            name, ending = queue.popleft()
            self._endings[name] = ending
            if ending.wrong in _FAILED:
                self._failed[name] = None
            cause = ending.cause if ending.wrong == _SKIPPED else name
            for dependant in self._dependants[name]:
                if dependant not in self._pending:
                    continue
                if ending.wrong is not None and name in self._required[dependant]:
                    self._take(dependant)
                    skips.append(Skip(dependant, f"skipped: {name} {ending.wrong}"))
                    queue.append((dependant, _Ending(_SKIPPED, cause)))
                    continue
                self._missing[dependant] -= 1
                if not self._missing[dependant]:
                    insort(self._ready, self._rank[dependant])
        return skips


def _all_dependencies(node: Node) -> tuple[str, ...]:
    return node.dependencies + node.optional_dependencies


def _in_order(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names so that each comes after those that it depends on."""
    missing = {name: len({n for n in needed if n in edges}) for name, needed in edges.items()}
    dependants: dict[str, list[str]] = {name: [] for name in edges}
    for name, needed in edges.items():
        for other in dict.fromkeys(n for n in needed if n in edges):
            dependants[other].append(name)
    order = [name for name, count in missing.items() if not count]
    for name in order:  # grows while it is read
        for dependant in dependants[name]:
            missing[dependant] -= 1
            if not missing[dependant]:
                order.append(dependant)
    return order
