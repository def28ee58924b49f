"""How far a viewer in another process lags behind the provider's own pieces of text.

The vendor stamps each piece with the time at which it sends it; a worker process streams it, and
this process follows the conversations, as `chat` or a server's pages do. Beside it the vendor's
stream itself is read here by the HTTP client, with nothing between: the floor. One stream, and 50
at once, of 50 pieces a second, with the spools in files and in a Redis server. Of the 50 the time
counts in which all of them stream. How loaded the machine is stands beside it: on two cores, what
else runs there counts as lag.

Last, a turn of ten times as many pieces must have as many events in history.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
import uuid
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import httpx2

from benchmarks._clocked import Ages
from benchmarks._talks import Stage, percentile, stage
from benchmarks.rest import cpu_s
from client.chats import Chat, TextPart
from client.runs import NoWorker
from contracts.chats import TurnResult
from contracts.teams import AgentStatus
from tests.support.redis import running_redis

PAUSE_MS = 20
MANY = 50
PIECES = {1: 300, MANY: 900}
TARGETS_MS = {1: 12.0, MANY: 25.0}
APART_S = 0.15
"""Between two streams' starts: what starts are like is measured by `chats`."""

FEW, TEN_TIMES = 100, 1000
"""Pieces of the two turns whose histories are compared."""

LIMIT_S = 420.0
"""Twice what all of it takes: a benchmark that hangs says so."""

Aged = list[tuple[int, int]]
"""(when sent, age when read) of each piece of one stream, in ns."""


@dataclass(frozen=True)
class Row:
    """One line of the table; times in ms, processor time of a piece in µs.

    `worker` is None for the vendor's own stream.
    """

    what: str
    streams: int
    p50: float
    p95: float
    p99: float
    reader: float
    worker: float | None = None

    @property
    def good(self) -> bool:
        """Whether the target is met; the floor has none."""
        return self.worker is None or self.p95 <= TARGETS_MS[self.streams]

    def __str__(self) -> str:
        target = "" if self.worker is None else f"p95 ≤ {TARGETS_MS[self.streams]:.0f}"
        target += "" if self.good else ": missed"
        worker = "" if self.worker is None else f"{self.worker:.0f}"
        return (
            f"| {self.what} | {self.streams} | {self.p50:.1f} | {self.p95:.1f} | {self.p99:.1f} "
            f"| {self.reader:.0f} | {worker} | {target} |"
        )


def model(count: int) -> str:
    """Return what the vendor is asked for: streams that last until all of them have begun."""
    return f"{PIECES[count]}x{PAUSE_MS}"


def row(what: str, streams: list[Aged], reader: float, worker: float | None = None) -> Row:
    """Return the figures of the time in which all streams were under way.

    `reader` and `worker` are what each has spent for all pieces, in seconds.
    """
    if any(len(ages) != PIECES[len(streams)] for ages in streams):
        raise RuntimeError("pieces are missing")
    begin = max(ages[0][0] for ages in streams)
    end = min(ages[-1][0] for ages in streams)
    counted = [age / 1e6 for ages in streams for sent, age in ages if begin <= sent <= end]
    p50, p95, p99 = (percentile(counted, part) for part in (0.5, 0.95, 0.99))
    each = 1e6 / sum(map(len, streams))
    spent = None if worker is None else worker * each
    return Row(what, len(streams), p50, p95, p99, reader * each, spent)


async def directly(url: str, count: int) -> list[Aged]:
    """Read the vendor's streams with nothing between."""
    async with httpx2.AsyncClient(limits=httpx2.Limits(max_connections=None)) as client:

        async def read(number: int) -> Aged:
            await asyncio.sleep(number * APART_S)
            ages, found = Ages(), list[tuple[int, int]]()
            path = f"{url}/v1/chat/completions"
            async with client.stream("POST", path, json={"model": model(count)}) as answer:
                async for line in answer.aiter_lines():
                    _, _, text = line.partition('"content": "')
                    found += ages.of(text.partition('"')[0])
            return found

        return list(await asyncio.gather(*(read(number) for number in range(count))))


