"""Amounts of money that people write."""

from decimal import Decimal

import pytest

from client.cli.console import Refusal
from client.cli.preparing import dollars
from contracts.money import misfit
from rules.ledger import Ledger

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("amount", ["0.000000000000000001", "2.50", "1e12", "1E+3", "2.5000000000"])
def test_what_a_ledger_can_count_is_taken(amount: str) -> None:
    assert misfit(Decimal(amount)) is None
    ledger = Ledger(Decimal(amount))
    ledger.ask("a", "a", Decimal("0.0000000000000000007"))
    assert ledger.counted == 0


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0", "above 0"),
        ("-1", "above 0"),
        ("NaN", "above 0"),
        ("Infinity", "above 0"),
        ("1000000000000.01", "1,000,000,000,000 dollars at most"),
        ("1e400", "1,000,000,000,000 dollars at most"),
        ("1e-300", "18 decimals at most"),
        ("0.0000000000000000001", "18 decimals at most"),
    ],
)
def test_what_no_ledger_can_count_is_named(amount: str, said: str) -> None:
    assert said in str(misfit(Decimal(amount)))
    with pytest.raises(Refusal, match=said):
        dollars(amount, "--budget")
