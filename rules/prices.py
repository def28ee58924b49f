"""Exact money: what a call cost, what it can cost at most, what an amount can pay for.

A call's tier is decided by its whole prompt and holds for all of its tokens (contracts.prices).
The worst case is taken over every prompt up to the bound and every split of it into plain,
cached and cache-written tokens, and of the answer into plain and reasoning ones; it is exact, so
that some usage within the bounds really costs that much. No result is ever rounded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from math import ceil, floor

from contracts.messages import Usage
from contracts.prices import Price, Rate

EXACT = Context(prec=200, traps=[Inexact])
"""Arithmetic that raises rather than rounds; no price has as many digits."""

UNLIMITED = 2**31 - 1
"""Tokens that an amount can pay for where output is free."""

_MILLION_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Charge:
    """So many tokens of one kind, at a rate in dollars per million."""

    kind: str
    tokens: int
    rate: Decimal


def charges(price: Price, usage: Usage) -> tuple[Charge, ...]:
    """Return what a call is charged for beside `per_request`, kinds without tokens left out.

    plain prompt x input + cached x cached_input + written x cache_write + plain answer x output
    + reasoning x reasoning, each rate at the tier of the whole prompt; what was written to last
    an hour at its own rate. A kind without a rate of its own is billed as plain input or output.
    Parts that a vendor reports larger than their whole are billed as reported, never as a
    negative rest.
    """
    prompt = usage.prompt_tokens
    written_all = max(usage.cache_write_tokens, usage.cache_write_1h_tokens)
    plain = max(0, prompt - usage.cached_tokens - written_all)
    # Some vendors leave reasoning out of the answer's count, but never out of the total.
    completion = max(usage.completion_tokens, usage.total_tokens - prompt)
    answer = max(0, completion - usage.reasoning_tokens)
    long = usage.cache_write_1h_tokens
    written = price.cache_write or price.input
    lasting = price.cache_write_1h or written
    kinds = (
        Charge("prompt", plain, _at(price.input, prompt)),
        Charge("cached", usage.cached_tokens, _at(price.cached_input or price.input, prompt)),
        Charge("written", max(0, usage.cache_write_tokens - long), _at(written, prompt)),
        Charge("written 1h", long, _at(lasting, prompt)),
        Charge("answer", answer, _at(price.output, prompt)),
        Charge("reasoning", usage.reasoning_tokens, _at(price.reasoning or price.output, prompt)),
    )
    return tuple(charge for charge in kinds if charge.tokens)


def worst_charges(price: Price, input_bound: int, max_tokens: int) -> tuple[Charge, ...]:
    """Return what the dearest call within these bounds is charged for."""
    return max(
        (
            (Charge("prompt", prompt, of_prompt), Charge("answer", max(0, max_tokens), of_answer))
            for prompt, of_prompt, of_answer in _dearest(price, input_bound)
        ),
        key=lambda charged: dollars(price, charged),
    )


def dollars(price: Price, charged: Iterable[Charge]) -> Decimal:
    """Return what a request costs: the sum of its charges / 1,000,000 + per_request."""
    millionths = Decimal(0)
    for charge in charged:
        part = EXACT.multiply(Decimal(charge.tokens), charge.rate)
        millionths = EXACT.add(millionths, part)
    return EXACT.add(EXACT.scaleb(millionths, -_MILLION_DIGITS), price.per_request)


def storage(price: Price, token_hours: int) -> tuple[Charge, ...]:
    """Return what keeping a cache costs: tokens × hours, at the vendor's rate for a million."""
    if not token_hours or price.cache_storage is None:
        return ()
    return (Charge("stored", token_hours, price.cache_storage.base),)


def token_hours(tokens: int, seconds: float) -> int:
    """Return tokens × hours, rounded up: a part of one is paid for as one."""
    return -(-tokens * ceil(seconds) // 3600)


def cost(price: Price, usage: Usage) -> Decimal:
    """Return what a call cost, in dollars: its charges and `per_request`."""
    return dollars(price, charges(price, usage))


def worst_case(price: Price, input_bound: int, max_tokens: int) -> Decimal:
    """Return the most that a call can cost, in dollars.

    Its prompt has at most `input_bound` tokens, its answer, reasoning included, at most
    `max_tokens`.
    """
    return dollars(price, worst_charges(price, input_bound, max_tokens))


def affordable_output(price: Price, input_bound: int, amount: Decimal) -> int:
    """Return the largest max_tokens whose worst case is within `amount`, in dollars.

    Negative where the prompt alone is too dear; UNLIMITED where answers are free.
    """
    tokens = UNLIMITED
    for prompt, of_prompt, of_answer in _dearest(price, input_bound):
        left = EXACT.subtract(amount, dollars(price, (Charge("prompt", prompt, of_prompt),)))
        if of_answer:
            per_token = Fraction(of_answer) / 10**_MILLION_DIGITS
            tokens = min(tokens, floor(Fraction(left) / per_token))
        elif left < 0:
            tokens = min(tokens, -1)
    return tokens


def _at(rate: Rate, prompt: int) -> Decimal:
    """Return the rate of the highest tier that a prompt of so many tokens reaches."""
    reached = [(start, dollars) for start, dollars in rate.tiers if prompt >= start]
    return max(reached, key=lambda tier: tier[0])[1] if reached else rate.base


def _dearest(price: Price, input_bound: int) -> Iterator[tuple[int, Decimal, Decimal]]:
    """Yield, for each tier within the bound: its largest prompt, its dearest input and output.

    Within a tier nothing costs more than its largest prompt.
    """
    of_prompts = (price.input, price.cached_input, price.cache_write, price.cache_write_1h)
    inputs = [rate for rate in of_prompts if rate]
    outputs = [rate for rate in (price.output, price.reasoning) if rate]
    bound = max(0, input_bound)
    starts = {start for rate in inputs + outputs for start, _ in rate.tiers if 0 < start <= bound}
    for prompt in sorted({start - 1 for start in starts} | {bound}):
        yield (
            prompt,
            max(_at(rate, prompt) for rate in inputs),
            max(_at(rate, prompt) for rate in outputs),
        )
