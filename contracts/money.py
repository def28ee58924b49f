"""What an amount that people write may be: above 0, a trillion dollars at most, 18 decimals.

A ledger adds and subtracts exactly, in 200 digits, and raises where those do not suffice. No
amount within these bounds comes near that; one beyond them is a slip of the keyboard.
"""

from decimal import Decimal

MOST_DOLLARS = Decimal(10) ** 12
MOST_DECIMALS = 18


def misfit(amount: Decimal) -> str | None:
    """Say what is wrong with an amount of dollars, or return None."""
    if not amount.is_finite() or amount <= 0:
        return "must be dollars above 0, such as 2.50"
    if amount > MOST_DOLLARS:
        return f"must be {MOST_DOLLARS:,} dollars at most"
    exponent = amount.normalize().as_tuple().exponent
    if isinstance(exponent, int) and exponent < -MOST_DECIMALS:
        return f"must have {MOST_DECIMALS} decimals at most"
    return None