async def followed(on: Stage, count: int) -> list[Aged]:
    """Follow conversations, each in its first turn."""
    header = await on.header(model(count))

    async def talk(number: int) -> Aged:
        await asyncio.sleep(number * APART_S)
        chat = await on.chats.open(f"clock-{uuid.uuid4()}", header)
        said = await chat.say("What time is it?")
        ages, found = Ages(), list[tuple[int, int]]()
        async with aclosing(chat.follow(said.turn)) as events:
            async for event in events:
                if isinstance(event, TextPart):
                    found += ages.of(event.added)
                if isinstance(event, TurnResult) and event.status is not AgentStatus.COMPLETED:
                    raise RuntimeError(f"a turn failed: {event.error}")
        return found

    return list(await asyncio.gather(*(talk(number) for number in range(count))))


async def events(on: Stage, pieces: int) -> int:
    """Return how many events a conversation has whose one answer came in so many pieces."""
    chat: Chat = await on.chats.open(f"clock-{uuid.uuid4()}", await on.header(f"{pieces}x0"))
    await chat.active()
    said = await chat.say("What time is it?")
    await chat.wait(said.turn)
    await chat.end()
    await chat.handle.result()
    return len((await chat.handle.fetch_history()).events)


async def measure(rows: list[Row], where: str, folder: Path, spools: str | None) -> None:
    """Add the rows of one place for spools."""
    folder.mkdir()
    async with stage(folder, spools) as on:
        for count in TARGETS_MS:
            if spools is None:
                say(f"{count} of the vendor's streams, read directly")
                own = time.process_time()
                streams = await directly(on.vendor, count)
                spent = time.process_time() - own
                rows.append(row("the vendor's stream itself", streams, spent))
            say(f"{count} followed, spools in {where}")
            own, worker = time.process_time(), cpu_s(on.worker)
            streams = await followed(on, count)
            spent, worker = time.process_time() - own, cpu_s(on.worker) - worker
            rows.append(row(f"a viewer, spools in {where}", streams, spent, worker))
        few, many = await events(on, FEW), await events(on, TEN_TIMES)
        print(f"  events of a turn of {FEW} pieces {few}, of {TEN_TIMES} pieces {many} ({where})")
        # A workflow task that a busy machine gives twice is three events.
        if many - few > 6:
            raise RuntimeError("pieces are in the history")


def say(what: str) -> None:
    """Tell what is measured now, and the load at that time."""
    print(f"  {what} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)


async def measure_all(rows: list[Row]) -> None:
    """Add the rows of all places."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await measure(rows, "files", folder / "files", None)
        if shutil.which("redis-server"):
            with running_redis(folder / "redis") as url:
                await measure(rows, "Redis", folder / "with-redis", url)
        else:
            print("  Redis left out: no redis-server here (Debian package redis-server)")


async def main() -> int:
    """Measure and print. Returns the exit code."""
    began, load, rows, whole = time.monotonic(), os.getloadavg()[0], list[Row](), True
    try:
        async with asyncio.timeout(LIMIT_S):
            await measure_all(rows)
    except (NoWorker, RuntimeError, TimeoutError) as error:
        # On a machine that is too busy workers are taken for lost: what was measured is shown.
        whole = False
        print(f"  ended early: {error or 'it took too long'}", file=sys.stderr)
    print(
        f"  load {load:.1f} before and {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} cores; "
        f"took {time.monotonic() - began:.0f} s"
    )
    print("\n| | streams | lag p50, ms | p95 | p99 | reader, µs a piece | worker | target |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for one in sorted(rows, key=lambda one: (one.streams, one.worker is not None)):
        print(one)
    return 0 if whole and all(one.good for one in rows) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
