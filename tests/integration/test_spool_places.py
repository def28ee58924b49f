"""What every place for spools promises: in files and in a real Redis server, one suite."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from contracts.tools import ToolEventRecord, spool_agent
from stores.assembling import TextAssembler, coherent
from stores.sealing import AesGcm
from stores.spooling import Spools
from stores.spoollines import TEXT_CHARS
from tests.support.places import Place, Told
from tests.support.programs import kill, line_of, tell

pytestmark = pytest.mark.integration

RUN = "run 1/ü"


@pytest.fixture(params=["files", "redis"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "files":
        yield Place("files", f"file://{tmp_path / 'spools'}")
        return
    url = request.getfixturevalue("redis_url")
    async with Redis.from_url(url) as client:
        await client.flushall()
    yield Place("redis", url)


@pytest.fixture
async def spools(place: Place) -> AsyncIterator[Spools]:
    opened = place.open()
    yield opened
    await opened.aclose()


async def written(spools: Spools, from_offset: int = 0, run_id: str = RUN) -> Told:
    """Return what a reader finds who comes now, when all is sent."""
    await spools.aclose()
    stop = asyncio.Event()
    stop.set()
    async with contextlib.aclosing(spools.follow(run_id, from_offset, stop)) as records:
        return [item async for item in records]


async def read_until_ended(spools: Spools, ends: int = 1) -> TextAssembler:
    """Read along until so many answers are whole."""
    assembler = TextAssembler()
    async with asyncio.timeout(60), contextlib.aclosing(spools.follow(RUN)) as records:
        async for record, _ in records:
            assert not record.gap
            assembler.feed(record)
            ends -= record.kind == "ended"
            if not ends:
                break
    return assembler


def tell_story(spools: Spools) -> str:
    """Write two attempts, the first of which goes on when it no longer counts."""
    first = spools.open_attempt(RUN, "a", 1)
    first.delta("Hello wor")
    second = spools.open_attempt(RUN, "a", 2, offset=6)
    second.delta("you")
    first.delta("ld, stale")
    first.ended("stop")
    other = spools.open_attempt(RUN, "b", 1)
    other.delta("other")
    second.delta(" 🙂\n" + "x" * 25_000)
    second.ended("stop")
    for attempt in (first, second, other):
        attempt.close()
    return "Hello you 🙂\n" + "x" * 25_000


async def test_an_attempt_is_told_from_its_beginning_to_its_end(spools: Spools) -> None:
    attempt = spools.open_attempt(RUN, "a", 1, offset=3)
    attempt.delta("one ")
    attempt.delta("two")
    attempt.ended("stop")
    attempt.close()
    records = [record for record, _ in await written(spools)]
    assert [(r.kind, r.seq, r.offset, r.text, r.note) for r in records] == [
        ("superseded", 0, 3, "", ""),
        ("delta", 1, 3, "one ", ""),
        ("delta", 2, 7, "two", ""),
        ("ended", 3, 10, "", "stop"),
    ]
    assert not any(record.gap for record in records)
    assert attempt.dropped == 0


async def test_higher_attempts_fence_lower_ones_off(spools: Spools) -> None:
    text = tell_story(spools)
    records = [record for record, _ in await written(spools)]
    assert coherent(records) == {"a": text, "b": "other"}
    seen = [record.attempt for record in records if record.agent == "a"]
    assert seen == sorted(seen), "a stale record was passed on"
    assert await spools.partial(RUN, "a", 1) == "Hello world, stale"
    assert await spools.partial(RUN, "a", 2) == text
    assert await spools.partial(RUN, "b", 1) == "other"
    assert await spools.partial(RUN, "b", 2) == ""
    assert await spools.partial("no such run", "a", 1) == ""


async def test_a_reader_goes_on_from_every_offset_it_was_given(spools: Spools) -> None:
    for number in range(8):
        tell = spools.open_attempt(RUN, "a", number + 1)
        tell.delta("x" * (2 * TEXT_CHARS + number))
        tell.close()
    whole = await written(spools)
    assert len(whole) == 8 * 4 - 1
    for at, (_, offset) in enumerate(whole):
        assert await written(spools, offset) == whole[at + 1 :]
    assert [offset for _, offset in whole] == sorted({offset for _, offset in whole})


async def test_a_viewer_that_was_cut_off_anywhere_ends_with_the_same_text(
    spools: Spools,
) -> None:
    """Cut at every record, and a little before: what comes twice changes nothing."""
    text = tell_story(spools)
    whole = await written(spools)
    for at, (_, offset) in enumerate(whole):
        for place in (offset, offset - 1):
            viewer = TextAssembler()
            for record, _ in [*whole[: at + 1], *await written(spools, place)]:
                viewer.feed(record)
            assert (viewer.text("a"), viewer.gap("a")) == (text, False)


async def test_a_second_viewer_and_a_late_one_see_the_same(place: Place, spools: Spools) -> None:
    early = asyncio.create_task(read_until_ended(spools, 2))
    second = asyncio.create_task(read_until_ended(place.open(), 2))
    await asyncio.sleep(0.05)
    for number in (1, 2):
        attempt = spools.open_attempt(RUN, "a", number)
        for piece in range(50):
            attempt.delta(f"{piece} ")
            await asyncio.sleep(0.001)
        attempt.ended()
        attempt.close()
    late = await read_until_ended(place.open(), 2)
    expected = "".join(f"{piece} " for piece in range(50))
    for viewer in (await early, await second, late):
        assert viewer.text("a") == expected
        assert viewer.attempt("a") == 2


async def test_stop_ends_after_what_was_written(spools: Spools) -> None:
    stop = asyncio.Event()
    attempt = spools.open_attempt(RUN, "a", 1)
    seen = []
    async with asyncio.timeout(30):
        async for record, _ in spools.follow(RUN, stop=stop):
            seen.append(record.text)
            if len(seen) == 1:
                attempt.delta("last words")
                await spools.aclose()
                stop.set()
    attempt.close()
    assert seen == ["", "last words"]


async def test_stop_ends_a_reader_that_waits_for_nothing(spools: Spools) -> None:
    stop = asyncio.Event()

    async def follow() -> Told:
        return [item async for item in spools.follow(RUN, stop=stop)]

    reading = asyncio.create_task(follow())
    await asyncio.sleep(0.1)
    stop.set()
    assert await asyncio.wait_for(reading, 30) == []


async def test_the_end_is_where_later_things_begin(spools: Spools) -> None:
    assert await spools.end(RUN) == 0
    attempt = spools.open_attempt(RUN, "a", 1)
    attempt.delta("before")
    await spools.aclose()
    end = await spools.end(RUN)
    assert end > 0
    assert await written(spools, end) == []
    attempt.ended("after")
    attempt.close()
    assert [record.note for record, _ in await written(spools, end)] == ["after"]


async def test_a_slow_reader_holds_up_nobody_and_misses_nothing(spools: Spools) -> None:
    reading = spools.follow(RUN)
    attempt = spools.open_attempt(RUN, "a", 1)
    viewer = TextAssembler()
    viewer.feed((await anext(reading))[0])
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(300):
        attempt.delta("x" * TEXT_CHARS)
    attempt.ended()
    attempt.close()
    assert loop.time() - began < 3, "the writer waited for someone"
    async with asyncio.timeout(30):
        async for record, _ in reading:
            viewer.feed(record)
            await asyncio.sleep(0.001)
            if record.kind == "ended":
                break
    await reading.aclose()
    assert attempt.dropped == 0
    assert viewer.text("a") == "x" * 300 * TEXT_CHARS
    assert not viewer.gap("a")


KEYED = AesGcm([("k", base64.b64encode(bytes(32)).decode())])


async def test_what_is_sealed_is_read_with_the_key_only(place: Place) -> None:
    sealed = place.open(KEYED)
    attempt = sealed.open_attempt(RUN, "a", 1)
    attempt.delta("secret")
    event = ToolEventRecord(event="started", tool="t", call_id="c", at=datetime.now(UTC), data={})
    assert sealed.tell(RUN, spool_agent("a", "c"), 1, 0, event)
    attempt.ended()
    attempt.close()
    records = [record for record, _ in await written(sealed)]
    assert coherent(records) == {"a": "secret"}
    assert [record.tool for record in records if record.tool] == [event]
    assert await sealed.partial(RUN, "a", 1) == "secret"
    assert await written(place.open()) == []
    assert await place.open().partial(RUN, "a", 1) == ""


async def test_an_event_too_large_for_a_line_is_told(spools: Spools) -> None:
    event = ToolEventRecord(
        event="started", tool="t", call_id="c", at=datetime.now(UTC), data={"x": "y" * 100_000}
    )
    assert not spools.tell(RUN, spool_agent("a", "c"), 1, 0, event)
    assert await written(spools) == []


async def test_what_is_kept_is_listed_and_removed(spools: Spools) -> None:
    for run_id in ("one", "../two", "x" * 500):
        spools.open_attempt(run_id, "a", 1).close()
    await spools.aclose()
    kept = {spool.name: spool for spool in await spools.kept()}
    assert set(kept) == {spools.name(run_id) for run_id in ("one", "../two", "x" * 500)}
    for spool in kept.values():
        assert spool.size_bytes > 50
        assert abs(datetime.now(UTC) - spool.modified) < timedelta(seconds=60)
    await spools.remove(spools.name("../two"))
    await spools.remove(spools.name("../two"))
    assert {spool.name for spool in await spools.kept()} == {
        spools.name(run_id) for run_id in ("one", "x" * 500)
    }


WRITE_UNTIL_KILLED = """
attempt = spools.open_attempt("run 1/ü", "a", int(sys.argv[2]), int(sys.argv[3]))
print("ready", flush=True)
number = 0
while True:
    attempt.delta(f"{number} " * 200)
    number += 1
    await asyncio.sleep(0.0005)
