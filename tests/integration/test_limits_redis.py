"""An account's limits in a real Redis server: one arithmetic, many processes, no way around it."""

import asyncio
import json
import logging
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from providers.account_limits import LimitsUnreachable
from providers.accounts import open_limits
from providers.limits import Limiter, NeverAdmitted
from providers.policy import Limits, Policy
from providers.redis_limits import RedisServer
from tests.support.cases import cases
from tests.support.programs import program
from tests.support.redis import running_redis
from tests.support.windows import Made, broken

pytestmark = pytest.mark.integration


def fresh(url: str) -> RedisServer:
    return RedisServer(url, f"test:{uuid.uuid4().hex}")


class Clock:
    """Stands still until it is told to go on; shared limits may be asked on it, too."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


limited = st.builds(
    Limits,
    requests_per_minute=st.none() | st.integers(1, 30),
    requests_per_hour=st.none() | st.integers(1, 60),
    requests_per_day=st.none() | st.integers(1, 60),
    tokens_per_minute=st.none() | st.integers(40, 200),
    concurrency=st.none() | st.integers(1, 5),
    burst=st.sampled_from([0.05, 0.25, 1.0]),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["new", "new", "new", "again", "again", "ended", "give_back", "wait"]),
        st.integers(0, 60),
        st.sampled_from([None, 0, 3, 40, 100]),
        st.sampled_from([0.01, 0.3, 2.0, 9.0, 40.0, 70.0, 4000.0]),
    ),
    max_size=60,
)


@cases(60)
@given(limited, steps)
def test_both_stores_answer_every_question_alike(
    redis_url: str, limits: Limits, plan: list[tuple[str, int, int | None, float]]
) -> None:
    async def compare() -> None:
        clock = Clock()
        shared = fresh(redis_url).limits("a", limits, clock=clock, lease_s=10.0**6)
        own = Limiter(limits, clock)
        names = 0
        for what, which, used, seconds in plan:
            call = f"c{which % names}" if names else "c0"
            if what == "wait":
                clock.now += seconds
            elif what == "ended":
                await shared.ended(call, used)
                own.ended(call, used)
            elif what == "give_back":
                await shared.give_back(call)
                own.cancel(call)
            else:
                if what == "new":
                    call, names = f"c{names}", names + 1
                tokens = 1 + which % 40
                assert await shared.admit(call, tokens) == own.admit(call, tokens)
        await shared.aclose()

    asyncio.run(compare())


async def test_D22_what_can_never_pass_is_refused_without_a_question(redis_url: str) -> None:
    limits = RedisServer("redis://127.0.0.1:1/0").limits("a", Limits(tokens_per_minute=100))
    with pytest.raises(NeverAdmitted, match="tokens_per_minute is 100"):
        await limits.admit("large", 101)
    await limits.aclose()


async def test_one_that_is_cancelled_gives_its_booking_back(redis_url: str) -> None:
    limits = fresh(redis_url).limits("a", Limits(requests_per_minute=10))
    for number in range(10):
        assert await limits.admit(f"first{number}", 1) == 0.0
    gone = [asyncio.create_task(limits.admit(f"gone{number}", 1)) for number in range(40)]
    await asyncio.sleep(0.002)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    kept = sum(not task.cancelled() for task in gone)
    assert kept < 40, "all had been answered: nothing was cancelled"
    assert await limits.admit("next", 1) < 63 + 7 * kept
    await limits.aclose()


LEASE_S = 1.5
"""Short; a holder on a busy machine still renews it in time."""


async def test_the_open_requests_of_a_dead_holder_are_free_after_a_while(redis_url: str) -> None:
    server = fresh(redis_url)
    dead = server.limits("a", Limits(concurrency=1), lease_s=LEASE_S)
    alive = server.limits("a", Limits(concurrency=1), lease_s=LEASE_S)
    assert await dead.admit("held", 1) == 0.0
    assert await alive.admit("next", 1) > 0
    await asyncio.sleep(LEASE_S + 0.3)
    assert await alive.admit("next", 1) > 0, "the holder lives: its lease is renewed"
    await dead.aclose()
    async with asyncio.timeout(30):
        while await alive.admit("next", 1):
            await asyncio.sleep(0.1)
    await alive.aclose()


async def test_what_was_open_ends_once(redis_url: str) -> None:
    limits = fresh(redis_url).limits("a", Limits(concurrency=2))
    assert await limits.admit("a", 1) == 0.0
    assert await limits.admit("b", 1) == 0.0
    await limits.ended("a", None)
    await limits.ended("a", None)
    assert await limits.admit("c", 1) == 0.0
    assert await limits.admit("d", 1) > 0
    await limits.aclose()


async def test_true_usage_counts_instead_of_the_booking(redis_url: str) -> None:
    limits = fresh(redis_url).limits("a", Limits(tokens_per_minute=1000, burst=1))
    assert await limits.admit("a", 1000) == 0.0
    await limits.ended("a", 100)
    assert await limits.admit("b", 900) == 0.0
    assert await limits.admit("c", 1) > 50
    await limits.aclose()


async def test_accounts_do_not_share(redis_url: str) -> None:
    server = fresh(redis_url)
    one = server.limits("one", Limits(requests_per_minute=1))
    other = server.limits("other", Limits(requests_per_minute=1))
    assert await one.admit("a", 1) == 0.0
    assert await other.admit("a", 1) == 0.0
    assert await one.admit("b", 1) > 0
    await one.aclose()
    await other.aclose()


async def test_all_that_is_kept_expires(redis_url: str) -> None:
    server = RedisServer(redis_url, prefix := f"test:{uuid.uuid4().hex}")
    limits = server.limits("a", Limits(requests_per_minute=60, requests_per_day=1000))
    assert await limits.admit("a", 1) == 0.0
    assert await limits.admit("b", 1) == 0.0
    await limits.ended("a", 1)
    redis: Any = Redis.from_url(redis_url, decode_responses=True)
    left = {key: await redis.ttl(key) async for key in redis.scan_iter(f"{prefix}:*")}
    assert all(0 < seconds <= 3 * 86400 for seconds in left.values())
    minute = {key: seconds for key, seconds in left.items() if "requests_per_minute:" in key}
    assert len(minute) >= 2
    assert max(minute.values()) < 130
    assert list(await redis.hgetall(f"{prefix}:{{a}}:records")) == ["b"]
    await redis.aclose()
    await limits.aclose()


CALLER = """
import asyncio, json, sys, time
from providers.policy import Limits
from providers.redis_limits import RedisServer

