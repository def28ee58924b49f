"""Tables of a bill: its lines, the prices that they were made with, one line in detail."""

from collections.abc import Iterable, Iterator

from rich.table import Table
from rich.text import Text

from client.cli.formulas import formula, rate
from client.cli.spelling import elapsed, exact, moment
from client.cli.tables import new_table, plain
from contracts.messages import Usage
from contracts.prices import Price, Rate
from contracts.runs import AttemptRecord
from rules.billing import Bill, Line, all_lines

COUNTS = {
    "prompt": "prompt_tokens",
    "cached": "cached_tokens",
    "written": "cache_write_tokens",
    "written 1h": "cache_write_1h_tokens",
    "answer": "completion_tokens",
    "reasoning": "reasoning_tokens",
}
"""Columns of usage as it was reported, and the fields that they show."""

ALWAYS = ("prompt", "answer")


def bill_table(bill: Bill) -> Table:
    """Return every line with its usage as reported and what it cost.

    What a line is the sum of stands below it. Kinds of tokens that no line has are left out.
    """
    lines = list(all_lines(bill))
    own = set(map(id, bill.lines))
    shown = [kind for kind in COUNTS if kind in ALWAYS or any(_count(one, kind) for one in lines)]
    table = new_table(
        *("attempt", "by", "outcome", *shown, "cost", "state"), right=(*shown, "cost")
    )
    for line in lines:
        style = None if id(line) in own else "dim"
        table.add_row(*_cells(line, shown), style=style)
    return table


def _count(line: Line, kind: str) -> int:
    usage = line.attempt.usage
    return getattr(usage, COUNTS[kind]) if usage is not None else 0


def _cells(line: Line, shown: Iterable[str]) -> Iterator[Text | str]:
    attempt = line.attempt
    yield plain(line.name)
    yield plain("its own bill:" if line.inner else f"{attempt.provider} {attempt.model}")
    yield "reused" if attempt.reused_from else plain(attempt.outcome)
    yield from (f"{count:,}" if (count := _count(line, kind)) else "" for kind in shown)
    yield most(line) + exact(attempt.cost)
    yield attempt.state + (", over bound" if attempt.over_bound else "")


def outcome(attempt: AttemptRecord) -> str:
    """Return how an attempt ended; of an answer that was not paid again, whose it is."""
    return f"reused from {attempt.reused_from}" if attempt.reused_from else attempt.outcome


def reused(bill: Bill) -> list[str]:
    """Return a text for each answer that was not paid again: whose it is."""
    return [
        f"{line.name}: {outcome(line.attempt)}, at no cost"
        for line in all_lines(bill)
        if line.attempt.reused_from
    ]


def most(line: Line) -> str:
    """Return the mark of an amount that may be less: its usage was not reported in full."""
    attempt = line.attempt
    unsure = attempt.state == "uncertain" or (line.is_sum and attempt.served < attempt.cost)
    return "≤ " if unsure else ""


def prices_table(prices: dict[str, Price]) -> Table:
    """Return the prices that a bill was made with, in dollars per million tokens.

    A "+" marks a rate that is another one for long prompts.
    """
    kinds = [kind for kind in _RATES if any(getattr(p, _RATES[kind]) for p in prices.values())]
    table = new_table("model", *kinds, "source", "version", right=kinds)
    for model, price in prices.items():
        rates = [_rate(getattr(price, _RATES[kind])) for kind in kinds]
        table.add_row(plain(model), *rates, price.source, price.version)
    return table


_RATES = {
    "input": "input",
    "cached": "cached_input",
    "written": "cache_write",
    "written 1h": "cache_write_1h",
    "answer": "output",
    "reasoning": "reasoning",
}


def _rate(found: Rate | None) -> str:
    if found is None:
        return ""
    return rate(found.base) + ("+" if found.tiers else "")


def used_prices(bill: Bill) -> dict[str, Price]:
    """Return the price of each provider and model that was asked."""
    return {
        f"{line.candidate.provider} {line.candidate.model}": line.candidate.price
        for line in all_lines(bill)
        if line.candidate is not None
    }


def details(line: Line) -> list[str]:
    """Return all that is known of one line, a text each."""
    attempt, price = line.attempt, line.candidate.price if line.candidate else None
    found = [
        f"{line.name}  {attempt.provider} {attempt.model}  {outcome(attempt)}, {attempt.state}"
        f"{', over bound' if attempt.over_bound else ''}",
        f"  cost      {most(line)}{exact(attempt.cost)}",
        f"  formula   {formula(line)}",
    ]
    if attempt.usage is not None and not line.is_sum:
        found.append(f"  usage     {_usage(attempt.usage)}")
    if price is not None:
        default = ", a default: the model is not in the table" if price.is_default else ""
        found.append(f"  price     {price.model}: {price.source} {price.version}{default}")
        found.append(
            f"  held      {exact(attempt.reserved)} for at most {attempt.input_bound:,} tokens of "
            f"prompt and {attempt.max_tokens:,} of answer"
        )
    when = [f"queued {moment(attempt.queued_at)}"] if attempt.queued_at else []
    if attempt.first_token_at:
        when.append(f"first token after {elapsed(attempt.started_at, attempt.first_token_at)}")
    if attempt.ended_at and attempt.started_at:
        when.append(f"ended after {elapsed(attempt.started_at, attempt.ended_at)}")
    found += [f"  time      {', '.join(when)}"] if when else []
    found += [f"  error     {attempt.error}"] if attempt.error else []
    found += [f"  then      {attempt.decision}"] if attempt.decision else []
    return found + ([f"  response  {attempt.response_id}"] if attempt.response_id else [])


def _usage(usage: Usage) -> str:
    """Spell usage as it was reported; the vendor's own object where it was kept."""
    counts = {kind: getattr(usage, field) for kind, field in COUNTS.items()}
    told = ", ".join(f"{kind} {count:,}" for kind, count in counts.items() if count)
    sure = " (estimated: the vendor did not report it)" if usage.estimated else ""
    return (told or "none") + sure + (f"; as sent: {usage.raw}" if usage.raw else "")
