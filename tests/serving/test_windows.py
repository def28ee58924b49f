"""Windows of requests, tokens and money: what passes when, and what a restart remembers."""

import asyncio
import random
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.callers import Limits
from serving.windows import DAY, MONTH, Admitted, Ask, Refused, Windows

pytestmark = pytest.mark.unit

NONE = Limits()


class Clock:
    """Stands until it is moved."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Counter:
    """Asks under fresh names."""

    def __init__(self, windows: Windows) -> None:
        self.windows, self.asked = windows, 0

    async def __call__(
        self,
        caller: Limits = NONE,
        model: Limits = NONE,
        *,
        name: str = "architect",
        tokens: int = 10,
        usd: str = "0",
        least: str | None = None,
    ) -> tuple[str, Admitted | Refused]:
        self.asked += 1
        id = f"r{self.asked}"
        amount = Decimal(usd)
        need = amount if least is None else Decimal(least)
        ask = Ask(id, "alice", name, tokens, amount, need, "chat")
        return id, await self.windows.admit(ask, caller, model)


def passed(found: tuple[str, Admitted | Refused]) -> bool:
    return isinstance(found[1], Admitted)


async def test_A26_three_requests_a_minute_of_a_persona() -> None:
    clock = Clock()
    ask = Counter(Windows(":memory:", clock))
    three = Limits(requests_per_minute=3)
    assert [passed(await ask(model=three)) for _ in range(4)] == [True, True, True, False]
    assert passed(await ask(model=three, name="reviewer"))
    clock.now += 59.9
    _, refused = await ask(model=three)
    assert isinstance(refused, Refused)
    assert refused.measure == "requests"
    assert refused.retry_s == pytest.approx(0.1, abs=0.01)
    clock.now += 0.2
    assert passed(await ask(model=three))


async def test_A26_a_limit_of_0_is_off() -> None:
    ask = Counter(Windows(":memory:", Clock()))
    assert all([passed(await ask(Limits(), Limits(requests_per_minute=0))) for _ in range(50)])


async def test_A26_requests_that_were_refused_do_not_count() -> None:
    clock = Clock()
    ask = Counter(Windows(":memory:", clock))
    one = Limits(requests_per_minute=1)
    assert passed(await ask(one))
    for _ in range(5):
        clock.now += 10
        assert not passed(await ask(one))
    clock.now += 10.1
    assert passed(await ask(one))


async def test_A27_tokens_one_after_the_other() -> None:
    clock = Clock()
    windows = Windows(":memory:", clock)
    ask, one = Counter(windows), Limits(tokens_per_minute=1)
    id, first = await ask(model=one)
    assert isinstance(first, Admitted)
    assert first.tokens_left == 1
    await windows.settle(id, 150, Decimal(0))
    _, second = await ask(model=one)
    assert isinstance(second, Refused)
    assert second.measure == "tokens"
    clock.now += 60.1
    assert passed(await ask(model=one))


async def test_A27_of_five_at_once_one_passes() -> None:
    ask, one = Counter(Windows(":memory:", Clock())), Limits(tokens_per_minute=1)
    found = await asyncio.gather(*(ask(model=one) for _ in range(5)))
    assert sum(passed(each) for each in found) == 1


async def test_what_was_asked_before_is_known_and_counts_once() -> None:
    windows = Windows(":memory:", Clock())
    one = Limits(requests_per_minute=1, usd_per_day=Decimal(1))
    ask = Ask("same", "alice", "m", 10, Decimal("0.5"), Decimal("0.5"), "chat")
    first = await windows.admit(ask, one, NONE)
    again = await windows.admit(ask, one, NONE)
    assert isinstance(first, Admitted)
    assert isinstance(again, Admitted)
    assert (first.known, again.known, again.usd) == (False, True, Decimal("0.5"))


async def test_money_is_given_as_far_as_it_goes() -> None:
    windows = Windows(":memory:", Clock())
    ask, day = Counter(windows), Limits(usd_per_day=Decimal(1))
    first, given = await ask(day, usd="0.7", least="0.1")
    assert isinstance(given, Admitted)
    assert given.usd == Decimal("0.7")
    _, rest = await ask(day, usd="0.7", least="0.1")
    assert isinstance(rest, Admitted)
    assert rest.usd == Decimal("0.3")
    _, refused = await ask(day, usd="0.7", least="0.1")
    assert isinstance(refused, Refused)
    assert refused.measure == "usd"
    await windows.settle(first, 10, Decimal("0.2"))
    _, after = await ask(day, usd="0.7", least="0.1")
    assert isinstance(after, Admitted)
    assert after.usd == Decimal("0.5")


async def test_money_windows_slide_and_a_total_is_for_ever() -> None:
    clock = Clock()
    windows = Windows(":memory:", clock)
    ask = Counter(windows)
    limits = Limits(usd_per_day=Decimal(1), usd_per_month=Decimal(2), usd_total=Decimal(3))
    for wait, can in ((0, True), (DAY / 2, False), (DAY / 2 + 1, True), (DAY + 1, False)):
        clock.now += wait
        id, found = await ask(limits, usd="1")
        assert isinstance(found, Admitted) is can
        await windows.settle(id, 10, Decimal(1))
    clock.now += MONTH
    id, found = await ask(limits, usd="1")
    assert isinstance(found, Admitted)
    await windows.settle(id, 10, Decimal(1))
    clock.now += 3 * MONTH
    _, never = await ask(limits, usd="1")
    assert isinstance(never, Refused)
    assert never.retry_s is None
    assert await windows.spent("alice") == Decimal(3)


async def test_an_open_request_counts_however_old_it_is() -> None:
    clock = Clock()
    ask, day = Counter(Windows(":memory:", clock)), Limits(usd_per_day=Decimal(1))
    assert passed(await ask(day, usd="1"))
    clock.now += 3 * DAY
    assert not passed(await ask(day, usd="1"))


async def test_what_is_not_begun_is_given_back_and_what_is_unknown_counts() -> None:
    windows = Windows(":memory:", Clock())
    ask, day = Counter(windows), Limits(usd_per_day=Decimal(1), requests_per_minute=5)
    id, _ = await ask(day, usd="1")
    await windows.release(id)
    id, _ = await ask(day, usd="0.4")
    await windows.settle_held(id)
    await windows.settle_held(id)
    await windows.settle(id, 0, Decimal(0))
    await windows.release(id)
    assert await windows.spent("alice") == Decimal("0.4")
    assert await windows.still_open() == []


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "serving.db"
    before = Windows(path, clock)
    ask, limits = Counter(before), Limits(usd_per_day=Decimal(1), requests_per_minute=2)
    id, _ = await ask(limits, usd="0.5")
    await before.settle(id, 10, Decimal("0.5"))
    await ask(limits, usd="0.4")
    before.close()
    after = Windows(path, clock)
    assert [one.id for one in await after.still_open()] == ["r2"]
    again = Counter(after)
    again.asked = 2
    _, by_requests = await again(limits, usd="0.1")
    assert isinstance(by_requests, Refused)
    assert by_requests.measure == "requests"
    clock.now += 61
    _, by_money = await again(limits, usd="0.2")
    assert isinstance(by_money, Refused)
    assert by_money.measure == "usd"
    assert path.stat().st_mode & 0o077 == 0
    after.close()


async def test_two_processes_share_a_file(tmp_path: Path) -> None:
    path, day = tmp_path / "serving.db", Limits(usd_per_day=Decimal(1))
    both = [Windows(path), Windows(path)]
    asks = [
        one.admit(Ask(f"r{n}", "alice", "m", 1, Decimal("0.3"), Decimal("0.3"), "c"), day, NONE)
        for n, one in enumerate(both * 4)
    ]
    found = await asyncio.gather(*asks)
    for one in both:
        one.close()
    assert sum(isinstance(each, Admitted) for each in found) == 3


async def test_rows_that_no_window_needs_are_dropped(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "serving.db"
    windows = Windows(path, clock)
    ask = Counter(windows)
    id, _ = await ask(usd="1")
    await windows.settle(id, 1, Decimal(1))
    await ask(usd="1")
    clock.now += 2 * MONTH
    await ask()
    windows.close()
    rows = sqlite3.connect(path).execute("SELECT id FROM requests ORDER BY id").fetchall()
    assert rows == [("r2",), ("r3",)]


@given(st.integers(0, 2**32), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_spent_and_held_never_pass_a_limit(seed: int, steps: int) -> None:
    asyncio.run(_spend(random.Random(seed), steps))


async def _spend(chance: random.Random, steps: int) -> None:
    clock = Clock()
    windows = Windows(":memory:", clock)
    ask, limits = Counter(windows), Limits(usd_total=Decimal(1))
    held: dict[str, Decimal] = {}
    spent = Decimal(0)
    for _ in range(steps):
        clock.now += chance.random() * DAY
        if held and chance.random() < 0.4:
            id, amount = held.popitem()
            cost = (amount * Decimal(chance.randint(0, 100)) / 100).quantize(Decimal("1e-9"))
            await windows.settle(id, 1, min(cost, amount))
            spent += min(cost, amount)
        else:
            id, found = await ask(limits, usd=str(chance.randint(1, 60) / 100), least="0.01")
            if isinstance(found, Admitted):
                held[id] = found.usd
        assert spent + sum(held.values()) <= 1
        assert await windows.spent("alice") == spent + sum(held.values())
    windows.close()
