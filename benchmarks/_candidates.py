"""Who is asked in benchmarks of Callboard itself, and at what price: a dollar in, two out."""

from decimal import Decimal
from typing import Any

from contracts.plans import Candidate
from contracts.prices import Price, Rate
from contracts.queues import provider_queue

PRICE = Price(
    model="benchmark",
    input=Rate(base=Decimal(1)),
    output=Rate(base=Decimal(2)),
    source="benchmark",
    version="1",
)


def openai_candidate(model: str) -> Candidate:
    """Return a model that is asked by OpenAI's chat completions, of whatever server that is."""
    return priced("openai", model, options={"api": "chat"})


def priced(provider: str, model: str, **more: Any) -> Candidate:
    """Return a model of a provider on its queue."""
    return Candidate(
        provider=provider, model=model, queue=provider_queue(provider), price=PRICE, **more
    )
