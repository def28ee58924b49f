"""Whether a plan can begin at all: what its first steps need at least, and what the caps give.

Only steps that the run is sure to come to are looked at, and only where the bound by bytes is what
a call would be held to: a provider that counts prompts itself may find far fewer tokens.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from contracts.plans import Plan, StepNode
from rules import bounds, prices
from rules.foresight import Foresight, Given


def unaffordable(
    plan: Plan, input_sizes: Mapping[str, int], given: Mapping[str, Given] | None = None
) -> Iterable[str]:
    """Yield a line for each first step whose least worst case the budget cannot pay.

    `input_sizes` are in bytes; `given` are the inputs that are known, by which lists that are
    mapped over are. A budget that may be raised while the run waits for it refuses nothing.
    """
    ahead = Foresight(plan, given or {})
    for number, node in enumerate(ahead.nodes):
        if node.kind != "model" or _counted(plan, node) or not _is_sure(ahead.nodes, number):
            continue
        bound, least = least_worst_case(plan, node, input_sizes)
        for limit, key in _limits(plan, node):
            if least > limit and _has_items(ahead, node):
                yield (
                    f"agent {node.name}: its call may cost ${least:.6f} (at most {bound:,} input "
                    f"tokens), more than {key} {limit}: raise {key}"
                )


def _limits(plan: Plan, node: StepNode) -> Iterator[tuple[Decimal, str]]:
    """Yield what a step's call must be paid from at once, each with its key."""
    if plan.team.on_budget != "pause":
        yield plan.team.cost_budget, "cost_budget"
    yield node.cost_limit, f"agents.{node.name}.cost_limit"


def _is_sure(nodes: Sequence[StepNode], number: int) -> bool:
    """Whether nothing decides about a step but the step itself and those it is repeated with."""
    node = nodes[number]
    if node.dependencies or node.optional_dependencies or node.when is not None:
        return False
    if any(other.handler == number for other in nodes):
        return False
    heads = [at for at, other in enumerate(nodes) if number in other.members]
    return all(_is_sure(nodes, head) for head in heads)


def _has_items(ahead: Foresight, node: StepNode) -> bool:
    """Whether a step is not mapped, or over a list that is known and not empty."""
    return bool(ahead.items(node).sizes)


def _counted(plan: Plan, node: StepNode) -> bool:
    """Whether the provider that is asked first counts a prompt before it is refused."""
    return any(plan.candidates[index].counts_tokens for index in node.candidates[:1])


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