"""


async def test_a_killed_writer_leaves_what_the_next_attempt_goes_on_from(
    place: Place, spools: Spools
) -> None:
    kept = ""
    for number in (1, 2):
        process = place.process(WRITE_UNTIL_KILLED, number, len(kept))
        try:
            while len(await spools.partial(RUN, "a", number)) < len(kept) + 2_000:
                assert process.poll() is None
                await asyncio.sleep(0.01)
        finally:
            kill(process)
        partial = await spools.partial(RUN, "a", number)
        assert partial.startswith(kept)
        own = partial[len(kept) :]
        pieces = "".join(f"{n} " * 200 for n in range(len(own) // 400 + 2))
        assert pieces.startswith(own)
        kept = partial[: len(kept) + 1_500]
    last = spools.open_attempt(RUN, "a", 3, offset=len(kept))
    last.delta("whole")
    last.ended()
    last.close()
    records = [record for record, _ in await written(spools)]
    assert coherent(records) == {"a": kept + "whole"}


WRITE_MANY = """
attempts = [spools.open_attempt("run 1/ü", f"{sys.argv[2]}{n}", 1) for n in range(25)]
print("ready", flush=True)
sys.stdin.readline()
for number in range(15):
    for attempt in attempts:
        attempt.delta(f"<{number}>" + "x" * 3_000)
    await asyncio.sleep(0.001)
for attempt in attempts:
    attempt.ended("stop")
    attempt.close()
    assert attempt.dropped == 0
"""


async def test_50_writers_in_two_processes_lose_nothing(place: Place, spools: Spools) -> None:
    processes = [place.process(WRITE_MANY, letter) for letter in "pq"]
    for process in processes:
        line_of(process)
    reading = asyncio.create_task(read_until_ended(spools, 50))
    for process in processes:
        tell(process, "go")
    viewer = await reading
    for process in processes:
        process.communicate(timeout=30)
        assert process.returncode == 0
    text = "".join(f"<{number}>" + "x" * 3_000 for number in range(15))
    assert len(viewer.agents) == 50
    assert all(viewer.text(agent) == text for agent in viewer.agents)
