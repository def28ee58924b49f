"""Spools as files: written without ever failing, read by offset, coherent through every loss."""

import asyncio
import contextlib
import errno
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.spools import SpoolRecord
from stores.assembling import TextAssembler, coherent
from stores.exceptions import StoreUnavailable
from stores.sealing import PLAIN
from stores.spoollines import LINE_BYTES, TEXT_CHARS, decode, encode
from stores.spoolreading import READ_BYTES, LineTail
from stores.spools import FileSpools
from stores.spoolwriting import COALESCE_CHARS, COALESCE_S
from tests.support.cases import cases
from tests.unit.spool_stories import AGENT, Story, stories

pytestmark = pytest.mark.unit

RUN = "run-1"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def spools(tmp_path: Path) -> FileSpools:
    return FileSpools(tmp_path / "spools")


async def written(
    spools: FileSpools, from_offset: int = 0, run_id: str = RUN
) -> list[tuple[SpoolRecord, int]]:
    """Return what a reader that comes now finds."""
    stop = asyncio.Event()
    stop.set()
    return [item async for item in spools.follow(run_id, from_offset, stop=stop)]


def partial(spools: FileSpools, run_id: str, agent: str, attempt: int) -> str:
    return asyncio.run(spools.partial(run_id, agent, attempt))


def write_lines(spools: FileSpools, data: bytes) -> None:
    spools.path(RUN).parent.mkdir(exist_ok=True)
    with spools.path(RUN).open("ab") as file:
        file.write(data)


def line(record: SpoolRecord) -> bytes:
    return b"\n" + encode(record.model_dump(exclude={"gap"}), PLAIN) + b"\n"


# writing


async def test_an_attempt_is_told_from_its_beginning_to_its_end(spools: FileSpools) -> None:
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
    assert {(r.agent, r.attempt, r.gap) for r in records} == {("a", 1, False)}
    assert attempt.dropped == 0


def test_the_first_delta_is_written_at_once_and_later_ones_are_joined(tmp_path: Path) -> None:
    clock = Clock()
    spools = FileSpools(tmp_path, clock=clock)
    attempt = spools.open_attempt(RUN, "a", 1)
    attempt.delta("first")
    assert partial(spools, RUN, "a", 1) == "first"
    for _ in range(50):
        attempt.delta("x")
    assert partial(spools, RUN, "a", 1) == "first"
    clock.now += COALESCE_S
    attempt.delta("y")
    assert partial(spools, RUN, "a", 1) == "first" + "x" * 50 + "y"
    attempt.delta("z")
    attempt.close()
    assert partial(spools, RUN, "a", 1) == "first" + "x" * 50 + "yz"
    assert spools.path(RUN).read_bytes().count(b'"delta"') == 3


def test_what_is_held_back_is_bounded(tmp_path: Path) -> None:
    spools = FileSpools(tmp_path, clock=Clock())
    attempt = spools.open_attempt(RUN, "a", 1)
    attempt.delta("first")
    attempt.delta("x" * COALESCE_CHARS)
    assert partial(spools, RUN, "a", 1) == "first" + "x" * COALESCE_CHARS
    attempt.close()


async def test_a_pause_of_the_provider_does_not_hold_text_back(spools: FileSpools) -> None:
    attempt = spools.open_attempt(RUN, "a", 1)
    attempt.delta("first")
    attempt.delta(" second")
    await asyncio.sleep(COALESCE_S * 5)
    assert await spools.partial(RUN, "a", 1) == "first second"
    attempt.close()


async def test_deltas_become_at_most_one_write_each_5_ms(spools: FileSpools) -> None:
    attempt = spools.open_attempt(RUN, "a", 1)
    loop = asyncio.get_running_loop()
    start = loop.time()
    for _ in range(100):
        attempt.delta("x")
        await asyncio.sleep(0.001)
    elapsed = loop.time() - start
    attempt.close()
    writes = spools.path(RUN).read_bytes().count(b'"delta"')
    assert writes <= elapsed / COALESCE_S + 2
    assert await spools.partial(RUN, "a", 1) == "x" * 100


def test_long_text_is_split_into_short_lines(spools: FileSpools) -> None:
    text = "\x00" * (3 * TEXT_CHARS + 1)
    attempt = spools.open_attempt(RUN, "a", 1)
    attempt.delta(text)
    attempt.ended("n" * 100_000)
    attempt.close()
    lines = spools.path(RUN).read_bytes().split(b"\n")
    assert max(map(len, lines)) < LINE_BYTES
    assert partial(spools, RUN, "a", 1) == text


def test_nothing_is_written_after_close(spools: FileSpools) -> None:
    attempt = spools.open_attempt(RUN, "a", 1)
    attempt.close()
    size = spools.path(RUN).stat().st_size
    attempt.delta("late")
    attempt.ended()
    attempt.close()
    assert spools.path(RUN).stat().st_size == size


def test_half_a_surrogate_pair_keeps_its_place(spools: FileSpools) -> None:
    attempt = spools.open_attempt(RUN, "a", 1)
    attempt.delta("a\ud83db")
    attempt.close()
    assert partial(spools, RUN, "a", 1) == "a\ufffdb"


def test_a_spool_that_cannot_be_written_never_fails_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spools").write_text("a file where the folder should be")
    attempt = FileSpools(tmp_path / "spools").open_attempt(RUN, "a", 1)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            attempt.delta("x" * COALESCE_CHARS)
        attempt.ended()
        attempt.close()
    assert attempt.dropped >= 6
    assert len([r for r in caplog.records if "spool" in r.message]) <= 1


