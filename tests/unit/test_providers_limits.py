"""An account's limits in one process: windows, pace, order, corrections, open requests."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.accounts import InProcessLimits, open_limits, queue_rates
from providers.exceptions import RouterError
from providers.limits import GRACE_MS, Limiter, NeverAdmitted
from providers.policy import Limits, Policy
from tests.support.cases import cases
from tests.support.windows import Made, broken, most_in_a_window

pytestmark = pytest.mark.unit


@dataclass
class Clock:
    """Stands still until it is told to go on."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Vendor:
    """Makes calls as a limiter lets it, each when its wait is over and `late` seconds later."""

    limits: Limits
    clock: Clock = field(default_factory=Clock)
    made: list[Made] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limiter = Limiter(self.limits, self.clock)

    def make(self, arrivals: list[tuple[float, int, float]]) -> None:
        """Make calls: seconds since the one before, tokens, seconds later than told."""
        asking: list[tuple[float, int, int, float]] = []
        at = 0.0
        for number, (gap, tokens, late) in enumerate(arrivals):
            at += gap
            asking.append((at, number, tokens, late))
        self.asked = [0] * len(arrivals)
        while asking:
            asking.sort()
            at, number, tokens, late = asking.pop(0)
            self.clock.now = max(self.clock.now, at)
            wait = self.limiter.admit(number, tokens)
            self.asked[number] += 1
            if wait > 0:
                asking.append((self.clock.now + wait + late, number, tokens, late))
            else:
                self.made.append(Made(self.clock.now, tokens))


limited = st.builds(
    Limits,
    requests_per_minute=st.none() | st.integers(1, 30),
    requests_per_hour=st.none() | st.integers(1, 60),
    requests_per_day=st.none() | st.integers(1, 60),
    tokens_per_minute=st.none() | st.integers(40, 200),
    burst=st.sampled_from([0.05, 0.25, 1.0]),
)
gaps = st.sampled_from([0.0, 0.0, 0.1, 1.0, 30.0, 61.0, 4000.0])


@cases(300)
@given(limited, st.lists(st.tuples(gaps, st.integers(1, 40), st.just(0.0)), max_size=70))
def test_no_sliding_window_ever_sees_a_limit_passed(
    limits: Limits, arrivals: list[tuple[float, int, float]]
) -> None:
    """Every call asks once, waits as told, and is let in by its second question."""
    vendor = Vendor(limits)
    vendor.make(arrivals)
    assert len(vendor.made) == len(arrivals)
    assert broken(vendor.made, limits) == []
    assert all(times <= 2 for times in vendor.asked)


@cases(200)
@given(
    limited,
    st.lists(
        st.tuples(gaps, st.integers(1, 40), st.sampled_from([0.0, 0.9, 1.9, 5.0, 20.0])),
        max_size=50,
    ),
)
def test_those_who_come_late_pass_no_limit_either(
    limits: Limits, arrivals: list[tuple[float, int, float]]
) -> None:
    vendor = Vendor(limits)
    vendor.make(arrivals)
    assert len(vendor.made) == len(arrivals)
    assert broken(vendor.made, limits) == []


def test_a_small_call_does_not_overtake_a_large_one_that_waits() -> None:
    limiter = Limiter(Limits(tokens_per_minute=100, burst=1), Clock())
    waits = [limiter.admit(name, tokens) for name, tokens in (("a", 60), ("b", 60), ("c", 10))]
    assert waits == [0.0, 63.0, 63.0]


@cases(200)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 100)), max_size=60), st.data())
def test_first_booked_is_first_served(plan: list[tuple[int, int]], data: st.DataObject) -> None:
    clock = Clock()
    limiter = Limiter(Limits(requests_per_minute=9, tokens_per_minute=100, burst=1), clock)
    due = []
    for number, (gap, tokens) in enumerate(plan):
        clock.now += gap
        due.append(clock.now + limiter.book(number, tokens))
        if data.draw(st.booleans()):
            limiter.cancel(number)
            due.pop()
    assert due == sorted(due)


