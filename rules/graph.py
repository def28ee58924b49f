"""The graph of steps, walked as the run goes on.

`Frontier` hands out what is ready, highest priority first, then in the file's order, and is told
how each step ended; it answers which steps can never run because of that, with the reason. Each
event costs no more than the step's own dependants: a run of thousands of steps stays linear.
"""

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from contracts.teams import AgentStatus, WorkflowStatus

FATAL_PRIORITY = 8
"""A failed step of this priority or more fails the run (SEMANTICS D11)."""

FAILURES = frozenset({AgentStatus.FAILED, AgentStatus.RATE_LIMITED, AgentStatus.BUDGET_EXCEEDED})


@dataclass(frozen=True)
class Node:
    """A step as the graph sees it."""

    name: str
    dependencies: tuple[str, ...] = ()
    optional_dependencies: tuple[str, ...] = ()
    priority: int = 5

    @property
    def waits_for(self) -> tuple[str, ...]:
        """All that must have ended before the step starts."""
        return (*self.dependencies, *self.optional_dependencies)


@dataclass(frozen=True)
class Skip:
    """A step that will not run, and why."""

    name: str
    reason: str


class GraphError(ValueError):
    """The steps are no graph that can be run: the text says which, and how to mend it."""


def validate(nodes: Sequence[Node]) -> None:
    """Raise GraphError for duplicate names, unknown dependencies and cycles."""
    names = [node.name for node in nodes]
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise GraphError(f'two steps are named "{double}"')
    for node in nodes:
        unknown = [name for name in node.waits_for if name not in set(names)]
        if unknown:
            raise GraphError(f'{node.name} depends on "{unknown[0]}", which is no step')
    cycle = find_cycle(nodes)
    if cycle:
        raise GraphError(f"the dependencies form a cycle: {' -> '.join(cycle)}")


def find_cycle(nodes: Sequence[Node]) -> list[str] | None:
    """Return a cycle as the path a, b, …, a, or None. Unknown names are passed over."""
    waits = {node.name: node.waits_for for node in nodes}
    done: set[str] = set()
    for start in waits:
        cycle = _cycle_from(start, waits, done)
        if cycle:
            return cycle
    return None


def _cycle_from(start: str, waits: Mapping[str, Sequence[str]], done: set[str]) -> list[str] | None:
    """Walk depth first from a step, without recursion: teams may be thousands deep."""
    if start in done:
        return None
    path, on_path = [start], {start}
    branches = [iter(waits[start])]
    while branches:
        step = next(branches[-1], None)
        if step is None:
            branches.pop()
            left = path.pop()
            on_path.discard(left)
            done.add(left)
        elif step in on_path:
            return [*path[path.index(step) :], step]
        elif step in waits and step not in done:
            path.append(step)
            on_path.add(step)
            branches.append(iter(waits[step]))
    return None


