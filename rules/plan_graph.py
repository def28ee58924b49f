"""A plan's steps as nodes of the graph: for the run, and for the estimate of its longest chain."""

from collections.abc import Sequence

from contracts.plans import StepNode
from rules.graph import Node


def graph_nodes(steps: Sequence[StepNode]) -> list[Node]:
    """Return the steps as the graph sees them.

    What is repeated with a step, and with that in turn, is run by it, so the step waits for what
    all of them need; a handler waits for the steps that it may have to catch.
    """
    guarded: dict[int, list[int]] = {}
    for number, step in enumerate(steps):
        if step.handler is not None:
            guarded.setdefault(step.handler, []).append(number)
    found = []
    for number, step in enumerate(steps):
        group = group_of(number, [one.members for one in steps])
        members = [steps[member] for member in group[1:]]
        needs = [n for one in (step, *members) for n in one.dependencies if n not in group]
        after = [n for one in (step, *members) for n in one.optional_dependencies]
        after = [n for n in (*after, *guarded.get(number, ())) if n not in {*group, *needs}]
        found.append(
            Node(
                step.name,
                tuple(steps[n].name for n in dict.fromkeys(needs)),
                tuple(steps[n].name for n in dict.fromkeys(after)),
                step.priority,
                None if step.handler is None else steps[step.handler].name,
            )
        )
    return found


def group_of(number: int, members: Sequence[Sequence[int]]) -> list[int]:
    """Return a step and all that is repeated with it, by `members` of each step: itself first."""
    group = [number]
    for one in group:
        group += [member for member in members[one] if member not in group]
    return group