@cases(200)
@given(st.integers(1, 30), st.data())
def test_who_gave_back_leaves_the_room_to_others(count: int, data: st.DataObject) -> None:
    clock = Clock()
    limits = Limits(requests_per_minute=12, tokens_per_minute=100)
    limiter, alone = Limiter(limits, clock), Limiter(limits, clock)
    kept = []
    for number in range(count):
        wait = limiter.book(number, 20)
        if wait == 0 or data.draw(st.booleans()):
            kept.append(number)
    for number in set(range(count)) - set(kept):
        limiter.cancel(number)
    for number in kept:
        alone.book(number, 20)
    if kept == list(range(len(kept))):
        assert limiter.wait(20) == alone.wait(20)
    clock.now += 10_000
    assert limiter.wait(20) == 0


def test_a_minute_comes_in_a_burst_and_then_evenly() -> None:
    clock = Clock()
    limiter = Limiter(Limits(requests_per_minute=600, burst=0.1), clock)
    waits = [limiter.admit(number, 1) for number in range(80)]
    assert waits[:60] == [0.0] * 60
    assert waits[60] == pytest.approx(62 / 600, abs=0.002)
    assert waits[79] == pytest.approx(20 * 62 / 600, abs=0.01)


def test_the_sustained_rate_is_nearly_the_limit() -> None:
    vendor = Vendor(Limits(requests_per_minute=600, tokens_per_minute=100_000))
    vendor.make([(0.0, 160, 0.0)] * 2400)
    kept = [call for call in vendor.made if 60 <= call.at < 180]
    assert len(kept) / 1200 > 0.93
    assert most_in_a_window(vendor.made, 60, tokens=False) <= 600


def test_a_small_account_is_not_slowed_to_one_at_a_time() -> None:
    limiter = Limiter(Limits(requests_per_minute=5, requests_per_day=50), Clock())
    assert [limiter.admit(number, 1) for number in range(5)] == [0.0] * 5
    assert limiter.admit(5, 1) == pytest.approx(63.0)


def test_a_call_larger_than_the_burst_passes_at_the_full_rate() -> None:
    vendor = Vendor(Limits(tokens_per_minute=100, burst=0.05))
    vendor.make([(0.0, 25, 0.0)] * 40)
    assert vendor.made[-1].at < 39 / 4 * 64
    assert most_in_a_window(vendor.made, 60, tokens=True) <= 100


def test_what_can_never_pass_is_refused_at_once_and_takes_nothing() -> None:
    limiter = Limiter(Limits(tokens_per_minute=100, requests_per_minute=1), Clock())
    with pytest.raises(NeverAdmitted, match="tokens_per_minute is 100") as error:
        limiter.admit("large", 101)
    assert isinstance(error.value, RouterError)
    assert isinstance(error.value, ValueError)
    assert limiter.admit("fits", 100) == 0.0


def test_tokens_that_were_not_used_are_given_back() -> None:
    limiter = Limiter(Limits(tokens_per_minute=1000, burst=1), Clock())
    assert limiter.admit("a", 1000) == 0.0
    limiter.ended("a", 100)
    assert limiter.admit("b", 900) == 0.0
    limiter.ended("b", None)
    assert limiter.admit("c", 1) > 60


def test_tokens_beyond_the_booking_count_too() -> None:
    limiter = Limiter(Limits(tokens_per_minute=1000, burst=1), Clock())
    assert limiter.admit("a", 100) == 0.0
    limiter.ended("a", 990)
    assert limiter.admit("b", 10) < 1
    assert limiter.admit("c", 11) > 60


def test_a_correction_that_comes_after_its_minute_changes_nothing() -> None:
    clock = Clock()
    limiter = Limiter(Limits(tokens_per_minute=1000, burst=1), clock)
    limiter.admit("a", 1000)
    clock.now = 70.0
    assert limiter.admit("b", 1000) == 0.0
    limiter.ended("a", 10)
    assert limiter.admit("c", 1000) > 60