class Frontier:
    """What may start, what is running, what is left. Raises GraphError for a bad graph."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        validate(nodes)
        self._nodes = {node.name: node for node in nodes}
        self._order = {node.name: number for number, node in enumerate(nodes)}
        self._dependants: dict[str, list[str]] = {node.name: [] for node in nodes}
        self._missing: dict[str, int] = {}
        self._ready: list[tuple[int, int, str]] = []
        self._running: set[str] = set()
        self._ended: set[str] = set()
        self._closed = False
        for node in nodes:
            waits = set(node.waits_for)
            self._missing[node.name] = len(waits)
            # Sorted, so that the order of dependants never depends on a set's.
            for name in sorted(waits):
                self._dependants[name].append(node.name)
            if not waits:
                self._push(node.name)

    def _push(self, name: str) -> None:
        heapq.heappush(self._ready, (-self._nodes[name].priority, self._order[name], name))

    @property
    def running(self) -> Collection[str]:
        """Steps that were started and have not ended."""
        return frozenset(self._running)

    @property
    def pending(self) -> list[str]:
        """Steps that have neither started nor ended, in the file's order."""
        return [n for n in self._nodes if n not in self._running and n not in self._ended]

    @property
    def done(self) -> bool:
        """Whether every step has ended."""
        return len(self._ended) == len(self._nodes)

    def close(self) -> None:
        """Hand out nothing any more."""
        self._closed = True

    def ready(self, limit: int | None = None) -> list[str]:
        """Return up to `limit` steps that may start, in the order in which they should."""
        if self._closed:
            return []
        found: list[tuple[int, int, str]] = []
        while self._ready and (limit is None or len(found) < limit):
            item = heapq.heappop(self._ready)
            if not self._gone(item[2]):
                found.append(item)
        for item in found:
            heapq.heappush(self._ready, item)
        return [name for _, _, name in found]

    def _gone(self, name: str) -> bool:
        return name in self._running or name in self._ended

    def start(self, name: str) -> None:
        """Mark a ready step as running."""
        if self._gone(name) or self._missing[name]:
            raise GraphError(f"{name} is not ready")
        self._running.add(name)

    def finish(self, name: str, status: AgentStatus) -> list[Skip]:
        """Tell how a running step ended; return those that can never run because of it."""
        if name not in self._running:
            raise GraphError(f"{name} is not running")
        if status is AgentStatus.COMPLETED:
            return self._ended_with(name, None)
        return self._ended_with(name, f"{name} {_words(status)}")

    def skip(self, name: str, reason: str) -> list[Skip]:
        """Skip a step that has not ended; return it and those that need it."""
        if name in self._ended:
            raise GraphError(f"{name} has ended")
        return [Skip(name, reason), *self._ended_with(name, f"{name} was skipped")]

    def _ended_with(self, first: str, why: str | None) -> list[Skip]:
        """End a step, and in turn all that required it where `why` says it gave nothing."""
        skips: list[Skip] = []
        ends = deque([(first, why)])
        while ends:
            name, why = ends.popleft()
            self._running.discard(name)
            self._ended.add(name)
            for other in self._dependants[name]:
                self._missing[other] -= 1
                if other in self._ended:
                    continue
                if why is not None and name in self._nodes[other].dependencies:
                    self._ended.add(other)
                    skips.append(Skip(other, f"skipped: {why}"))
                    ends.append((other, f"{other} was skipped"))
                elif not self._missing[other]:
                    self._push(other)
        return skips

    def cancel_rest(self, reason: str) -> list[Skip]:
        """End everything that has not ended yet; return it."""
        rest = [name for name in self._nodes if name not in self._ended]
        self._running.clear()
        self._ended.update(rest)
        return [Skip(name, reason) for name in rest]

    def critical_path(self, weights: Mapping[str, float]) -> tuple[list[str], float]:
        """Return the heaviest chain of steps that wait for each other, and its weight."""
        best: dict[str, tuple[float, str | None]] = {}
        for name in self._topological():
            before = max(
                ((best[other][0], other) for other in self._nodes[name].waits_for),
                default=(0.0, None),
                key=lambda item: item[0],
            )
            best[name] = (before[0] + weights.get(name, 0.0), before[1])
        end: str | None = max(best, key=lambda name: best[name][0])
        total = best[end][0] if end else 0.0
        path: list[str] = []
        while end is not None:
            path.append(end)
            end = best[end][1]
        return path[::-1], total

    def _topological(self) -> list[str]:
        missing = {name: len(set(node.waits_for)) for name, node in self._nodes.items()}
        queue = deque(name for name, count in missing.items() if not count)
        order = []
        while queue:
            name = queue.popleft()
            order.append(name)
            for other in self._dependants[name]:
                missing[other] -= 1
                if not missing[other]:
                    queue.append(other)
        return order


def _words(status: AgentStatus) -> str:
    return {
        AgentStatus.FAILED: "failed",
        AgentStatus.CANCELLED: "was cancelled",
        AgentStatus.RATE_LIMITED: "was rate limited",
        AgentStatus.BUDGET_EXCEEDED: "exceeded its budget",
    }.get(status, status.value)


def run_status(
    results: Iterable[tuple[AgentStatus, int, bool]], allow_partial: bool, cancelled: bool
) -> WorkflowStatus:
    """Return a run's status from (status, priority, was it skipped) of its steps: D10 to D12.

    A skipped step counts neither as failed nor in the total. More than half failed, or one of
    priority 8 and more, fails the run; so does any failure without partial completion.
    """
    if cancelled:
        return WorkflowStatus.CANCELLED
    counted = [(status, priority) for status, priority, skipped in results if not skipped]
    failed = [priority for status, priority in counted if status in FAILURES]
    if not failed:
        stopped = any(status is AgentStatus.CANCELLED for status, _ in counted)
        return WorkflowStatus.PARTIALLY_COMPLETED if stopped else WorkflowStatus.COMPLETED
    if not allow_partial or max(failed) >= FATAL_PRIORITY or len(failed) * 2 > len(counted):
        return WorkflowStatus.FAILED
    return WorkflowStatus.PARTIALLY_COMPLETED
