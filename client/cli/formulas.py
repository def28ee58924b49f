"""How a line of a bill came about, in one line: "1,234 prompt × $2.50/M + … = $0.0088"."""

from collections.abc import Iterable
from decimal import Decimal

from client.cli.spelling import exact, plural
from contracts.prices import Price
from rules import billing
from rules.prices import Charge


def formula(line: billing.Line) -> str:
    """Return what a line's cost is made of."""
    attempt = line.attempt
    if attempt.state == "released":
        return "not sent: $0"
    if attempt.reused_from:
        return f"reused from {attempt.reused_from}: $0"
    if line.is_sum:
        return _sum(line)
    if line.candidate is None:
        return "the plan has no price for it"
    price = line.candidate.price
    if attempt.state == "settled":
        if not line.served:
            return "no tokens were billed: $0"
        return f"{_product(price, line.charged)} = {exact(line.served)}"
    held = f"{_product(price, line.held)} = {exact(line.reserved)}"
    if not attempt.input_bound:
        held = f"{exact(attempt.reserved)}"
    if attempt.state == "reserved":
        return f"under way, held: {held}"
    seen = f"; seen: {_product(price, line.charged)} = {exact(line.served)}" if line.served else ""
    return f"at most {held}{seen}"


def _sum(line: billing.Line) -> str:
    """Say what a line that stands for other calls is the sum of."""
    if line.inner is None:
        known = "its calls are not known here"
        return f"its grant: {known}" if line.attempt.state == "uncertain" else known
    inner = line.inner
    count = plural(sum(1 for _ in billing.calls(inner)), "call")
    if line.attempt.state == "uncertain":
        return f"its grant, at most; {exact(inner.cost.cost)} in {count} of {inner.run_id}"
    return f"sum of {count} of {inner.run_id}"


def _product(price: Price, charged: Iterable[Charge]) -> str:
    parts = [f"{c.tokens:,} {c.kind} × {rate(c.rate)}/M" for c in charged]
    if price.per_request:
        parts.append(f"{exact(price.per_request)} a request")
    return " + ".join(parts) or "0"


def rate(dollars: Decimal) -> str:
    """Return dollars per million tokens: "$10", "$2.50", "$0.075"."""
    plain = dollars.normalize()
    digits = -int(plain.as_tuple().exponent)
    return f"${plain:.2f}" if digits == 1 else f"${plain:f}"