def test_a_call_that_was_let_in_and_not_made_gives_everything_back() -> None:
    limiter = Limiter(Limits(requests_per_minute=1, tokens_per_minute=50, concurrency=1), Clock())
    assert limiter.admit("a", 50) == 0.0
    limiter.cancel("a")
    limiter.cancel("a")
    wait = limiter.admit("b", 50)
    assert wait == pytest.approx(62.0)  # of the pace: a burst was given away a moment ago


def test_a_booking_that_nobody_uses_is_given_back() -> None:
    clock = Clock()
    limiter = Limiter(Limits(requests_per_minute=1), clock)
    limiter.admit("a", 1)
    assert limiter.admit("gone", 1) == 63.0
    assert limiter.admit("b", 1) == 126.0
    clock.now = 63.0 + GRACE_MS / 1000
    assert limiter.admit("c", 1) == pytest.approx(189.0 - clock.now)
    clock.now = 126.0
    assert limiter.admit("b", 1) == 0.0


async def test_open_requests_are_bounded_and_served_in_order() -> None:
    clock = Clock()
    limits = InProcessLimits(Limits(concurrency=2), clock)
    assert await limits.admit("a", 1) == 0.0
    assert await limits.admit("b", 1) == 0.0
    first, second = await limits.admit("c", 1), await limits.admit("d", 1)
    assert 0 < first < second
    await limits.ended("a", None)
    clock.now = second - 0.5
    assert await limits.admit("d", 1) > 0, "the first of the line is due as well"
    assert await limits.admit("c", 1) == 0.0
    await limits.give_back("b")
    clock.now += 20
    assert await limits.admit("d", 1) == 0.0
    assert await limits.admit("e", 1) > 0


async def test_a_free_slot_is_not_kept_for_those_who_are_far_from_asking() -> None:
    clock = Clock()
    limits = InProcessLimits(Limits(concurrency=1), clock)
    await limits.admit("a", 1)
    waits = {f"c{number}": await limits.admit(f"c{number}", 1) for number in range(300)}
    assert sum(1 / wait for wait in waits.values()) < 150, "asks a second, of all of them"
    await limits.ended("a", None)
    assert await limits.admit("now", 1) > 0, "the first are about to ask"
    for name, wait in waits.items():
        if wait < 2:
            await limits.give_back(name)
    await limits.give_back("now")
    assert await limits.admit("now", 1) == 0.0


async def test_who_asks_again_after_being_let_in_is_not_counted_twice_as_open() -> None:
    limits = InProcessLimits(Limits(concurrency=1), Clock())
    assert await limits.admit("a", 1) == 0.0
    assert await limits.admit("a", 1) == 0.0


def test_only_providers_with_limits_have_an_account() -> None:
    policy = Policy.model_validate(
        {
            "providers": {
                "openai": {"limits": {"requests_per_minute": 600, "concurrency": 3}},
                "gemini": {"limits": {"tokens_per_minute": 1000}},
                "simulated": {},
            }
        }
    )
    assert sorted(open_limits(policy)) == ["gemini", "openai"]
    assert queue_rates(policy) == {"openai": 8.0}


def test_an_address_that_is_none_names_the_setting() -> None:
    policy = Policy.model_validate({"providers": {"openai": {"limits": {"concurrency": 3}}}})
    with pytest.raises(RouterError, match="CALLBOARD_REDIS_URL"):
        open_limits(policy, "http://127.0.0.1")


@pytest.mark.parametrize("burst", [0, 1.5, -1])
def test_a_burst_is_a_share(burst: float) -> None:
    with pytest.raises(ValueError, match="burst"):
        Limits(requests_per_minute=1, burst=burst)


async def test_in_process_limits_need_no_closing() -> None:
    await asyncio.wait_for(InProcessLimits(Limits(concurrency=1)).aclose(), 30)
