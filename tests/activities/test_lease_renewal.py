"""The lease of who makes something at a vendor: renewed while it works, never taken back."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from activities.known_caches import LEASE_S, RENEW_S, Known
from contracts.artifacts import ArtifactRef
from contracts.sharing import CACHES, LEASES
from stores.artifacts import ArtifactStore
from stores.backend import Backend
from stores.exceptions import StoreUnavailable

pytestmark = pytest.mark.unit

NAME = f"{LEASES}{CACHES}k"


class Hours:
    """A clock that is set, and renewals that come when they are called for."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).timestamp()
        self.asked: list[float] = []
        self.due: asyncio.Queue[None] = asyncio.Queue()

    def __call__(self) -> float:
        return self.now

    async def until_due(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.due.get()

    async def pass_and_renew(self, seconds: float) -> None:
        """Let time pass, and a renewal come to its end."""
        self.now += seconds
        before = len(self.asked)
        self.due.put_nowait(None)
        await happens(lambda: later(len(self.asked) > before))


async def later(value: bool) -> bool:
    return value


async def happens(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await what():
            await asyncio.sleep(0.005)


async def still(_: float) -> None:
    """Wait without a clock's moving."""
    await asyncio.sleep(0.005)


class Away(ArtifactStore):
    """A store that takes no names while it is away."""

    away = False

    async def note(self, name: str, ref: ArtifactRef) -> None:
        if self.away:
            raise StoreUnavailable("file:///full: No space left on device")
        await super().note(name, ref)

    async def forget(self, name: str) -> None:
        if self.away:
            raise StoreUnavailable("file:///full: No space left on device")
        await super().forget(name)


@pytest.fixture
def store() -> Away:
    return Away(Backend.open("memory://"))


def known(store: ArtifactStore, hours: Hours) -> Known:
    return Known(store, clock=hours, sleep=still, between_renewals=hours.until_due)


async def test_whoever_waits_does_so_however_long_the_work_takes(store: Away) -> None:
    hours, entered = Hours(), asyncio.Event()

    async with known(store, hours).held("k", "one"):
        await happens(lambda: later(hours.asked == [RENEW_S]))
        for _ in range(12):
            await hours.pass_and_renew(RENEW_S)
        assert hours.asked == [RENEW_S] * 13
        waiting = asyncio.create_task(_entering(store, hours, entered))
        await asyncio.sleep(0.1)
        assert not entered.is_set(), "12 thirds of a lease have passed, and it holds"
    await asyncio.wait_for(waiting, 30)
    assert entered.is_set()
    assert await store.names(LEASES) == []


async def _entering(store: ArtifactStore, hours: Hours, entered: asyncio.Event) -> None:
    async with known(store, hours).held("k", "two"):
        entered.set()


async def test_without_renewals_it_is_over(store: Away) -> None:
    hours, entered = Hours(), asyncio.Event()
    async with known(store, hours).held("k", "one"):
        hours.now += LEASE_S + 0.1
        await asyncio.wait_for(_entering(store, hours, entered), 30)
    assert entered.is_set()


async def test_a_renewal_that_comes_late_takes_nothing_back(store: Away) -> None:
    hours, other = Hours(), Hours()
    async with known(store, hours).held("k", "one"):
        hours.now += LEASE_S + 0.1
        other.now = hours.now
        async with known(store, other).held("k", "two"):
            hours.due.put_nowait(None)
            await asyncio.sleep(0.1)
            ref = await store.lookup(NAME)
            assert ref is not None
            assert '"two"' in await store.get_text(ref)
            assert hours.asked == [RENEW_S], "it is another's: there is nothing to renew"
    assert await store.names(LEASES) == []


async def test_a_store_that_is_away_for_a_renewal_costs_nothing(
    store: Away, caplog: pytest.LogCaptureFixture
) -> None:
    hours, entered = Hours(), asyncio.Event()
    async with known(store, hours).held("k", "one"):
        await happens(lambda: later(hours.asked == [RENEW_S]))
        store.away = True
        await hours.pass_and_renew(RENEW_S)
        await hours.pass_and_renew(RENEW_S)
        store.away = False
        await hours.pass_and_renew(RENEW_S - 1)
        hours.now += LEASE_S - 1
        waiting = asyncio.create_task(_entering(store, hours, entered))
        await asyncio.sleep(0.1)
        assert not entered.is_set()
    await asyncio.wait_for(waiting, 30)
    assert [r.message for r in caplog.records].count(
        f"the lease {NAME} was not renewed: file:///full: No space left on device"
    ) == 2


async def test_what_was_made_is_not_lost_with_the_note_of_it(
    store: Away, caplog: pytest.LogCaptureFixture
) -> None:
    hours, made = Hours(), ""
    one = known(store, hours)
    async with one.held("k", "one"):
        made = "cache-1"
        store.away = True
        await one.add("k", made, 100)
    assert made
    assert await one.find("k") is None
    told = [record.message for record in caplog.records]
    assert told == [
        "caches/k is at the vendor, and no other run will find it: "
        "file:///full: No space left on device",
        f"the lease {NAME} ends by itself: file:///full: No space left on device",
    ]
