"""The cost of a call by rates per thousand tokens."""

from decimal import Decimal

import pytest

from contracts.messages import Usage
from providers.costs import cost_usd

pytestmark = pytest.mark.unit


def test_A34_a_thousand_in_and_a_thousand_out() -> None:
    assert cost_usd(Usage(1000, 1000), 0.003, 0.015) == 0.018


@pytest.mark.parametrize(
    ("usage", "rates", "cost"),
    [
        (Usage(), (0.003, 0.015), 0.0),
        (Usage(1, 0), (0.003, 0.015), 0.000003),
        (Usage(1, 1), (0.0001, 0.0001), 0.0),  # two ten-millionths
        (Usage(123_456, 789), (0.01, 0.03), 1.25823),
        (Usage(1, 0), (Decimal("0.0015"), 0), 0.000002),
    ],
)
def test_A34_rounded_to_six_decimals(usage: Usage, rates: tuple[float, float], cost: float) -> None:
    assert cost_usd(usage, *rates) == cost


@pytest.mark.parametrize("rate", [-0.1, float("nan"), float("inf")])
def test_a_rate_that_is_no_price_is_named(rate: float) -> None:
    with pytest.raises(ValueError, match="output_per_1k"):
        cost_usd(Usage(1, 1), 0.003, rate)
