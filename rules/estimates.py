"""What a plan costs before it has run: at most, and likely; how long its longest chain takes.

At most: every attempt that the retry rules allow, on every candidate, in every round, for every
item, each with its whole max_tokens and at the dearest price; and never more than `cost_limit`
for an agent (each item of it) and `cost_budget` for the run, which the ledger keeps whatever
happens. Only those two bounds cover workers that are shut down in mid-answer and agents that a
person runs again: each repeats an attempt. Where a prompt's size or a number of items is not
known before the run, the same two bounds are all that can be said.

Likely: the first candidate answers each call at once. Answers have half of their max_tokens,
loops take half of their rounds, a token is four bytes of prompt, an agent with tools calls its
model three times; conditions hold, nothing fails.
Where earlier runs of the team are known (`rules.usual`), their means take the place of calls,
answers and seconds: those of an item for each item that there is now.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from contracts.messages import Usage
from contracts.plans import Candidate, Plan, StepNode
from rules import bounds, graph, prices
from rules.foresight import LIKELY_BYTES_PER_TOKEN, LIKELY_SHARE, Foresight, Given
from rules.plan_graph import graph_nodes
from rules.sharing import SharedEstimate, shared_estimates
from rules.usual import Usual

TOKENS_PER_S = 60
FIRST_TOKEN_S = 1.0
"""The pace at which a call is taken to answer."""

LIKELY_CALLS = 3
"""Calls of a model in the turn of an agent with tools."""

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of one call: its prompt (at most None: unknown) and its answer."""

    prompt: int
    prompt_most: int | None
    answer: int
    answer_most: int


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """One agent, with or without tools, or a team within the team. Dollars.

    `calls` is the likely number of calls, `rounds`, `items` (None: unknown; 1 without
    `for_each`) and `attempts` (per round and item, over all candidates) are upper bounds.
    `call` is one call to the first candidate at full length, `item_most` what one item can cost
    at most in all its rounds and attempts, `most` the step (None: the number of items is not
    known). `binds` says that cost_limit is what bounds it; `unknown` names what is not known.
    """

    name: str
    kind: Literal["model", "team", "agent"]
    candidates: tuple[Candidate, ...]
    tokens: Tokens
    calls: Decimal
    rounds: int
    items: int | None
    mapped: bool
    attempts: int
    cost_limit: Decimal
    expected: Decimal
    call: Decimal
    item_most: Decimal
    most: Decimal | None
    binds: bool
    unknown: tuple[str, ...]
    seconds: float
    team: "Estimate | None" = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A whole run. `calls`: each agent asks its first candidate once at full length.

    `shared` is what caching the shared context costs and saves: it is in `expected`, and what is
    reserved for caches of a name of their own in `steps_most`.

    `most` is the smaller of the steps' sum (`steps_most`, None: not known) and `cap`. `path` is
    the longest chain of steps in likely seconds; `runs` how many earlier runs were looked at.
    """

    steps: tuple[StepEstimate, ...]
    cap: Decimal
    calls: Decimal
    expected: Decimal
    steps_most: Decimal | None
    most: Decimal
    path: tuple[str, ...]
    path_seconds: float
    runs: int
    shared: tuple[SharedEstimate, ...] = ()


def estimate(plan: Plan, inputs: Mapping[str, Given], usual: Usual | None = None) -> Estimate:
    """Return what a plan costs for these inputs; one that is not given has an unknown size."""
    return _estimate(Foresight(plan, inputs, usual), plan.team.cost_budget)


def _estimate(ahead: Foresight, cap: Decimal) -> Estimate:
    kinds: dict[str, Callable[[Foresight, int, StepNode], StepEstimate]]
    kinds = {"model": _model, "team": _team, "agent": _agent}
    steps = tuple(
        kinds[node.kind](ahead, number, node)
        for number, node in enumerate(ahead.nodes)
        if node.kind in kinds
    )
    shared = shared_estimates(ahead.plan, ahead.nodes, {step.name: step.calls for step in steps})
    steps_most = _sum([*(step.most for step in steps), *(one.most for one in shared)])
    expected = sum((step.expected for step in steps), ZERO) - sum((s.saves for s in shared), ZERO)
    most = cap if steps_most is None else min(steps_most, cap)
    seconds = _seconds(ahead, {step.name: step.seconds for step in steps})
    path = tuple(graph.critical_path(graph_nodes(ahead.nodes), seconds))
    return Estimate(
        steps=steps,
        cap=cap,
        calls=min(sum((step.call for step in steps), ZERO), cap),
        expected=min(max(expected, ZERO), most),
        steps_most=steps_most,
        most=most,
        path=path,
        path_seconds=sum(seconds.get(name, 0.0) for name in path),
        runs=ahead.usual.runs,
        shared=shared,
    )


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    listed = list(amounts)
    known = [amount for amount in listed if amount is not None]
    return sum(known, ZERO) if len(known) == len(listed) else None


def _model(ahead: Foresight, number: int, node: StepNode) -> StepEstimate:
    chosen = tuple(ahead.plan.candidates[index] for index in node.candidates)
    items, rounds = ahead.items(node), ahead.rounds[number]
    fixed, worst = ahead.prompt(node), _Worst(ahead, node, chosen, rounds)
    largest = items.largest.most
    of_item = 0 if not node.item_uses else None if largest is None else largest * node.item_uses
    bound = None if fixed.most is None or of_item is None else fixed.most + of_item
    item_most = worst.unit(bound)
    most = None if items.most is None else item_most * items.most
    if items.sizes is not None and fixed.most is not None:
        most = sum((worst.unit(fixed.most + s * node.item_uses) for s in items.sizes), ZERO)
    likely = fixed.likely + items.largest.likely * node.item_uses
    tokens = Tokens(
        prompt=-(-likely // LIKELY_BYTES_PER_TOKEN) + _overhead(chosen),
        prompt_most=None if bound is None else bounds.input_bound(bound, ()) + _overhead(chosen),
        answer=ahead.answer_tokens(node),
        answer_most=node.max_tokens,
    )
    most_of = _Most(worst.attempts, worst.call(bound), item_most, most, _unknown(ahead, node))
    return _asking(ahead, number, node, chosen, tokens, _calls(ahead, number, node), most_of)


@dataclass(frozen=True, slots=True)
class _Most:
    """What a step that asks a model can come to; the fields are those of StepEstimate."""

    attempts: int
    call: Decimal
    item_most: Decimal
    most: Decimal | None
    unknown: tuple[str, ...]


def _asking(
    ahead: Foresight,
    number: int,
    node: StepNode,
    chosen: tuple[Candidate, ...],
    tokens: Tokens,
    calls: Decimal,
    most: _Most,
) -> StepEstimate:
    """Return the estimate of a step that asks a model, with tools or without."""
    items, rounds = ahead.items(node).most, ahead.rounds[number]
    if items is not None:  # earlier runs may have had more retries, or longer loops
        calls = min(calls, Decimal(most.attempts * rounds * items))
    return StepEstimate(
        name=node.name,
        kind="agent" if node.kind == "agent" else "model",
        candidates=chosen,
        tokens=tokens,
        calls=calls,
        rounds=rounds,
        items=items,
        mapped=node.for_each is not None,
        attempts=most.attempts,
        cost_limit=node.cost_limit,
        expected=_expected(chosen, tokens, calls, most.most),
        call=most.call,
        item_most=most.item_most,
        most=most.most,
        binds=most.item_most == node.cost_limit,
        unknown=most.unknown,
        seconds=_step_seconds(ahead, node, tokens.answer, calls),
    )


def _overhead(chosen: tuple[Candidate, ...]) -> int:
    return chosen[0].overhead_tokens if chosen else 0


def _calls(ahead: Foresight, number: int, node: StepNode) -> Decimal:
    """Return the likely number of calls. What catches failures is not needed."""
    known = ahead.known(node)
    if known is not None:
        return known.calls
    if any(other.handler == number for other in ahead.nodes):
        return ZERO
    return Decimal(ahead.items(node).likely * -(-ahead.rounds[number] // LIKELY_SHARE))


def _expected(
    chosen: tuple[Candidate, ...], tokens: Tokens, calls: Decimal, most: Decimal | None
) -> Decimal:
    if not chosen:
        return ZERO
    likely = prices.cost(chosen[0].price, Usage(tokens.prompt, tokens.answer)) * calls
    return likely if most is None else min(likely, most)


def _unknown(ahead: Foresight, node: StepNode) -> tuple[str, ...]:
    """Return the names of what a step reads and whose size is not known."""
    inputs = [name for name in node.uses_inputs if ahead.given(name).size.most is None]
    uses = [ahead.nodes[n] for n in node.uses]
    steps = [other.name for other in uses if ahead.output(other).size.most is None]
    items = ahead.items(node)
    lacks = items.most is None or (node.item_uses > 0 and items.largest.most is None)
    listed = [f"for_each.in ({node.for_each})"] if lacks else []
    return tuple(dict.fromkeys([*inputs, *steps, *listed]))


class _Worst:
    """The most that one item of a model step can cost, by the size of its prompt."""

    def __init__(
        self, ahead: Foresight, node: StepNode, chosen: tuple[Candidate, ...], rounds: int
    ) -> None:
        self._node, self._chosen, self._rounds = node, chosen, rounds
        self._each = ahead.attempts(node)
        self._repairs = node.repairs if node.structured else 0
        self._known: dict[int, Decimal] = {}
        self.attempts = self._each * len(chosen) + self._repairs

    def call(self, prompt_bytes: int | None) -> Decimal:
        """Return one call to the first candidate; an unknown prompt may cost all of the limit."""
        if not self._chosen:
            return ZERO
        if prompt_bytes is None:
            return self._node.cost_limit
        return min(self._attempt(self._chosen[0], prompt_bytes), self._node.cost_limit)

    def unit(self, prompt_bytes: int | None) -> Decimal:
        """Return one item with all its rounds and attempts."""
        if not self._chosen:
            return ZERO
        if prompt_bytes is None:
            return self._node.cost_limit
        if prompt_bytes not in self._known:
            whole = self._round(prompt_bytes) * self._rounds
            self._known[prompt_bytes] = min(whole, self._node.cost_limit)
        return self._known[prompt_bytes]

    def _round(self, prompt_bytes: int) -> Decimal:
        """Add up a round: all candidates in their order, then the repairs at their dearest."""
        node, cost, made = self._node, ZERO, 0
        going_on = node.on_interrupt == "continue" and not node.structured
        for candidate in self._chosen:
            for _ in range(self._each):
                partial = bounds.text_bytes(node.max_tokens * made) if going_on else 0
                more = partial + bounds.CONTINUE_BYTES if partial else 0
                cost += self._attempt(candidate, prompt_bytes + more)
                made += 1
        repair = bounds.text_bytes(node.max_tokens) + bounds.REPAIR_BYTES + bounds.COMPLAINT_BYTES
        dearest = max(self._attempt(c, prompt_bytes + repair) for c in self._chosen)
        return cost + dearest * self._repairs

    def _attempt(self, candidate: Candidate, prompt_bytes: int) -> Decimal:
        prompt = bounds.input_bound(prompt_bytes, ()) + candidate.overhead_tokens
        tokens = min(self._node.max_tokens, candidate.max_output_tokens or self._node.max_tokens)
        return prices.worst_case(candidate.price, prompt, tokens)


def _agent(ahead: Foresight, number: int, node: StepNode) -> StepEstimate:
    """Estimate an agent with tools: one turn, each of its calls with a whole window of prompt.

    What its tools cost that ask a model themselves is bounded by `cost_limit` alone.
    """
    draft = ahead.plan.agents.get(node.name)
    asked = ahead.asked(node)
    chosen = draft.plan.candidates if draft is not None else ()
    calls_most = draft.plan.agent.execution.max_turns if draft is not None else 1
    items, rounds = ahead.items(node), ahead.rounds[number]
    attempts = calls_most * (ahead.attempts(asked) * max(1, len(chosen)) + asked.repairs)
    one = [_whole_window(candidate, asked) for candidate in chosen]
    known = all(cost is not None for cost in one) and draft is not None and not draft.children
    dearest = max((cost for cost in one if cost is not None), default=ZERO)
    item_most = min(dearest * attempts * rounds, node.cost_limit) if known else node.cost_limit
    tokens = Tokens(
        prompt=-(-ahead.prompt(asked).likely // LIKELY_BYTES_PER_TOKEN) + _overhead(chosen),
        prompt_most=None,
        answer=ahead.answer_tokens(asked),
        answer_most=asked.max_tokens,
    )
    most = _Most(
        attempts=attempts,
        call=node.cost_limit if not one or one[0] is None else min(one[0], node.cost_limit),
        item_most=item_most,
        most=None if items.most is None else item_most * items.most,
        unknown=() if known else ("what its tools give and cost",),
    )
    calls = _agent_calls(ahead, number, node, calls_most)
    return _asking(ahead, number, node, chosen, tokens, calls, most)


def _whole_window(candidate: Candidate, asked: StepNode) -> Decimal | None:
    """Return the most that one call can cost; None where the model's window is not known."""
    if candidate.context_window is None:
        return None
    tokens = min(asked.max_tokens, candidate.max_output_tokens or asked.max_tokens)
    return prices.worst_case(candidate.price, candidate.context_window, tokens)