async def main(url, prefix, limits, name, calls):
    account = RedisServer(url, prefix).limits("a", Limits.model_validate_json(limits))

    async def call(number):
        while wait := await account.admit(f"{name}{number}", 10):
            await asyncio.sleep(wait)
        print(json.dumps([time.time(), 10]), flush=True)
        await account.ended(f"{name}{number}", 10)

    await asyncio.gather(*(call(number) for number in range(calls)))
    await account.aclose()

url, prefix, limits, name, calls = sys.argv[1:]
asyncio.run(main(url, prefix, limits, name, int(calls)))
"""


def test_two_processes_share_one_limit(redis_url: str) -> None:
    limits = Limits(requests_per_minute=600, tokens_per_minute=6000, burst=0.02)
    prefix = f"test:{uuid.uuid4().hex}"
    began = time.monotonic()
    callers = [
        program(CALLER, redis_url, prefix, limits.model_dump_json(), name, 40) for name in "pq"
    ]
    lines = [caller.communicate(timeout=60)[0].splitlines() for caller in callers]
    assert [len(found) for found in lines] == [40, 40]
    made = sorted(json.loads(line)[0] for found in lines for line in found)
    # A burst of 12, and the others evenly: each process alone would have taken half as long.
    assert made[-1] - made[0] > 68 * 62 / 600 - 0.5
    assert time.monotonic() - began < 60
    assert broken([Made(at, 10) for at in made], limits) == []


async def test_without_its_server_nothing_is_admitted_and_the_setting_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Policy.model_validate({"providers": {"openai": {"limits": {"concurrency": 1}}}})
    with running_redis(tmp_path / "redis") as url:
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        secret = url.replace("redis://", "redis://:s3cret@")
        limits = open_limits(policy, url)["openai"]
        assert await limits.admit("a", 1) == 0.0
    with pytest.raises(LimitsUnreachable, match=r"CALLBOARD_REDIS_URL") as error:
        await limits.admit("b", 1)
    assert f"127.0.0.1:{port}" in str(error.value)
    with caplog.at_level(logging.WARNING):
        await limits.ended("a", 10)
        await limits.give_back("b")
    assert caplog.text.count("CALLBOARD_REDIS_URL") == 2
    refused = open_limits(policy, secret)["openai"]
    with pytest.raises(LimitsUnreachable) as error:
        await refused.admit("b", 1)
    assert "s3cret" not in str(error.value)
    with running_redis(tmp_path / "redis", port):
        assert await limits.admit("b", 1) == 0.0, "it goes on when the server is back"
    await limits.aclose()
    await refused.aclose()


async def test_a_long_queue_makes_no_question_slow(redis_url: str) -> None:
    """A script stops everybody else's questions. The best of ten counts, not the machine's load."""
    limits = fresh(redis_url).limits(
        "a", Limits(requests_per_minute=600, requests_per_hour=10**5, tokens_per_minute=10**6)
    )
    redis: Any = Redis.from_url(redis_url)
    for number in range(1000):
        await limits.admit(f"c{number}", 100)
    took = []
    for first in range(1000, 1100, 10):
        await redis.config_resetstat()
        for number in range(first, first + 10):
            await limits.admit(f"c{number}", 100)
        took.append((await redis.info("commandstats"))["cmdstat_evalsha"]["usec_per_call"])
    assert min(took) < 3000, took
    await redis.aclose()
    await limits.aclose()