def test_a_late_start_still_says_where_the_attempt_begins(tmp_path: Path) -> None:
    clock = Clock()
    spools = FileSpools(tmp_path / "spools", clock=clock)
    first = spools.open_attempt(RUN, "a", 1)
    first.delta("Hello world")
    first.close()
    moved = spools.path(RUN).rename(tmp_path / "kept.jsonl")
    (tmp_path / "spools").rmdir()
    (tmp_path / "spools").write_text("in the way")
    second = spools.open_attempt(RUN, "a", 2, offset=6)
    second.delta("lost " * COALESCE_CHARS)
    (tmp_path / "spools").unlink()
    (tmp_path / "spools").mkdir()
    moved.rename(spools.path(RUN))
    dropped = second.dropped
    second.ended("too early to try again")
    assert second.dropped > dropped
    clock.now += 1
    second.delta("back")
    second.ended()
    second.close()
    assert second.dropped > 0
    assert partial(spools, RUN, "a", 2) == "Hello "


def test_a_removed_file_is_made_again(tmp_path: Path) -> None:
    clock = Clock()
    spools = FileSpools(tmp_path / "spools", clock=clock)
    attempt = spools.open_attempt(RUN, "a", 1)
    attempt.delta("first")
    spools.path(RUN).unlink()
    spools.path(RUN).parent.rmdir()
    clock.now += 1
    attempt.ended("stop")
    attempt.close()
    assert attempt.dropped == 0
    assert b'"ended"' in spools.path(RUN).read_bytes()


def test_run_ids_cannot_leave_the_folder(spools: FileSpools, tmp_path: Path) -> None:
    for run_id in ("../../escape", "/etc/x", "a/b", "..", "x" * 1_000):
        assert spools.path(run_id).parent == tmp_path / "spools"
        spools.open_attempt(run_id, "a", 1).close()
    assert len(list((tmp_path / "spools").iterdir())) == 5


def test_the_file_is_for_its_owner_only(spools: FileSpools) -> None:
    spools.open_attempt(RUN, "a", 1).close()
    assert spools.path(RUN).stat().st_mode & 0o077 == 0
    assert spools.path(RUN).parent.stat().st_mode & 0o077 == 0


# reading


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


# properties: any interleaving, torn tails, lost records, reconnection anywhere


def told_bytes(story: Story, data: st.DataObject, lossy: bool) -> bytes:
    """The file that a story leaves behind, with torn writes and, if asked, lost records."""
    file = bytearray()
    for record in story.records:
        whole = line(record)
        fate = data.draw(st.integers(0, 5))
        if fate == 0:
            file += whole[: data.draw(st.integers(0, len(whole) - 2))]
        if fate == 0 and lossy:
            continue
        file += whole
    return bytes(file)


@contextlib.contextmanager
def spool_of(content: bytes) -> Iterator[FileSpools]:
    with tempfile.TemporaryDirectory() as folder:
        spools = FileSpools(folder)
        write_lines(spools, content)
        yield spools


def read_through(spools: FileSpools, from_offset: int = 0) -> list[tuple[SpoolRecord, int]]:
    return asyncio.run(written(spools, from_offset))


@cases(60)
@given(stories(), st.data())
def test_torn_writes_cost_no_other_record(story: Story, data: st.DataObject) -> None:
    with spool_of(told_bytes(story, data, lossy=False)) as spools:
        records = [record for record, _ in read_through(spools)]
        assert coherent(records) == {AGENT: story.truths[-1]}
        assert not any(record.gap for record in records)
        latest = max(record.attempt for record in records)
        assert partial(spools, RUN, AGENT, latest) == story.truths[-1]


@cases(60)
@given(stories(), st.data())
def test_a_viewer_that_connects_again_anywhere_sees_what_another_saw(
    story: Story, data: st.DataObject
) -> None:
    content = told_bytes(story, data, lossy=True)
    own = {(r.attempt, r.seq): text for r, text in zip(story.records, story.own_texts, strict=True)}
    with spool_of(content) as spools:
        steady = TextAssembler()
        for record, _ in read_through(spools):
            steady.feed(record)
        restless, position = TextAssembler(), 0
        for _ in range(3):
            items = read_through(spools, data.draw(st.integers(0, position)))
            for record, offset in items[: data.draw(st.integers(0, len(items)))]:
                change = restless.feed(record)
                position = max(position, offset)
                if change is not None and not change.gap:
                    assert restless.text(AGENT) == own[record.attempt, record.seq]
        for record, _ in read_through(spools, position):
            restless.feed(record)
        assert restless.text(AGENT) == steady.text(AGENT)
        assert restless.gap(AGENT) == steady.gap(AGENT)


@cases(60)
@given(stories(), st.data())
def test_a_viewer_that_skipped_bytes_shows_the_same_text_or_a_gap(
    story: Story, data: st.DataObject
) -> None:
    content = told_bytes(story, data, lossy=False)
    own = {(r.attempt, r.seq): text for r, text in zip(story.records, story.own_texts, strict=True)}
    with spool_of(content) as spools:
        viewer = TextAssembler()
        for record, _ in read_through(spools, data.draw(st.integers(0, len(content)))):
            change = viewer.feed(record)
            if change is not None and not change.gap:
                assert viewer.text(AGENT) == own[record.attempt, record.seq]


@cases(60)
@given(stories(max_acts=8), st.data())
def test_lines_are_the_same_however_the_file_grows(story: Story, data: st.DataObject) -> None:
    content = b"".join(line(record) for record in story.records)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=12)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        tail = LineTail(path, 0)
        found = tail.read()
        for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
            with path.open("ab") as file:
                file.write(content[start:end])
            found += tail.read()
        tail.close()
    records = [record for text, _ in found if (record := decode(text, PLAIN))]
    assert records == story.records
    assert [end for _, end in found] == [
        at + 1 for at in range(len(content)) if content[at : at + 1] == b"\n"
    ]
