"""Our adapters beside the vendors' own SDKs, on a vendor of this machine in another process.

SDK and adapter take turns in one process, so that whatever else the machine does happens to both.
Processor time is this process's, from the first piece of text to the end, per piece. Memory is
measured in processes of their own, which take turns as well. Prints Markdown, for
docs/benchmarks.md. `python -m benchmarks.providers single` and `… crowd` measure one part only.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks._crowd import STREAMS
from benchmarks._vendor import text, vendor
from benchmarks._ways import PAIRS, Reading, Texts, bare_bytes, read

FAST, PACED, SHORT = "1000x0", "200x2", "1x0"
ROUNDS = {FAST: 12, PACED: 24, SHORT: 200}
CROWD_ROUNDS = 3
CPU_TARGETS = {"openai chat": 0.35, "openai responses": 0.35, "anthropic": 1.1, "gemini": 1.1}
TIME_TARGET = 1.05

Measured = dict[str, dict[str, list[Reading]]]
"""By model, by way."""


@dataclass(frozen=True)
class Quantity:
    """One thing to compare: `target` is the highest ratio that is good, if there is one."""

    name: str
    model: str
    value: Callable[[Reading], float]
    target: Callable[[str], float | None]


def _per_piece(model: str) -> Callable[[Reading], float]:
    pieces = int(model.split("x")[0])
    return lambda reading: reading.cpu_s * 1e6 / pieces


QUANTITIES = (
    Quantity("CPU per chunk, as fast as it comes, µs", FAST, _per_piece(FAST), CPU_TARGETS.get),
    Quantity("CPU per chunk, one every 2 ms, µs", PACED, _per_piece(PACED), CPU_TARGETS.get),
    Quantity("first token, ms", SHORT, lambda r: r.first_s * 1e3, lambda _: TIME_TARGET),
    Quantity("total, 1 chunk, ms", SHORT, lambda r: r.total_s * 1e3, lambda _: TIME_TARGET),
    Quantity("total, 200 chunks 2 ms apart, ms", PACED, lambda r: r.total_s * 1e3,
             lambda _: TIME_TARGET),
    Quantity("total, 1,000 chunks, ms", FAST, lambda r: r.total_s * 1e3, lambda _: TIME_TARGET),
)  # fmt: skip


def row(api: str, name: str, sdk: float, ours: float, target: float | None) -> str:
    """Return one line of a table: both medians, their ratio, and whether it is good."""
    ratio = ours / sdk
    judged = "–" if target is None else f"≤ {target:g}: {'yes' if ratio <= target else 'NO'}"
    return f"| {api} | {name} | {sdk:.4g} | {ours:.4g} | {ratio:.2f} | {judged} |"


async def take_turns(ways: dict[str, Texts]) -> Measured:
    """Let all ways read the same answers in turn. The first round is not counted."""
    found: Measured = {}
    for model, rounds in ROUNDS.items():
        taken = found[model] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, texts in ways.items():
                reading = await read(texts, model)
                if name != "bytes" and reading.text != text(int(model.split("x")[0])):
                    raise RuntimeError(f"{name}: not the whole answer")
                if number:
                    taken[name].append(reading)
    return found


async def compare(url: str) -> None:
    """Print the table of one stream at a time, then the floor under it."""
    floors: dict[str, float] = {}
    print("| API | median of | SDK | adapter | ratio | target |")
    print("|" + " --- |" * 6)
    for api, pair in PAIRS.items():
        opened = {name: way(url) for name, way in {**pair, "bytes": bare_bytes}.items()}
        found = await take_turns({name: texts for name, (texts, _) in opened.items()})
        for _, close in opened.values():
            await close()
        for quantity in QUANTITIES:
            sdk, ours, bare = (
                statistics.median(map(quantity.value, found[quantity.model][name]))
                for name in ("sdk", "adapter", "bytes")
            )
            print(row(api, quantity.name, sdk, ours, quantity.target(api)), flush=True)
            floors.setdefault(quantity.name, bare)
    fast, paced = (floors[quantity.name] for quantity in QUANTITIES[:2])
    print(f"\nBare bytes by httpx2, nothing understood: {fast:.0f} and {paced:.0f} µs per chunk.")


def crowd(url: str) -> None:
    """Print the table of a thousand streams at once."""
    print(f"\n| API | {STREAMS:,} streams at once | SDK | adapter | ratio | target |")
    print("|" + " --- |" * 6)
    for api, pair in PAIRS.items():
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in pair}
        for _ in range(CROWD_ROUNDS):
            for way, taken in runs.items():
                taken.append(_crowd_run(api, way, url))
        sdk, ours = (statistics.median(run["grown_mb"] for run in runs[way]) for way in pair)
        print(row(api, "memory grown, MB", sdk, ours, 1.0))
        failed = {way: sum(int(run["failed"]) for run in taken) for way, taken in runs.items()}
        judged = "NO" if failed["adapter"] else "yes"
        print(f"| {api} | failed, of {CROWD_ROUNDS * STREAMS:,} | {failed['sdk']} | "
              f"{failed['adapter']} | – | 0: {judged} |", flush=True)  # fmt: skip
        if not all(run["all_open"] for taken in runs.values() for run in taken):
            print(f"{api}: not all were open at once, so memory is too low", file=sys.stderr)


def _crowd_run(api: str, way: str, url: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks._crowd", api, way, url]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    found: dict[str, float] = json.loads(output)
    return found


def main(wanted: list[str]) -> None:
    """Measure what is wanted, or all."""
    os.environ["NO_PROXY"] = "127.0.0.1"
    with vendor() as url:
        if "crowd" not in wanted:
            asyncio.run(compare(url))
        if "single" not in wanted:
            crowd(url)


if __name__ == "__main__":
    main(sys.argv[1:])
