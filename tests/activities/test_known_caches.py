"""What is known to be at vendors: found until shortly before its end, made by one at a time."""

import asyncio
import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activities.known_caches import EARLY_S, LEASE_S, Known
from contracts.sharing import LEASES, UPLOADS
from stores.artifacts import ArtifactStore
from stores.sealing import AesGcm

pytestmark = pytest.mark.unit


class Clock:
    """A clock that is set; who sleeps sets it forward."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).timestamp()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> ArtifactStore:
    return ArtifactStore.open("memory://")


async def test_it_is_found_until_shortly_before_its_end(store: ArtifactStore, clock: Clock) -> None:
    known = Known(store, clock=clock)
    assert await known.find("k") is None
    await known.add("k", "cache-1", 100, tokens=7)
    found = await known.find("k")
    assert found is not None
    assert (found.name, found.tokens) == ("cache-1", 7)
    clock.now += 100 - EARLY_S
    assert await known.find("k") is None


@pytest.mark.parametrize("how", ["collected", "sealed by other keys"])
async def test_what_cannot_be_read_is_not_known(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [(name, base64.b64encode(name.encode() * 32).decode()) for name in "ab"]
    one, other = (ArtifactStore.open(str(tmp_path), AesGcm([key])) for key in keys)
    await Known(one).add("k", "cache-1", 100)
    if how == "collected":
        for path in (tmp_path / "artifacts").rglob("*"):
            if path.is_file():
                path.unlink()
        other = ArtifactStore.open(str(tmp_path), AesGcm([keys[0]]))
    assert await Known(other).find("k") is None
    assert "caches/k is not known: " in caplog.text
    await Known(other).add("k", "cache-2", 100)
    found = await Known(other).find("k")
    assert found is not None
    assert found.name == "cache-2"


async def test_what_was_forgotten_is_not_found(store: ArtifactStore) -> None:
    known = Known(store, UPLOADS)
    await known.add("k", "file-1", 100)
    await known.forget("k")
    assert await known.find("k") is None


async def test_B10_two_workers_make_one(store: ArtifactStore) -> None:
    made: list[int] = []

    async def work(worker: int) -> None:
        known = Known(store)  # its locks are its own: only the store is shared
        async with known.held("k", f"execution-{worker}"):
            if await known.find("k") is None:
                await asyncio.sleep(0.05)
                made.append(worker)
                await known.add("k", f"cache-{worker}", 100)

    await asyncio.gather(*(work(n) for n in range(4)))
    assert len(made) == 1
    assert await store.names(LEASES) == []


async def test_the_lease_of_a_killed_worker_is_waited_for(
    store: ArtifactStore, clock: Clock
) -> None:
    killed = Known(store, clock=clock, sleep=clock.sleep)
    lost = killed.held("k", "one")
    await lost.__aenter__()
    began = clock.now
    async with Known(store, clock=clock, sleep=clock.sleep).held("k", "two"):
        assert LEASE_S <= clock.now - began < LEASE_S + 1
        await lost.__aexit__(None, None, None)  # late, and no longer its own
        assert await store.names(LEASES) != []
    assert await store.names(LEASES) == []


async def test_who_fails_lets_others_try(store: ArtifactStore) -> None:
    known = Known(store)
    with pytest.raises(RuntimeError, match="the vendor"):
        async with known.held("k", "one"):
            raise RuntimeError("the vendor")
    async with asyncio.timeout(1):
        async with known.held("k", "two"):
            pass


async def test_who_goes_on_for_a_killed_worker_does_not_wait(
    store: ArtifactStore, clock: Clock
) -> None:
    lost = Known(store, clock=clock, sleep=clock.sleep).held("k", "one")
    await lost.__aenter__()
    began = clock.now
    async with Known(store, clock=clock, sleep=clock.sleep).held("k", "one"):
        assert clock.now == began
    await lost.__aexit__(None, None, None)
