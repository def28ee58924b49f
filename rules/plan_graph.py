"""A plan's steps as nodes of the graph: for the run, and for the estimate of its longest chain."""

from collections.abc import Sequence

from contracts.plans import StepNode
from rules.graph import Node


def graph_nodes(steps: Sequence[StepNode]) -> list[Node]:
    """Return the steps as the graph sees them.

    What is repeated with a step is run by it, so the step waits for what its members need; a
    handler waits for the steps that it may have to catch.
    """
    guarded: dict[int, list[int]] = {}
    for number, step in enumerate(steps):
        if step.handler is not None:
            guarded.setdefault(step.handler, []).append(number)
    found = []
    for number, step in enumerate(steps):
        group = {number, *step.members}
        members = [steps[member] for member in step.members]
        needs = [n for one in (step, *members) for n in one.dependencies if n not in group]
        after = [n for one in (step, *members) for n in one.optional_dependencies]
        after = [n for n in (*after, *guarded.get(number, ())) if n not in group | set(needs)]
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
