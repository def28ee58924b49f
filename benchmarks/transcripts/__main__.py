"""Measures an agent of many tool turns: Callboard, by hand in bare Temporal, and other libraries.

All ways take turns in one run on one embedded server, each in a worker process of its own, and
ratios are made round by round: what else the machine does happens to all. Prints Markdown, for
docs/benchmarks.md. `python -m benchmarks.transcripts turns` (or slope, long) measures a part;
`long` only when it is named. The other libraries are installed into an environment of their own
at the first run; `--no-peers` leaves them out.
"""

import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from benchmarks.transcripts import long, story
from benchmarks.transcripts.peers import environment
from benchmarks.transcripts.tables import OURS, OURS_UNSAFE, REFERENCE, heading, row
from benchmarks.transcripts.ways import PEERS, Sample, Slope, Unanswered, Way, all_ways
from client.devserver.binary import find_server
from client.devserver.server import DevServer
from client.searchability import ensure_search_attributes

SIZE = 2_000
ROUNDS = {30: 7, 150: 2}
"""By the tool turns of a conversation."""

PEER_ROUNDS = {30: 7, 150: 1}
"""Of the other libraries, whose histories of 150 turns take minutes."""

WARM_UP = {30: 1}
REPLAYS = {30: 3, 150: 2}
HISTORY_BYTES = 2_048

LONG = 400
EARLY, LATE = (10, 200), (200, 390)
"""Equally many turns. What comes after is the conversation's end."""

SLOPE_REPLAYS = 11
FLAT = 1.05
"""What a late turn may cost, by an early one."""

PARTS = ("turns", "slope")
"""Measured unless others are named."""


@dataclass(frozen=True)
class Bench:
    """Where it is measured."""

    ways: dict[str, Way]
    folder: Path


async def measure_turns(bench: Bench) -> None:
    """Measure conversations of both lengths in all ways."""
    for turns, rounds in ROUNDS.items():
        warm_up = WARM_UP.get(turns, 0)
        found: dict[str, list[Sample]] = {name: [] for name in bench.ways}
        ended: dict[str, str] = {}
        for number in range(warm_up + rounds):
            for name in list(found):
                if name in PEERS and number >= warm_up + PEER_ROUNDS[turns]:
                    continue
                try:
                    sample = await bench.ways[name].sample(turns, SIZE)
                except Unanswered as error:
                    _progress(f"{turns} turns, round {number}, {name}: {error}")
                    ended[name] = str(error)
                    del found[name]
                    continue
                _progress(f"{turns} turns, round {number}, {name}: {sample.wall_s:.1f} s")
                if number >= warm_up:
                    found[name].append(sample)
        replayed = {
            name: await bench.ways[name].replays(samples[-1], bench.folder, REPLAYS[turns])
            for name, samples in found.items()
        }
        _print_turns(turns, found, replayed)
        for name, why in ended.items():
            print(f"\n{name} did not get to its answer: {why}", flush=True)


