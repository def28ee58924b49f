"""Spools as files: what is written, when, and that nothing of it ever fails a call."""

import asyncio
import logging
from pathlib import Path

import pytest

from stores.spoollines import LINE_BYTES, TEXT_CHARS
from stores.spools import FileSpools
from stores.spoolwriting import COALESCE_CHARS, COALESCE_S
from tests.unit.spool_files import RUN, Clock, partial, written

pytestmark = pytest.mark.unit


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
