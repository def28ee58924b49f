"""Long lists: where they are cut, and what each part may have of slots, money and failures."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import slicing
from rules.ledger import Granted, Ledger, LedgerError

pytestmark = pytest.mark.unit

D = Decimal
amounts = st.decimals(min_value=0, max_value=100, places=9)


@given(st.integers(0, 5000), st.integers(1, 600))
def test_slices_are_a_list_cut_in_as_few_equal_parts_as_there_can_be(count: int, most: int) -> None:
    parts = slicing.cut(count, most)
    assert [place for part in parts for place in part] == list(range(count))
    assert len(parts) == -(-count // most)
    sizes = [len(part) for part in parts]
    assert max(sizes, default=0) <= most
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


@pytest.mark.parametrize(
    ("slices", "width", "count"),
    [(1, 50, 1), (2, 1, 1), (2, 10, 2), (200, 10, 2), (200, 100, 4), (3, 100, 3), (200, 1000, 8)],
)
def test_child_runs_are_few(slices: int, width: int, count: int) -> None:
    assert slicing.children(slices, width) == count


@given(st.integers(1, 300), st.integers(1, 300))
def test_shares_add_up_and_nobody_has_none(slices: int, width: int) -> None:
    among = slicing.children(slices, width)
    shares = [slicing.share(width, among, number) for number in range(among)]
    assert sum(shares) == width
    assert min(shares) >= 1


@given(amounts, amounts, amounts, st.integers(0, 8))
def test_a_grant_is_what_is_needed_or_a_fair_share(
    free: Decimal, need: Decimal, want: Decimal, idle: int
) -> None:
    given_ = slicing.grant(free, need, want, idle)
    assert need <= given_ <= max(need, want)
    assert given_ <= max(need, free)
    if given_ > need:
        assert given_ * (idle + 1) <= free


def test_shares_of_a_budget_leave_room_for_one_more() -> None:
    first = slicing.grant(D(9), D("0.1"), D(100), 2)
    second = slicing.grant(D(9) - first, D("0.1"), D(100), 1)
    assert (first, second) == (D(3), D(3))
    assert slicing.grant(D(9), D("0.1"), D(1), 2) == D(1)


@given(st.integers(1, 3000), st.floats(0, 1))
def test_with_one_more_failure_a_list_cannot_succeed(count: int, min_success: float) -> None:
    allowed = slicing.may_fail(count, min_success)
    assert 0 <= allowed <= count
    assert slicing.can_succeed(count, allowed, min_success)
    assert allowed == count or not slicing.can_succeed(count, allowed + 1, min_success)


@given(st.integers(0, 100_000))
def test_failures_are_told_rarely(allowed: int) -> None:
    every = slicing.report_every(allowed)
    assert every >= 1
    assert allowed // every <= 2 * slicing.REPORTS


def test_who_waits_for_a_step() -> None:
    needs = {"a": [], "b": ["a"], "c": ["b"], "d": [], "e": ["c", "d"]}
    assert slicing.after("a", needs) == {"b", "c", "e"}
    assert slicing.after("d", needs) == {"e"}
    assert slicing.after("e", needs) == set()


def test_a_childs_ledger_is_settled_as_it_is() -> None:
    ledger = Ledger(D(1))
    assert ledger.ask("a[0..9]#1/1", "a", D("0.6")) == Granted()
    ledger.settle_child("a[0..9]#1/1", D("0.5"), D("0.3"))
    assert (ledger.counted, ledger.served, ledger.uncertain) == (D("0.5"), D("0.3"), D("0.2"))
    assert (ledger.reserved, ledger.available) == (D(0), D("0.5"))
    assert ledger.over_bound == ()


def test_a_new_grant_takes_the_place_of_what_was_left() -> None:
    ledger = Ledger(D(0))
    ledger.renew(D(1))
    ledger.ask("x#1", "x", D("0.7"))
    with pytest.raises(LedgerError, match="while money is held"):
        ledger.renew(D(2))
    ledger.settle("x#1", D("0.4"))
    ledger.renew(D("0.1"))
    assert (ledger.counted, ledger.available) == (D("0.4"), D("0.1"))
    ledger.renew(D(0))
    assert ledger.available == 0
