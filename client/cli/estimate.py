"""What a plan can cost before it has run: for each agent a call, and all that it may try.

The sizes of inputs are known, those of what other agents will write are bounded by their
max_tokens. Whatever comes out here, the ledger keeps each agent within its cost_limit and the run
within its cost_budget.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from contracts.plans import Plan, StepNode
from rules import bounds, planning, prices


@dataclass(frozen=True)
class StepEstimate:
    """One agent: its candidates in order, a call to the first, all attempts at their dearest."""

    name: str
    candidates: tuple[str, ...]
    call: Decimal
    most: Decimal


@dataclass(frozen=True)
class Estimate:
    """A whole run. `calls`: each agent asks its first candidate once; `most` is never passed."""

    steps: tuple[StepEstimate, ...]
    calls: Decimal
    most: Decimal


def estimate(plan: Plan, input_sizes: Mapping[str, int]) -> Estimate:
    """Return what a plan can cost, for inputs of these sizes in bytes."""
    nodes = planning.nodes(plan)
    steps = tuple(_step(plan, nodes, node, input_sizes) for node in nodes if node.kind == "model")
    everything = sum((step.most for step in steps), Decimal(0))
    calls = sum((step.call for step in steps), Decimal(0))
    return Estimate(steps, calls, min(everything, plan.team.cost_budget))


def _step(
    plan: Plan, nodes: tuple[StepNode, ...], node: StepNode, input_sizes: Mapping[str, int]
) -> StepEstimate:
    inputs = [input_sizes.get(name, 0) for name in node.uses_inputs]
    others = [bounds.text_bytes(nodes[n].max_tokens) for n in node.uses if nodes[n].kind == "model"]
    bound = bounds.input_bound(node.prompt_bytes, [*inputs, *others])
    attempts = 1 + min(plan.retry.max_retries, node.max_retries)
    chosen = [plan.candidates[index] for index in node.candidates]
    worst = [prices.worst_case(c.price, bound + c.overhead_tokens, node.max_tokens) for c in chosen]
    return StepEstimate(
        name=node.name,
        candidates=tuple(f"{c.provider} {c.model}" for c in chosen),
        call=min(worst[0], node.cost_limit) if worst else Decimal(0),
        most=min(sum(worst, Decimal(0)) * attempts, node.cost_limit),
    )
