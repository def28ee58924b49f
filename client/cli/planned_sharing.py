"""What `plan` says of a team's shared context: what caching costs, saves, and from when it pays."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from client.cli.spelling import about, at_most, duration
from contracts.plans import Plan
from rules.sharing import SharedEstimate

_HOW = {
    "prefix": "cached with the requests that repeat it",
    "named": "cached under a name of its own",
    "none": "not cached",
}
_LONG = ", for an hour from the last use on"


def shared_lines(plan: Plan, found: tuple[SharedEstimate, ...]) -> Iterator[str]:
    """Say it in a line for each provider and model that is asked first by somebody."""
    shared = plan.team.shared_context
    if shared is None or not found:
        return
    names = ", ".join(file.name for file in shared.files)
    yield f"shared context ({names}), at these prices:"
    for one in (one for one in found if one.calls):
        yield f"  {one.provider} {one.model}: {_spelt(one, shared.ttl)}"


def _spelt(one: SharedEstimate, ttl_s: float) -> str:
    size = f"about {one.tokens:,} tokens"
    if one.why_not:
        told = [f"{size}, not cached: {one.why_not}", *_assumptions(one)]
        return "; ".join(told)
    word = "saves" if one.saves >= 0 else "costs more by"
    told = [
        f"{size}, {_HOW[one.caching]}{_LONG if one.long else ''}",
        f"{_calls(one.calls)} {about(one.uncached)} uncached, {about(one.cached)} cached "
        f"({word} {about(abs(one.saves))})",
    ]
    kept = f", {about(one.storage)} to keep it for {duration(ttl_s)}" if one.storage else ""
    told.append(f"{about(one.write)} to write{kept}, {about(one.read)} a call to read")
    first = None if one.pays_from is None else _calls(Decimal(one.pays_from))
    told.append("never pays" if first is None else f"pays from {first} on")
    if one.most:
        told.append(f"reserves {at_most(one.most)}")
    return "; ".join([*told, *_assumptions(one)])


def _assumptions(one: SharedEstimate) -> Iterator[str]:
    """Say what stands here in place of what the vendor says of the model, which is not known."""
    if "cache_floor" in one.assumed:
        yield f"assumed: it caches from {one.floor:,} tokens on"
    if "cache_storage" in one.assumed:
        yield "assumed: keeping it costs what the vendor's dearest model does"


def _calls(count: Decimal) -> str:
    return "1 call" if count == 1 else f"{count.normalize():f} calls"


def shared_data(found: tuple[SharedEstimate, ...]) -> list[dict[str, Any]]:
    """Return the same as JSON; dollars are exact decimals in strings."""
    return [
        {
            "provider": one.provider,
            "model": one.model,
            "caching": one.caching,
            "tokens": one.tokens,
            "calls": float(one.calls),
            "writes": one.writes,
            "uncached": str(one.uncached),
            "cached": str(one.cached),
            "saves": str(one.saves),
            "write": str(one.write),
            "storage": str(one.storage),
            "read": str(one.read),
            "pays_from": one.pays_from,
            "most": str(one.most),
            "why_not": one.why_not or None,
            "long": one.long,
            "assumed": list(one.assumed),
        }
        for one in found
    ]
