"""Accounts that servers of several machines share: as `test_windows` has them, in a real Redis."""

import asyncio
import random
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from providers.exceptions import RouterError
from serving.callers import LOCAL, KeyRing, Limits
from serving.redis_windows import RedisWindows
from serving.windows import DAY, MONTH, Admitted, Ask, Refused, Windows
from stores.exceptions import StoreUnavailable
from tests.serving.stage import serving, stage
from tests.serving.test_windows import Clock, passed
from tests.support.redis import RedisProcess
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

NONE = Limits()
Make = Callable[..., RedisWindows]

HELLO: dict[str, Any] = {"model": "tested", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
async def make(redis_url: str) -> AsyncIterator[Make]:
    """Open accounts under a prefix of the test's own, as a server does."""
    prefix, made = f"test:{{{uuid.uuid4()}}}", list[RedisWindows]()

    def open_(clock: Clock | None = None) -> RedisWindows:
        made.append(RedisWindows(redis_url, prefix, clock))
        return made[-1]

    yield open_
    for one in made:
        await one.aclose()


async def ask(
    windows: RedisWindows | Windows,
    caller: Limits = NONE,
    model: Limits = NONE,
    *,
    name: str = "architect",
    tokens: int = 10,
    usd: str = "0",
    least: str | None = None,
    id: str | None = None,
) -> tuple[str, Admitted | Refused]:
    id = id or str(uuid.uuid4())
    need = Decimal(usd if least is None else least)
    wanted = Ask(id, "alice", name, tokens, Decimal(usd), need, "chat", "request")
    return id, await windows.admit(wanted, caller, model)


async def test_A26_requests_a_minute_are_exact_over_all_servers(make: Make) -> None:
    clock, three = Clock(), Limits(requests_per_minute=3)
    one, other = make(clock), make(clock)
    found = [await ask(windows, model=three) for windows in (one, other, one, other)]
    assert [passed(each) for each in found] == [True, True, True, False]
    assert passed(await ask(other, model=three, name="reviewer"))
    clock.now += 59.9
    _, refused = await ask(other, model=three)
    assert isinstance(refused, Refused)
    assert refused.message == "model architect may make 3 requests (requests_per_minute)"
    assert refused.retry_s == pytest.approx(0.1, abs=0.01)
    clock.now += 0.2
    assert passed(await ask(one, model=three))


async def test_A27_tokens_count_while_held_and_for_their_window_once_used(make: Make) -> None:
    clock, limit = Clock(), Limits(tokens_per_minute=100, tokens_per_day=1000)
    one, other = make(clock), make(clock)
    id, first = await ask(one, limit, tokens=30)
    assert isinstance(first, Admitted)
    assert first.tokens_left == 100
    _, second = await ask(other, limit, tokens=30)
    assert isinstance(second, Admitted)
    assert second.tokens_left == 70
    await one.settle(id, 150, Decimal(0))
    _, third = await ask(other, limit)
    assert isinstance(third, Refused)
    assert third.message == (
        "this key (alice) may use 100 tokens (tokens_per_minute), 180 are used"
    )
    assert third.retry_s == pytest.approx(61, abs=0.1)
    clock.now += 61.1
    assert passed(await ask(other, limit)), "what is held still counts, and 30 are less than 100"


async def test_A27_of_five_at_once_one_passes(make: Make) -> None:
    limit, servers = Limits(tokens_per_minute=1), [make() for _ in range(5)]
    found = await asyncio.gather(*(ask(one, model=limit) for one in servers))
    assert sum(passed(each) for each in found) == 1


async def test_money_is_given_as_far_as_it_goes_to_the_last_nano_dollar(make: Make) -> None:
    clock, windows = Clock(), make()
    limit = Limits(usd_per_day=Decimal("1234.567890123"))
    id, given = await ask(windows, limit, usd="1234.5", least="0.1")
    assert isinstance(given, Admitted)
    _, rest = await ask(windows, limit, usd="7", least="0.01")
    assert isinstance(rest, Admitted)
    assert rest.usd == Decimal("0.067890123")
    assert await windows.spent("alice") == Decimal("1234.567890123")
    _, none = await ask(windows, limit, usd="7", least="0.01")
    assert isinstance(none, Refused)
    assert "may spend $1234.567890123 (usd_per_day): $0 is left" in none.message
    await windows.settle(id, 10, Decimal("0.5"))
    _, again = await ask(windows, limit, usd="2000", least="0.01")
    assert isinstance(again, Admitted)
    assert again.usd == Decimal("1234")
    assert clock.now == 1_000_000.0


async def test_money_windows_slide_and_a_total_is_for_ever(make: Make) -> None:
    clock = Clock()
    windows = make(clock)
    day, month, total = (
        Limits(usd_per_day=Decimal(1)),
        Limits(usd_per_month=Decimal(1)),
        Limits(usd_total=Decimal(1)),
    )
    id, _ = await ask(windows, usd="1")
    await windows.settle(id, 10, Decimal(1))
    for wait, limit, room in (
        (0.0, day, False),
        (DAY - 1, day, False),
        (61.0, day, True),
        (0.0, month, False),
        (MONTH, month, True),
        (0.0, total, False),
    ):
        clock.now += wait + (3600 if wait == MONTH else 0)
        found, answer = await ask(windows, limit, usd="0.5")
        assert passed((found, answer)) is room, (wait, limit, answer)
        await windows.release(found)
    _, refused = await ask(windows, total, usd="0.5")
    assert isinstance(refused, Refused)
    assert refused.retry_s is None


async def test_what_was_asked_before_is_known_and_counts_once(make: Make) -> None:
    one = Limits(requests_per_minute=1, usd_per_day=Decimal(1))
    first = await ask(make(), one, usd="0.5", id="same")
    again = await ask(make(), one, usd="0.5", id="same")
    assert isinstance(first[1], Admitted)
    assert isinstance(again[1], Admitted)
    assert (first[1].known, again[1].known, again[1].usd) == (False, True, Decimal("0.5"))


async def test_what_is_released_is_gone_and_what_is_unknown_counts(make: Make) -> None:
    windows, limit = make(), Limits(requests_per_minute=2, usd_total=Decimal(1))
    back, _ = await ask(windows, limit, usd="0.6")
    await windows.release(back)
    await windows.release(back)
    assert await windows.spent("alice") == 0
    lost, _ = await ask(windows, limit, usd="0.6")
    assert [(one.id, one.chat, one.request) for one in await make().still_open()] == [
        (lost, "chat", "request")
    ]
    for _ in range(2):
        await windows.settle_held(lost)
    assert await windows.spent("alice") == Decimal("0.6")
    assert await windows.still_open() == []
    assert passed(await ask(windows, limit, usd="0.4", tokens=0))
    assert not passed(await ask(windows, limit))


@pytest.mark.parametrize("seed", range(3))
async def test_spent_and_held_never_pass_a_limit(make: Make, seed: int) -> None:
    chance, clock = random.Random(seed), Clock()
    servers = [make(clock), make(clock)]
    limits = Limits(usd_per_day=Decimal("1"), tokens_per_minute=500)
    spent: list[tuple[float, Decimal]] = []
    held: dict[str, Decimal] = {}
    for _ in range(150):
        clock.now += chance.choice([0, 1, 30, 3000, DAY / 3])
        one = chance.choice(servers)
        if held and chance.random() < 0.5:
            id = chance.choice(list(held))
            share = Decimal(chance.choice(["0", "0.3", "1"]))
            usd = (held.pop(id) * share).quantize(Decimal("1e-9"), ROUND_UP)
            await one.settle(id, chance.randrange(300), usd)
            spent.append((clock.now, usd))
        else:
            usd = Decimal(chance.randrange(1, 900_000_000)) / 10**9
            id, found = await ask(one, limits, usd=str(usd), least=str(usd / 3))
            if isinstance(found, Admitted):
                held[id] = found.usd
        within = sum((usd for at, usd in spent if at > clock.now - DAY), Decimal(0))
        assert within + sum(held.values()) <= 1
    assert await servers[0].spent("alice") == sum(usd for _, usd in spent) + sum(held.values())


async def test_two_servers_spend_one_keys_money_and_requests(
    make: Make, server: LocalServer, tmp_path: Path
) -> None:
    ring = KeyRing(models={"tested": Limits(requests_per_day=3)})
    on = stage(server.address, tmp_path, keys=ring, windows=make())
    async with on as one, serving(one.h, keys=ring, windows=make()) as other:
        codes = []
        for at in (one, other, one, other, one):
            answer = await at.http.post("/v1/chat/completions", json=HELLO)
            codes.append(answer.status_code)
        await one.settled()
        assert codes == [200, 200, 200, 429, 429]
        spent = await make().spent(LOCAL)
        assert await other.gateway.accounts.spent(LOCAL) == spent == Decimal("0.018")
    assert one.script.count() == 3


@pytest.mark.slow
async def test_a_server_without_its_redis_admits_nothing_and_settles_later(
    redis: RedisProcess, server: LocalServer, tmp_path: Path
) -> None:
    opened = stage(server.address, tmp_path, windows=RedisWindows(redis.url), begun_s=0.5)
    async with opened as on:
        redis.signal(signal.SIGSTOP)
        away = await on.http.post("/v1/chat/completions", json=HELLO)
        redis.signal(signal.SIGCONT)
        back = await on.http.post("/v1/chat/completions", json=HELLO)
        await on.settled()
        spent = await on.gateway.accounts.spent(LOCAL)
    assert spent == Decimal("0.006"), "what was held for nothing is given back"
    assert (away.status_code, back.status_code) == (503, 200)
    assert away.json()["error"]["code"] == "unavailable"
    assert on.script.count() == 1


async def test_without_its_server_nothing_is_admitted(redis: RedisProcess) -> None:
    windows = RedisWindows(redis.url)
    assert passed(await ask(windows))
    redis.signal(signal.SIGKILL)
    with pytest.raises(StoreUnavailable, match="CALLBOARD_REDIS_URL"):
        await ask(windows)
    await windows.aclose()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(RouterError, match="CALLBOARD_REDIS_URL"):
        RedisWindows("http://localhost")