def _progress(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _print_turns(
    turns: int, found: dict[str, list[Sample]], replayed: dict[str, list[float]]
) -> None:
    replays = {
        name: [Sample(turns, 0, each, 0, 0, "", "") for each in times]
        for name, times in replayed.items()
    }
    print(heading(f"{turns} turns, 2 kB results; by turn", list(found)))
    print(row("wall time, ms", found, _wall_ms, ".1f", times=1.10))
    print(row("worker CPU, ms", found, _cpu_ms, ".1f", times=1.15))
    print(row("replay CPU, ms", replays, _cpu_ms, ".2f", times=1.25))
    print(row("history, bytes", found, _bytes, ",.0f", most=HISTORY_BYTES))
    print(row("history, events", found, _events, ".1f"))
    sys.stdout.flush()


def _wall_ms(sample: Sample) -> float:
    return sample.wall_s / sample.turns * 1000


def _cpu_ms(sample: Sample) -> float:
    return sample.cpu_s / sample.turns * 1000


def _bytes(sample: Sample) -> float:
    return sample.history_bytes / sample.turns


def _events(sample: Sample) -> float:
    return sample.events / sample.turns


async def measure_slope(bench: Bench) -> None:
    """Measure what a turn adds to a replay and to the history, early and late in a conversation.

    One conversation a way. Its time is read on the way of a whole replay, early and late turns
    in the same one, and their ratio is the median of the replays': the same work is compared, and
    what else the machine does happens to both.
    """
    print("\n| what a turn adds | replay, ms | functions called in it | history, bytes |")
    print("| --- | ---: | ---: | ---: |")
    ends = []
    for name in (OURS, OURS_UNSAFE, REFERENCE):
        if name not in bench.ways:
            continue
        way = bench.ways[name]
        sample = await way.sample(LONG, SIZE)
        marks = sorted({*EARLY, *LATE})
        slope = await way.slope(sample, marks, bench.folder, SLOPE_REPLAYS)
        early, late = (_seconds(slope, marks, part) for part in (EARLY, LATE))
        for part, (few, many), times in (("early", EARLY, early), ("late", LATE, late)):
            calls, size = _added(slope, (few, many))
            said = f"{statistics.median(times) * 1000:.2f} | {calls:,.1f} | {size:,.0f} |"
            print(f"| {name}: {part}, turns {few} to {many} | {said}")
        ratios = [statistics.median(b / a for a, b in zip(early, late, strict=True))]
        ratios += [b / a for a, b in zip(_added(slope, EARLY), _added(slope, LATE), strict=True)]
        judged = "".join(f" {r:.3f}{_flat(r) if name != REFERENCE else ''} |" for r in ratios)
        print(f"| {name}: late by early |{judged}", flush=True)
        rest = statistics.median(one[-1] - one[-2] for one in slope.reached)
        ends.append(f"{name} {rest * 1000:.0f} ms")
    print(f"\nThe last {LONG - LATE[1]} turns with the conversation's end: {', '.join(ends)}.")


def _seconds(slope: Slope, marks: Sequence[int], part: tuple[int, int]) -> list[float]:
    """Return what a turn of a part adds to each replay."""
    few, many = (marks.index(turn) for turn in part)
    return [(one[many] - one[few]) / (part[1] - part[0]) for one in slope.reached]


def _added(slope: Slope, part: tuple[int, int]) -> tuple[float, float]:
    """Return what a turn of a part adds: calls of functions, bytes."""
    (few, many), turns = (slope.parts[n] for n in part), part[1] - part[0]
    calls, size = many.calls - few.calls, many.history_bytes - few.history_bytes
    return calls / turns, size / turns


def _flat(ratio: float) -> str:
    return f", ≤ {FLAT}: {'met' if ratio <= FLAT else 'missed'}"


async def measure(parts: Sequence[str], peers: bool) -> None:
    """Start a server and the workers, and measure the parts."""
    binary = find_server(_progress)
    wanted = [OURS, REFERENCE, f"{REFERENCE}-apart", *(PEERS if peers else ())]
    python = environment.python() if peers else None
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = DevServer(binary, folder / "server.db", log_file=folder / "log")
        await stack.enter_async_context(server)
        client = await Client.connect(server.address, data_converter=pydantic_data_converter)
        await ensure_search_attributes(client)
        story.write_entries(folder / "entries", 400, SIZE)
        ways = await stack.enter_async_context(
            all_ways(client, server.address, folder, python, wanted)
        )
        bench = Bench(ways, folder)
        if "turns" in parts:
            await measure_turns(bench)
        if "slope" in parts:
            await measure_slope(bench)
        if "long" in parts:
            await long.measure(client, ways, folder)


def main(arguments: Sequence[str]) -> int:
    """Measure what is named. Returns the exit code."""
    parts = [one for one in arguments if not one.startswith("--")] or list(PARTS)
    unknown = sorted(set(parts) - {*PARTS, "long"})
    if unknown:
        print(f"no part named {', '.join(unknown)}: have turns, slope, long", file=sys.stderr)
        return 2
    asyncio.run(measure(parts, "--no-peers" not in arguments))
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
