"""The engine's rate limiter, on a clock of its own: SEMANTICS D20, D22."""

import asyncio
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.engine import RateLimitConfig, RateLimiter
from providers.limits import Limiter, NeverAdmitted
from providers.policy import Limits

pytestmark = pytest.mark.unit


class FakeTime:
    """A clock that stands still until somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def limiter(time: FakeTime, **limits: int | None) -> RateLimiter:
    config = RateLimitConfig.unlimited()
    for name, value in limits.items():
        setattr(config, name, value)
    return RateLimiter(config, clock=time.clock, sleep=time.sleep)


async def test_D20_a_minutes_requests_come_at_once_and_the_next_one_waits() -> None:
    time = FakeTime()
    limited = limiter(time, requests_per_minute=60)
    for _ in range(60):
        await limited.acquire()
    assert time.now == 0.0
    await limited.acquire()
    assert time.now == pytest.approx(1.0, abs=0.01)
    assert limited.get_statistics()["total_requests"] == 61
    assert limited.get_statistics()["total_wait_time"] == pytest.approx(1.0, abs=0.01)


async def test_D20_who_cannot_wait_takes_nothing() -> None:
    time = FakeTime()
    limited = limiter(time, requests_per_minute=2)
    await limited.acquire()
    await limited.acquire()
    with pytest.raises(asyncio.TimeoutError):
        await limited.acquire(timeout=0.1)
    assert time.now == pytest.approx(0.1)
    assert limited.get_statistics()["total_requests"] == 2
    time.now = 30.0
    await limited.acquire(timeout=0)
    assert time.now == 30.0


async def test_D22_what_can_never_pass_is_refused_at_once() -> None:
    time = FakeTime()
    limited = limiter(time, tokens_per_minute=100, requests_per_minute=1, concurrent_requests=1)
    with pytest.raises(NeverAdmitted, match="tokens_per_minute is 100") as error:
        await limited.acquire(200)
    assert isinstance(error.value, ValueError)
    await limited.acquire(100, timeout=0)
    assert time.slept == []


async def test_tokens_and_requests_wait_for_the_later_of_both() -> None:
    time = FakeTime()
    limited = limiter(time, tokens_per_minute=600, requests_per_minute=60)
    await limited.acquire(600)
    await limited.acquire(100)
    assert time.now == pytest.approx(10.0, abs=0.01)


@pytest.mark.parametrize(
    ("name", "limit", "seconds"),
    [("requests_per_hour", 36, 100.0), ("requests_per_day", 24, 3600.0)],
)
async def test_hours_and_days_are_limits_too(name: str, limit: int, seconds: float) -> None:
    time = FakeTime()
    limited = limiter(time, **{name: limit})
    for _ in range(limit + 1):
        await limited.acquire()
    assert time.now == pytest.approx(seconds, abs=0.01)


async def test_open_requests_are_bounded_and_released() -> None:
    limited = RateLimiter(RateLimitConfig(concurrent_requests=1))
    await limited.acquire()
    with pytest.raises(asyncio.TimeoutError):
        await limited.acquire(timeout=0.01)
    waiting = asyncio.create_task(limited.acquire())
    await asyncio.sleep(0)
    assert not waiting.done()
    limited.release()
    await waiting
    assert limited.get_statistics()["active_requests"] == 1
    limited.release()
    with pytest.raises(RuntimeError, match="acquire"):
        limited.release()


async def test_one_that_is_cancelled_gives_its_turn_and_its_slot_back() -> None:
    limited = RateLimiter(RateLimitConfig(requests_per_minute=60, concurrent_requests=100))
    for _ in range(60):
        await limited.acquire()
    gone = [asyncio.create_task(limited.acquire()) for _ in range(20)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    assert limited.get_statistics()["active_requests"] == 60
    loop = asyncio.get_running_loop()
    began = loop.time()
    await limited.acquire(timeout=1.5)
    assert loop.time() - began < 1.4


def test_a_call_of_a_run_asks_twice_and_books_once() -> None:
    time = FakeTime()
    limited = limiter(time, requests_per_minute=1)
    assert limited.admit("first", 10) == 0.0
    assert limited.admit("second", 10) == pytest.approx(60.0)
    assert limited.admit("second", 10) == pytest.approx(60.0)
    assert limited.admit("third", 10) == pytest.approx(120.0)
    time.now = 60.0
    assert limited.admit("third", 10) == pytest.approx(60.0)
    assert limited.admit("second", 10) == 0.0
    shown = limited.get_statistics()
    assert (shown["total_requests"], shown["throttled_requests"]) == (2, 2)
    assert shown["total_wait_time"] == pytest.approx(60.0)


def test_tokens_that_were_not_used_are_given_back() -> None:
    time = FakeTime()
    limited = limiter(time, tokens_per_minute=1000)
    assert limited.admit("a", 1000) == 0.0
    limited.began()
    assert limited.get_statistics()["active_requests"] == 1
    limited.ended(1000, 100)
    assert limited.get_statistics()["active_requests"] == 0
    assert limited.admit("b", 900) == 0.0
    limited.began()
    limited.ended(900, 1000)
    assert limited.admit("c", 100) == pytest.approx(12.0, abs=0.01)
    limited.began()
    limited.ended(100, None)
    assert limited.get_statistics()["total_tokens"] == 1100


@pytest.mark.parametrize("name", list(vars(RateLimitConfig())))
def test_a_limit_below_one_names_its_field(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        RateLimitConfig(**{name: 0})


steps = st.lists(
    st.tuples(
        st.sampled_from(["book", "cancel", "wait"]),
        st.integers(1, 40),
        st.integers(0, 9),
    ),
    max_size=60,
)


@given(steps)
def test_bookings_never_pass_a_limit_in_any_order_of_events(
    plan: list[tuple[str, int, int]],
) -> None:
    """Between any two calls made there are no more than the bucket and its refill allow."""
    time = FakeTime()
    limits = Limits(requests_per_minute=6, tokens_per_minute=60)
    limiter = Limiter(limits, time.clock, buckets=True)
    made: dict[int, tuple[float, int]] = {}
    for number, (what, tokens, which) in enumerate(plan):
        if what == "wait":
            time.now += tokens
        elif what == "book":
            made[number] = (time.now + limiter.book(number, tokens), tokens)
        else:
            ahead = [key for key, (at, _) in made.items() if at > time.now]
            if ahead:
                key = ahead[which % len(ahead)]
                limiter.cancel(key)
                del made[key]
    calls = sorted(made.values())
    for first, last in combinations(range(len(calls)), 2):
        between = calls[first : last + 1]
        seconds = calls[last][0] - calls[first][0]
        assert len(between) <= 6 + seconds * 6 / 60 + 0.01
        assert sum(tokens for _, tokens in between) <= 60 + seconds * 60 / 60 + 0.01


@given(st.integers(1, 30), st.data())
def test_cancelled_bookings_leave_nothing_behind(count: int, data: st.DataObject) -> None:
    """Who books after the others gave up waits no longer than if they had never been."""
    time = FakeTime()
    limits = Limits(requests_per_minute=3, tokens_per_minute=100)
    limiter, alone = (Limiter(limits, time.clock, buckets=True) for _ in range(2))
    kept = []
    for number in range(count):
        wait = limiter.book(number, 20)
        if wait == 0 or data.draw(st.booleans()):
            kept.append(number)
    for number in range(count):
        if number not in kept:
            limiter.cancel(number)
    for number in kept:
        alone.book(number, 20)
    assert limiter.wait(20) >= alone.wait(20)
    if kept == list(range(len(kept))):
        assert limiter.wait(20) == alone.wait(20)


async def test_turns_that_are_cancelled_when_they_are_due_are_not_lost() -> None:
    time, hold = FakeTime(), asyncio.Event()

    async def held(_: float) -> None:
        await hold.wait()

    config = RateLimitConfig(60, None, None, None, None)
    limited = RateLimiter(config, clock=time.clock, sleep=held)
    for _ in range(60):
        await limited.acquire()
    gone = [asyncio.create_task(limited.acquire()) for _ in range(30)]
    await asyncio.sleep(0)
    time.now += 40.0  # the program was busy elsewhere meanwhile
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    for _ in range(40):
        await limited.acquire(timeout=0)
    with pytest.raises(asyncio.TimeoutError):
        await limited.acquire(timeout=0)


def test_what_a_run_waited_for_when_it_ended_is_free_for_others() -> None:
    time = FakeTime()
    limited = limiter(time, requests_per_minute=60)
    assert [limited.admit(f"before/a{n}#1", 1) for n in range(60)] == [0.0] * 60
    assert limited.admit("w-1/a#1", 1) == pytest.approx(1.0, abs=0.01)
    assert limited.admit("w-1-2/a#1", 1) == pytest.approx(2.0, abs=0.01)
    for number in range(100):
        limited.admit(f"w-1/b{number}#1", 1)
    limited.give_back("w-1")
    assert limited.admit("after/a#1", 1) == pytest.approx(2.0, abs=0.01)
    assert limited.admit("after/b#1", 1) == pytest.approx(3.0, abs=0.01)


async def test_tokens_below_zero_are_refused_and_take_nothing() -> None:
    limited = limiter(FakeTime(), tokens_per_minute=100)
    with pytest.raises(ValueError, match="estimated_tokens must be 0 or more"):
        await limited.acquire(-5)
    assert limited.get_statistics()["active_requests"] == 0
    assert limited.get_statistics()["total_tokens"] == 0
