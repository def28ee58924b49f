"""The tools of bookkeeper.yaml."""


def add_up(first: float, second: float) -> float:
    """Add two amounts up.

    Args:
        first: One amount.
        second: The other.
    """
    return first + second


def book_amount(amount: float, purpose: str) -> str:
    """Write an amount into the books.

    Args:
        amount: How much.
        purpose: What it was for.
    """
    return f"booked {amount:.2f} for {purpose}"
