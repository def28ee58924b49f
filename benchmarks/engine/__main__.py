"""Measures the engine: the graph in four ways, a thousand agents, the worker at rest, imports.

Everything that is compared takes turns in one run on one embedded server, and ratios are made pair
by pair: what else the machine does happens to both. Prints Markdown, for docs/benchmarks.md.
`python -m benchmarks.engine graph` (or scale, rest) measures a part.
"""

import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from benchmarks._vendor import vendor
from benchmarks.engine.graph import CHUNKS, layered
from benchmarks.engine.still import measure_rest
from benchmarks.engine.ways import Sample, Way, all_ways
from client.connection import connect
from client.devserver.binary import find_server
from client.devserver.server import DevServer
from client.searchability import ensure_search_attributes

ROUNDS = {0: 25, 10: 11}
"""By the milliseconds between two chunks."""

SCALE = {"50 agents": (1, 48, 1), "1,000 agents": (1, 998, 1)}
SCALE_ROUNDS = 3
WARM_UP = 2

Samples = dict[str, list[Sample]]


def ratio(
    samples: Samples, ours: str, other: str, value: Callable[[Sample], float]
) -> tuple[float, float, float]:
    """Return the medians of both, and that of the ratios pair by pair."""
    pairs = [(value(a), value(b)) for a, b in zip(samples[ours], samples[other], strict=True)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def row(what: str, found: tuple[float, float, float], target: float | None, form: str) -> str:
    """Return one line of a table."""
    ours, other, times = found
    judged = "–" if target is None else f"≤ {target:.2f}: {'met' if times <= target else 'missed'}"
    return f"| {what} | {ours:{form}} | {other:{form}} | {times:.2f} | {judged} |"


def heading(ours: str, other: str) -> str:
    """Return the first two lines of a table."""
    return f"\n| | {ours} | {other} | ratio | target |\n| --- | ---: | ---: | ---: | --- |"


async def interleaved(
    ways: Sequence[tuple[str, Callable[[], Awaitable[Sample]]]], rounds: int
) -> Samples:
    """Let the ways take turns, after some rounds that do not count."""
    found: Samples = {name: [] for name, _ in ways}
    for number in range(WARM_UP + rounds):
        for name, way in ways:
            sample = await way()
            if number >= WARM_UP:
                found[name].append(sample)
    return found


async def measure_graph(ways: dict[str, Way]) -> None:
    """Measure the twenty agents in all ways, at both paces."""
    agents = layered()
    for pace, rounds in ROUNDS.items():
        model = f"{CHUNKS}x{pace}"
        turns = [(name, partial(way, agents, model)) for name, way in ways.items()]
        found = await interleaved(turns, rounds)
        paced = f"{pace} ms a chunk"
        print(heading("Callboard", "bare Temporal"))
        print(
            row(f"{paced}: wall time, ms", ratio(found, "callboard", "bare", wall_ms), 1.05, ".0f")
        )
        print(
            row(f"{paced}: worker CPU, ms", ratio(found, "callboard", "bare", cpu_ms), 1.4, ".0f")
        )
        print(row(f"{paced}: events", ratio(found, "callboard", "bare", events), 1.2, ".0f"))
        print(heading("Callboard", "bare Temporal without its sandbox"))
        free = ratio(found, "callboard", "free", wall_ms), ratio(found, "callboard", "free", cpu_ms)
        print(row(f"{paced}: wall time, ms", free[0], None, ".0f"))
        print(row(f"{paced}: worker CPU, ms", free[1], None, ".0f"))
        target = 1.10 if pace else None
        print(heading("Callboard", "gather"))
        print(
            row(
                f"{paced}: wall time, ms",
                ratio(found, "callboard", "gather", wall_ms),
                target,
                ".0f",
            )
        )
        print(row(f"{paced}: CPU, ms", ratio(found, "callboard", "gather", cpu_ms), None, ".0f"))
        print(heading("bare Temporal", "gather"))
        print(row(f"{paced}: wall time, ms", ratio(found, "bare", "gather", wall_ms), None, ".0f"))
        sys.stdout.flush()


async def measure_scale(ways: dict[str, Way]) -> None:
    """Measure a thousand agents beside fifty, by agent."""
    found: dict[str, Samples] = {name: {} for name in ("callboard", "bare")}
    graphs = {name: layered(widths) for name, widths in SCALE.items()}
    for _ in range(SCALE_ROUNDS):
        for name, agents in graphs.items():
            for way in found:
                sample = await ways[way](agents, "5x0")
                each = Sample(
                    sample.wall_s / len(agents),
                    sample.cpu_s / len(agents),
                    sample.events,
                )
                found[way].setdefault(name, []).append(each)
    few, many = SCALE
    print(heading(many, few))
    for way, target in (("callboard", 1.3), ("bare", None)):
        for what, value in (("wall time", wall_ms), ("CPU", cpu_ms)):
            goal = target if what == "wall time" else None
            print(
                row(f"{way}: {what} an agent, ms", ratio(found[way], many, few, value), goal, ".1f")
            )
        print(row(f"{way}: events", ratio(found[way], many, few, events), None, ".0f"))
    sys.stdout.flush()


def wall_ms(sample: Sample) -> float:
    """Milliseconds of wall time."""
    return sample.wall_s * 1000


def cpu_ms(sample: Sample) -> float:
    """Milliseconds of this process's CPU."""
    return sample.cpu_s * 1000


def events(sample: Sample) -> float:
    """Events in the history."""
    return sample.events


async def measure(parts: Sequence[str]) -> None:
    """Start a server and a vendor, and measure the parts that are named, or all."""
    binary = find_server(lambda line: print(f"  {line}", file=sys.stderr))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = DevServer(binary, folder / "server.db", log_file=folder / "log")
        await stack.enter_async_context(server)
        url = stack.enter_context(vendor())
        client = await connect(server.address)
        await ensure_search_attributes(client)
        if not parts or "rest" in parts:
            measure_rest(server.address, folder / "rest")
        if parts and not {"graph", "scale"} & set(parts):
            return
        ways = await stack.enter_async_context(all_ways(client, folder / "home", url))
        if not parts or "graph" in parts:
            await measure_graph(ways)
        if not parts or "scale" in parts:
            await measure_scale(ways)


if __name__ == "__main__":
    asyncio.run(measure(sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)
