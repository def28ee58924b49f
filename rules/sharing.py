"""What caching a team's shared context costs and saves, before it has run. Pure.

Each call that uses the shared context pays for all of it. Where the vendor caches a prefix within
the requests that repeat it, the first call pays for writing it and the others for reading it; once
for each form that stands before it (tools, a schema). A cache of a name of its own is written
once, kept for its time, and read by each call. The numbers are likely ones but for `most`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import floor
from typing import Literal

from contracts.files import NAME_BYTES, REPLACED, AttachedFile, is_text
from contracts.messages import Usage
from contracts.plans import Candidate, Plan, StepNode
from contracts.prices import Price
from contracts.teams import SharedContext
from rules import prices

BYTES_PER_TOKEN = 4
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class SharedEstimate:
    """The shared context at one provider and model. Dollars; `tokens` is its likely size.

    `calls` are those that use it, `writes` how often it is written. `uncached` and `cached` are
    what it costs in all of them; `write`, `storage` and `read` one writing, all of its time, one
    reading. `pays_from` is the number of calls from which on caching is cheaper, None for never.
    `most` is what is reserved for a cache beside the calls. `why_not` says why there is none.
    `long`: the prefix lasts an hour from its last use on. `assumed` names what of it is nobody's
    word: "cache_floor", "cache_storage".
    """

    provider: str
    model: str
    caching: Literal["none", "prefix", "named"]
    tokens: int
    calls: Decimal
    writes: int
    uncached: Decimal
    cached: Decimal
    write: Decimal
    storage: Decimal
    read: Decimal
    pays_from: int | None
    most: Decimal
    why_not: str = ""
    long: bool = False
    floor: int = 0
    assumed: tuple[str, ...] = ()

    @property
    def saves(self) -> Decimal:
        """What caching saves; negative where it costs more."""
        return ZERO if self.why_not else self.uncached - self.cached


def likely_tokens(files: Iterable[AttachedFile], most: int) -> int:
    """Return the likely tokens of files that have `most` at most.

    A token is four bytes of a text; of everything else a quarter of its bound.
    """
    text = other = 0
    for file in files:
        most -= NAME_BYTES + (file.size_bytes * REPLACED if is_text(file.mime_type) else 0)
        text += file.size_bytes if is_text(file.mime_type) else 0
        other += not is_text(file.mime_type)
    rest = max(0, most) if other else 0
    return -(-text // BYTES_PER_TOKEN) + -(-rest // BYTES_PER_TOKEN)


def shared_estimates(
    plan: Plan, nodes: Sequence[StepNode], calls: dict[str, Decimal]
) -> tuple[SharedEstimate, ...]:
    """Return the estimates of all candidates of those who use the shared context.

    `calls` are the likely calls by step: those of its first candidate.
    """
    shared = plan.team.shared_context
    if shared is None or not plan.shared_tokens:
        return ()
    users = {node.name: _asked(plan, node) for node in nodes if node.shared}
    found = []
    for index in dict.fromkeys(index for asked in users.values() for index in asked):
        candidate, most = plan.candidates[index], plan.shared_tokens[index]
        mine = [
            node
            for node in nodes
            if users.get(node.name, ())[:1] == (index,)
            and not (candidate.caching == "named" and node.tools)
        ]
        count = sum((calls.get(node.name, ZERO) for node in mine), ZERO)
        writes = len({node.shared for node in mine})
        found.append(_estimate(candidate, shared, most, count, writes))
    return tuple(found)


def _asked(plan: Plan, node: StepNode) -> tuple[int, ...]:
    """Return the candidates of a step; an agent's, without those of its tools."""
    draft = plan.agents.get(node.name)
    if draft is None:
        return node.candidates
    return tuple(plan.candidates.index(one) for one in draft.plan.candidates)


def _estimate(
    candidate: Candidate, shared: SharedContext, most: int, calls: Decimal, writes: int
) -> SharedEstimate:
    tokens, price = likely_tokens(shared.files, most), candidate.price
    named = candidate.caching == "named"
    plain = _tokens_cost(price, Usage(tokens, 0))
    read = _tokens_cost(price, Usage(tokens, 0, cached_tokens=tokens))
    long = candidate.caching == "prefix" and price.cache_write_1h is not None
    lasting = tokens if long else 0
    written = Usage(tokens, 0, cache_write_tokens=tokens, cache_write_1h_tokens=lasting)
    write = _tokens_cost(price, written)
    storage = _storage(price, tokens, shared.ttl) if named else ZERO
    once = write + storage if named else (write - read) * max(1, writes)
    why_not = _why_not(candidate, shared, tokens)
    used = calls > 0 and not why_not
    return SharedEstimate(
        provider=candidate.provider,
        model=candidate.model,
        caching=candidate.caching,
        tokens=tokens,
        calls=calls,
        writes=1 if named else writes,
        uncached=plain * calls,
        cached=once + read * calls if used else plain * calls,
        write=write,
        storage=storage,
        read=read,
        pays_from=_pays_from(plain - read, once) if not why_not else None,
        most=_most(candidate, most, shared.ttl) if named and not why_not else ZERO,
        why_not=why_not,
        long=long,
        floor=candidate.cache_floor,
        assumed=_assumed(candidate),
    )


def _assumed(candidate: Candidate) -> tuple[str, ...]:
    """Return what the estimate rests on that no vendor says of this model."""
    known = [*candidate.assumed]
    if candidate.caching == "named":
        known += candidate.price.assumed
    return tuple(known) if candidate.caching != "none" else ()


def _pays_from(saved_each: Decimal, once: Decimal) -> int | None:
    """Return the first number of calls at which what each saves is more than what is paid once."""
    if saved_each <= 0:
        return None
    return max(1, floor(once / saved_each) + 1)


def _why_not(candidate: Candidate, shared: SharedContext, tokens: int) -> str:
    if not shared.cache:
        return "cache: false"
    if candidate.caching == "none":
        return "the provider makes no caches"
    if tokens < candidate.cache_floor:
        return f"the provider caches from {candidate.cache_floor:,} tokens on"
    return ""


def _most(candidate: Candidate, tokens: int, ttl_s: float) -> Decimal:
    price = candidate.price
    worst = prices.worst_charges(price, tokens + candidate.overhead_tokens, 0)
    return prices.dollars(price, worst) + _storage(price, tokens, ttl_s)


def _tokens_cost(price: Price, usage: Usage) -> Decimal:
    return prices.cost(price, usage) - price.per_request


def _storage(price: Price, tokens: int, ttl_s: float) -> Decimal:
    charged = prices.storage(price, prices.token_hours(tokens, ttl_s))
    return prices.dollars(price, charged) - price.per_request
