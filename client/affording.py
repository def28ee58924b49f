"""Whether a plan can begin at all: what its first steps need at least, and what the caps give."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from contracts.plans import Plan, StepNode
from rules import bounds, planning, prices


def unaffordable(plan: Plan, input_sizes: Mapping[str, int]) -> Iterable[str]:
    """Yield a line for each first step whose least worst case the budget cannot pay."""
    team = plan.team
    if team.on_budget == "pause":
        return
    for node in planning.nodes(plan):
        if node.kind != "model" or node.dependencies or node.optional_dependencies:
            continue
        bound, least = least_worst_case(plan, node, input_sizes)
        agent = f"agents.{node.name}"
        for limit, key in (
            (team.cost_budget, "cost_budget"),
            (node.cost_limit, f"{agent}.cost_limit"),
        ):
            if least > limit:
                yield (
                    f"agent {node.name}: its call may cost ${least:.6f} (at most {bound:,} input "
                    f"tokens), more than {key} {limit}: raise {key}"
                )


def least_worst_case(
    plan: Plan, node: StepNode, input_sizes: Mapping[str, int]
) -> tuple[int, Decimal]:
    """Return a step's bound of input tokens, and the dollars without which it cannot start."""
    bound = bounds.input_bound(
        node.prompt_bytes, [input_sizes.get(name, 0) for name in node.uses_inputs]
    )
    tokens = min(node.min_output_tokens, node.max_tokens)
    worst = [
        prices.worst_case(candidate.price, bound + candidate.overhead_tokens, tokens)
        for candidate in (plan.candidates[index] for index in node.candidates)
    ]
    return bound, worst[0] if worst else Decimal(0)
