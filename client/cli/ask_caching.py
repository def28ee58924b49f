"""What `ask` says of the cache of its files: how it is kept, for how long, and what that costs."""

from decimal import Decimal

from client.cli.spelling import about, duration
from contracts.execution import CachePlan, ExecutionPlan
from contracts.messages import Usage
from contracts.prices import Price
from providers.capabilities import CachingFacts
from providers.prefixes import SHORT_LIFE_S
from rules import prices


def caching_line(plan: ExecutionPlan, price: Price, facts: CachingFacts) -> str:
    """Return it in a line; "" for what is not cached."""
    cache, size = plan.cache, plan.token_estimate
    if cache is None or size is None or facts.kind == "none":
        return ""
    tokens = size.expected
    if tokens < facts.floor:
        return f"not cached: about {tokens:,} tokens, the provider caches from {facts.floor:,} on"
    if facts.kind == "named":
        hours = prices.token_hours(tokens, cache.ttl_s)
        storage = prices.dollars(_plain(price), prices.storage(price, hours))
        how = f"for {duration(cache.ttl_s)}" + (f", {about(storage)} to keep it" if storage else "")
    else:
        how = _lifetime(cache, price)
    lasting = tokens if _lasts_long(cache, price) else 0
    write = _cost(price, Usage(tokens, cache_write_tokens=tokens, cache_write_1h_tokens=lasting))
    read, plain = _cost(price, Usage(tokens, cached_tokens=tokens)), _cost(price, Usage(tokens))
    return (
        f"cached {how}: about {tokens:,} tokens, {about(write)} to write, {about(read)} a question "
        f"to read ({about(plain)} uncached)"
    )


def _lifetime(cache: CachePlan, price: Price) -> str:
    """Say how long a prefix is there that goes along with each request."""
    if _lasts_long(cache, price):
        return "for an hour from its last use on"
    if price.cache_write is not None:
        return "for five minutes from its last use on"
    return "for as long as the vendor likes"


def _lasts_long(cache: CachePlan, price: Price) -> bool:
    return (cache.lasts_s or 0) > SHORT_LIFE_S and price.cache_write_1h is not None


def _cost(price: Price, usage: Usage) -> Decimal:
    return prices.cost(_plain(price), usage)


def _plain(price: Price) -> Price:
    """Return a price without what each request costs: that is paid either way."""
    return price.model_copy(update={"per_request": Decimal(0)})