def _agent_calls(ahead: Foresight, number: int, node: StepNode, most: int) -> Decimal:
    """Return the likely number of an agent's calls: so many for each item and round."""
    known = ahead.known(node)
    if known is not None:
        return known.calls
    return _calls(ahead, number, node) * min(LIKELY_CALLS, most)


def _team(ahead: Foresight, number: int, node: StepNode) -> StepEstimate:
    """Estimate a team within the team: its own budget is what its step grants."""
    child, rounds = ahead.child(node), ahead.rounds[number]
    inner = None
    if child is not None:
        inner = _estimate(child, min(node.cost_limit, child.plan.team.cost_budget))
    known = ahead.known(node)
    likely = known.calls if known else Decimal(-(-rounds // LIKELY_SHARE))
    likely_rounds = min(likely, Decimal(rounds))
    seconds = inner.path_seconds * float(likely_rounds) if inner else 0.0
    most = min(inner.most * rounds, node.cost_limit) if inner else node.cost_limit
    expected = known.cost if known else inner.expected * likely_rounds if inner else ZERO
    return StepEstimate(
        name=node.name,
        kind="team",
        candidates=(),
        tokens=Tokens(0, 0, 0, 0),
        calls=likely_rounds,
        rounds=rounds,
        items=1,
        mapped=False,
        attempts=1,
        cost_limit=node.cost_limit,
        expected=min(expected, most),
        call=min(inner.calls, node.cost_limit) if inner else node.cost_limit,
        item_most=most,
        most=most,
        binds=most == node.cost_limit,
        unknown=() if inner else (f"team {node.name}",),
        seconds=known.seconds if known else seconds,
        team=inner,
    )


def _step_seconds(ahead: Foresight, node: StepNode, answer: int, calls: Decimal) -> float:
    """Return how long a step takes: its calls one after the other, as many at once as may."""
    known = ahead.known(node)
    if known is not None:
        return known.seconds
    at_once = min(node.max_parallel, ahead.plan.team.max_parallel_agents) if node.for_each else 1
    return -(-int(calls) // at_once) * (FIRST_TOKEN_S + answer / TOKENS_PER_S)


def _seconds(ahead: Foresight, calling: dict[str, float]) -> dict[str, float]:
    """Return the likely seconds of each step; what is repeated with another counts there."""
    found = {
        node.name: node.seconds if node.kind == "wait" else calling.get(node.name, 0.0)
        for node in ahead.nodes
    }
    for node in ahead.nodes:
        if node.members and ahead.known(node) is None:
            found[node.name] += sum(found[ahead.nodes[n].name] for n in node.members)
    for node in ahead.nodes:
        found |= {ahead.nodes[n].name: 0.0 for n in node.members}
    return found
