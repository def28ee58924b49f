"""Spools as they are read: by offset, coherent, and the text as an attempt left it."""

import asyncio
import contextlib
import errno
import os

import pytest

from contracts.spools import SpoolRecord
from stores.exceptions import StoreUnavailable
from stores.spoollines import TEXT_CHARS
from stores.spoolreading import READ_BYTES
from stores.spools import FileSpools
from tests.unit.spool_files import RUN, line, partial, write_lines, written

pytestmark = pytest.mark.unit


async def test_a_reader_may_come_before_the_first_record(spools: FileSpools) -> None:
    async def write_later() -> None:
        await asyncio.sleep(0.03)
        attempt = spools.open_attempt(RUN, "a", 1)
        attempt.delta("hello")
        attempt.close()

    writing = asyncio.create_task(write_later())
    async with contextlib.aclosing(spools.follow(RUN)) as records:
        first, _ = await asyncio.wait_for(anext(records), 30)
        second, _ = await asyncio.wait_for(anext(records), 30)
    await writing
    assert (first.kind, second.text) == ("superseded", "hello")


async def test_stop_ends_after_what_was_written(spools: FileSpools) -> None:
    stop = asyncio.Event()
    attempt = spools.open_attempt(RUN, "a", 1)
    seen = []
    async with asyncio.timeout(30):
        async for record, _ in spools.follow(RUN, stop=stop):
            seen.append(record.text)
            if len(seen) == 1:
                attempt.delta("last words")
                stop.set()
    attempt.close()
    assert seen == ["", "last words"]


async def test_stop_ends_only_after_all_of_a_long_spool(spools: FileSpools) -> None:
    attempt = spools.open_attempt(RUN, "a", 1)
    for _ in range(100):
        attempt.delta("x" * TEXT_CHARS)
    attempt.ended()
    attempt.close()
    assert spools.path(RUN).stat().st_size > 3 * READ_BYTES
    assert (await written(spools))[-1][0].kind == "ended"


async def test_a_reader_goes_on_from_every_offset_it_was_given(spools: FileSpools) -> None:
    attempt = spools.open_attempt(RUN, "a", 1)
    for number in range(20):
        attempt.delta(f"{number} " * 900)
    attempt.close()
    whole = await written(spools)
    assert len(whole) > 12
    for at, (_, offset) in enumerate(whole):
        assert await written(spools, offset) == whole[at + 1 :]


async def test_the_tail_without_a_newline_is_kept_for_later(spools: FileSpools) -> None:
    told = line(SpoolRecord(kind="delta", agent="a", attempt=1, seq=0, text="whole"))
    write_lines(spools, told[:20])
    async with contextlib.aclosing(spools.follow(RUN)) as records:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(
                asyncio.shield(waiting := asyncio.ensure_future(anext(records))), 0.05
            )
        write_lines(spools, told[20:])
        record, offset = await asyncio.wait_for(waiting, 30)
    assert record.text == "whole"
    assert offset == len(told)


async def test_torn_lines_and_foreign_ones_are_skipped(spools: FileSpools) -> None:
    good = SpoolRecord(kind="delta", agent="a", attempt=1, seq=0, text="good")
    torn = line(good.model_copy(update={"seq": 9}))[:-9]
    write_lines(spools, b"{}\n[1]\nnull\n\xff\xfe\n" + torn + line(good) + torn)
    assert [record for record, _ in await written(spools)] == [good]


async def test_lower_attempts_and_repeated_records_are_dropped_and_gaps_flagged(
    spools: FileSpools,
) -> None:
    told = [(1, 0), (1, 1), (1, 1), (1, 3), (2, 0), (1, 4), (2, 1), (3, 2), (3, 0)]
    for attempt, seq in told:
        write_lines(
            spools, line(SpoolRecord(kind="delta", agent="a", attempt=attempt, seq=seq, text="x"))
        )
    seen = [(r.attempt, r.seq, r.gap) for r, _ in await written(spools)]
    assert seen == [
        (1, 0, False),
        (1, 1, False),
        (1, 3, True),
        (2, 0, False),
        (2, 1, False),
        (3, 2, True),
    ]
    write_lines(spools, line(SpoolRecord(kind="delta", agent="b", attempt=1, seq=1, text="x")))
    assert (await written(spools))[-1][0].gap
    assert not (await written(spools, from_offset=1))[0][0].gap


async def test_a_spool_that_was_replaced_is_read_from_its_beginning(spools: FileSpools) -> None:
    one = line(SpoolRecord(kind="delta", agent="a", attempt=1, seq=0, text="one"))
    two = line(SpoolRecord(kind="delta", agent="a", attempt=2, seq=0, text="two"))
    write_lines(spools, one)
    async with contextlib.aclosing(spools.follow(RUN)) as records:
        assert (await anext(records))[0].text == "one"
        spools.path(RUN).unlink()
        write_lines(spools, two)
        record, offset = await asyncio.wait_for(anext(records), 30)
    assert (record.text, offset) == ("two", len(two))


async def test_a_spool_that_cannot_be_read_says_so(spools: FileSpools) -> None:
    spools.path(RUN).mkdir(parents=True)
    with pytest.raises(StoreUnavailable, match=os.strerror(errno.EISDIR)):
        await written(spools)
    assert await spools.partial(RUN, "a", 1) == ""


async def test_readers_leave_no_descriptor_open(spools: FileSpools) -> None:
    spools.open_attempt(RUN, "a", 1).close()
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        records = spools.follow(RUN)
        await anext(records)
        await records.aclose()
        await spools.partial(RUN, "a", 1)
        await written(spools)
    assert len(os.listdir("/dev/fd")) == before


# partial texts


def test_partial_is_the_text_as_that_attempt_left_it(spools: FileSpools) -> None:
    first = spools.open_attempt(RUN, "a", 1)
    first.delta("Hello wor")
    second = spools.open_attempt(RUN, "a", 2, offset=6)
    second.delta("you")
    other = spools.open_attempt(RUN, "b", 1)
    other.delta("other")
    for attempt in (first, second, other):
        attempt.close()
    assert partial(spools, RUN, "a", 1) == "Hello wor"
    assert partial(spools, RUN, "a", 2) == "Hello you"
    assert partial(spools, RUN, "b", 1) == "other"
    assert partial(spools, RUN, "a", 3) == ""
    assert partial(spools, RUN, "c", 1) == ""
    assert partial(spools, "no such run", "a", 1) == ""


def test_partial_ends_before_the_first_gap(spools: FileSpools) -> None:
    for seq, offset, text in ((0, 0, "one "), (1, 4, "two "), (3, 14, "four")):
        record = SpoolRecord(kind="delta", agent="a", attempt=1, seq=seq, offset=offset, text=text)
        write_lines(spools, line(record))
    assert partial(spools, RUN, "a", 1) == "one two "
