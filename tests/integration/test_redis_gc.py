"""Spools in Redis are collected with the runs of their age."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from client.retention import Held, find_leftovers, remove
from client.storage import Storage
from stores.artifacts import ArtifactStore
from stores.backend import Entry
from stores.locations import DataDir
from stores.redis_spools import PREFIX, RedisSpools
from stores.sealing import PLAIN
from stores.spooling import KeptSpool
from tests.support.redis import RedisProcess

pytestmark = pytest.mark.integration

OLD_MS = int((time.time() - 40 * 86_400) * 1000)


async def test_old_spools_go_and_those_in_retention_stay(
    tmp_path: Path, redis: RedisProcess
) -> None:
    spools = RedisSpools(redis.url)
    store = ArtifactStore.open(str(tmp_path / "artifacts"))
    storage = Storage(DataDir(tmp_path), store, spools, PLAIN)
    async with Redis.from_url(redis.url) as client:
        for run_id in ("ended", "open", "kept"):
            await client.xadd(PREFIX + spools.name(run_id), {"r": "x"}, id=f"{OLD_MS}-0")
        await client.set("another", "of somebody else")
        spools.open_attempt("young", "a", 1).close()
        await spools.aclose()
        held = Held(going_on=frozenset({"open"}), ended=frozenset({"kept"}))
        since = datetime.now(UTC) - timedelta(days=30)
        leftovers = await find_leftovers(storage, held, since, [])
        assert [spool.name for spool in leftovers.spools] == ["ended"]
        told: list[Entry | KeptSpool] = []
        assert await remove(storage, leftovers, told.append) == []
        assert told == list(leftovers.spools)
        left = {key.decode() for key in await client.keys()}
    assert left == {PREFIX + name for name in ("open", "kept", "young")} | {"another"}
    redis.kill()
    (why,) = await remove(storage, leftovers, told.append)
    assert "CALLBOARD_SPOOL_URL" in why
