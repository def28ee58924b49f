"""Spools under killed writers, many writers and full disks: real processes."""

import asyncio
import itertools
import json
import time
from pathlib import Path

import pytest

from stores.assembling import TextAssembler
from stores.spools import FileSpools
from tests.support.programs import kill, line_of, program, tell

pytestmark = pytest.mark.integration

RUN = "run-1"


WRITE_UNTIL_KILLED = """
import sys
from stores.spools import FileSpools

attempt = FileSpools(sys.argv[1]).open_attempt("run-1", "a", int(sys.argv[2]), int(sys.argv[3]))
number = 0
while True:
    attempt.delta(f"{number} " * 2_000)
    number += 1
    if number == 3:
        print("written", flush=True)
"""


def expected_start(number_of_chars: int) -> str:
    """The text that the writer above writes, at least so long."""
    pieces, size = [], 0
    while size < number_of_chars:
        pieces.append(f"{len(pieces)} " * 2_000)
        size += len(pieces[-1])
    return "".join(pieces)


def test_writers_killed_in_mid_write_leave_a_readable_spool(tmp_path: Path) -> None:
    spools = FileSpools(tmp_path)
    kept = ""
    for number in (1, 2, 3, 4):
        process = program(WRITE_UNTIL_KILLED, tmp_path, number, len(kept))
        line_of(process)
        time.sleep(0.004 * number)
        kill(process)
        partial = asyncio.run(spools.partial(RUN, "a", number))
        assert partial.startswith(kept)
        own = partial[len(kept) :]
        assert own
        assert expected_start(len(own)).startswith(own)
        kept = partial[: len(kept) + 100]


def test_a_write_torn_by_a_killed_process_costs_the_others_nothing(tmp_path: Path) -> None:
    """What a kill may leave behind at worst, while another process goes on writing."""
    spools = FileSpools(tmp_path)
    healthy = spools.open_attempt(RUN, "healthy", 1)
    healthy.delta("one ")
    with spools.path(RUN).open("ab") as file:
        file.write(b'\n{"kind":"delta","agent":"killed","attempt":1,"se')
    healthy.delta("two")
    healthy.ended()
    healthy.close()
    assert asyncio.run(spools.partial(RUN, "healthy", 1)) == "one two"


WRITE_MANY = """
import sys, time
from stores.spools import FileSpools

spools = FileSpools(sys.argv[1])
attempts = [spools.open_attempt("run-1", f"{sys.argv[2]}{n}", 1) for n in range(25)]
print("ready", flush=True)
sys.stdin.readline()
for number in range(80):
    for attempt in attempts:
        attempt.delta(f"<{number}>" + "x" * 3_000)
    time.sleep(0.001)  # for the other process: on one processor, too, both write in turns
for attempt in attempts:
    attempt.ended("stop")
    attempt.close()
    assert attempt.dropped == 0
"""


async def test_50_writers_in_two_processes_tear_no_record(tmp_path: Path) -> None:
    spools = FileSpools(tmp_path)
    processes = [program(WRITE_MANY, tmp_path, letter) for letter in "pq"]
    for process in processes:
        line_of(process)
    for process in processes:
        tell(process, "go")

    assembler, ended = TextAssembler(), 0
    async with asyncio.timeout(60):
        async for record, _ in spools.follow(RUN):
            assert not record.gap
            assembler.feed(record)
            ended += record.kind == "ended"
            if ended == 50:
                break
    assert [process.wait(30) for process in processes] == [0, 0]
    for process in processes:
        process.communicate()
    text = "".join(f"<{number}>" + "x" * 3_000 for number in range(80))
    assert len(assembler.agents) == 50
    assert all(assembler.text(agent) == text for agent in assembler.agents)

    lines = [line for line in spools.path(RUN).read_bytes().split(b"\n") if line]
    writers = [json.loads(line)["agent"][0] for line in lines]
    assert len(lines) == 50 * (1 + 80 + 1)
    assert sum(one != other for one, other in itertools.pairwise(writers)) > 2


FULL_DISK = """
import resource, sys
from pathlib import Path
from stores.spools import FileSpools

spools = FileSpools(sys.argv[1])
attempt = spools.open_attempt("run-1", "a", 1)
for _ in range(5):
    attempt.delta("x" * 3_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (spools.path("run-1").stat().st_size + 1_000, -1))
for _ in range(5):
    attempt.delta("y" * 3_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
attempt.delta("z" * 3_000)
attempt.ended("stop")
attempt.close()
again = spools.open_attempt("run-1", "a", 2, offset=0)
again.delta("whole")
again.ended()
again.close()
print(attempt.dropped)
"""


async def test_a_full_disk_costs_records_but_no_call_and_is_flagged(tmp_path: Path) -> None:
    process = program(FULL_DISK, tmp_path)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "5\n")
    spools = FileSpools(tmp_path)
    assert b"y" * 500 in spools.path(RUN).read_bytes(), "no write was cut short"
    assert await spools.partial(RUN, "a", 1) == "x" * 15_000
    assert await spools.partial(RUN, "a", 2) == "whole"
    stop = asyncio.Event()
    stop.set()
    records = [record async for record, _ in spools.follow(RUN, stop=stop)]
    assert [r.text[:1] for r in records if r.kind == "delta"] == [*"xxxxx", "z", "w"]
    assert [r.text[:1] for r in records if r.gap] == ["z"]


async def test_viewers_lag_behind_by_milliseconds(tmp_path: Path) -> None:
    spools = FileSpools(tmp_path)
    lags: list[float] = []

    async def view() -> None:
        async for record, _ in spools.follow(RUN):
            if record.kind == "ended":
                return
            if record.text:
                lags.append(time.monotonic() - float(record.text.strip().split(" ")[-1]))

    viewing = asyncio.create_task(view())
    attempt = spools.open_attempt(RUN, "a", 1)
    for _ in range(40):
        attempt.delta(f"{time.monotonic()} ")
        await asyncio.sleep(0.025)
    attempt.ended()
    attempt.close()
    await asyncio.wait_for(viewing, 30)
    assert len(lags) >= 20
    assert sorted(lags)[len(lags) // 2] < 0.06
