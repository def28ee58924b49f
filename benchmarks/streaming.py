"""How far a viewer in another process lags behind the provider's own pieces of text.

The vendor stamps each piece with the time at which it sends it; a worker process streams it, and
this process follows the conversations, as `chat` or a server's pages do. Beside it the vendor's
stream itself is read here by the HTTP client, with nothing between: the floor. One stream, and 50
at once, of 50 pieces a second, with the spools in files and in a Redis server. Of the 50 the time
counts in which all of them stream.
"""

import asyncio
import shutil
import sys
import tempfile
import uuid
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import httpx2

from benchmarks._clocked import Ages
from benchmarks._talks import Stage, percentile, stage
from benchmarks.rest import cpu_s
from client.chats import Chat, TextPart, TurnResult
from contracts.teams import AgentStatus
from tests.support.redis import running_redis

PAUSE_MS = 20
MANY = 50
PIECES = {1: 500, MANY: 1200}
TARGETS_MS = {1: 12.0, MANY: 25.0}
APART_S = 0.25
"""Between two streams' starts: what starts are like is measured by `chats`."""

Aged = list[tuple[int, int]]
"""(when sent, age when read) of each piece of one stream, in ns."""


@dataclass(frozen=True)
class Row:
    """One line of the table; times in ms, processor time as a part of a core."""

    what: str
    streams: int
    p50: float
    p95: float
    p99: float
    worker: float | None = None

    @property
    def good(self) -> bool:
        """Whether the target is met; the floor has none."""
        return self.worker is None or self.p95 <= TARGETS_MS[self.streams]

    def __str__(self) -> str:
        target = "" if self.worker is None else f"p95 ≤ {TARGETS_MS[self.streams]:.0f}"
        target += "" if self.good else ": missed"
        spent = "" if self.worker is None else f"{100 * self.worker:.0f} %"
        return (
            f"| {self.what} | {self.streams} | {self.p50:.1f} | {self.p95:.1f} | {self.p99:.1f} "
            f"| {spent} | {target} |"
        )


def model(count: int) -> str:
    """Return what the vendor is asked for: streams that last until all of them have begun."""
    return f"{PIECES[count]}x{PAUSE_MS}"


def row(what: str, streams: list[Aged], worker: float | None = None) -> Row:
    """Return the figures of the time in which all streams were under way."""
    begin = max(ages[0][0] for ages in streams)
    end = min(ages[-1][0] for ages in streams)
    counted = [age / 1e6 for ages in streams for sent, age in ages if begin <= sent <= end]
    parts = (percentile(counted, part) for part in (0.5, 0.95, 0.99))
    return Row(what, len(streams), *parts, worker)


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


async def events(on: Stage, model: str) -> int:
    """Return how many events a conversation of one answer has."""
    chat: Chat = await on.chats.open(f"clock-{uuid.uuid4()}", await on.header(model))
    said = await chat.say("What time is it?")
    await chat.wait(said.turn)
    await chat.end()
    while True:
        history = await chat.handle.fetch_history()
        if "Completed" in str(history.events[-1].event_type) or len(history.events) > 500:
            return len(history.events)
        await asyncio.sleep(0.05)


async def measure(where: str, folder: Path, spools: str | None) -> list[Row]:
    """Return the rows of one place for spools."""
    rows = []
    folder.mkdir()
    async with stage(folder, spools) as on:
        for count in TARGETS_MS:
            if spools is None:
                rows.append(row("the vendor's stream itself", await directly(on.vendor, count)))
            loop = asyncio.get_running_loop()
            before, began = cpu_s(on.worker), loop.time()
            streams = await followed(on, count)
            spent = (cpu_s(on.worker) - before) / (loop.time() - began)
            if any(len(ages) != PIECES[count] for ages in streams):
                raise RuntimeError("pieces are missing")
            rows.append(row(f"a viewer, spools in {where}", streams, spent))
        short, long = await events(on, "5x0"), await events(on, "1000x0")
        print(f"  events of a turn of 5 pieces {short}, of 1,000 pieces {long} ({where})")
        if short != long:
            raise RuntimeError("pieces are in the history")
    return rows


async def main() -> int:
    """Measure and print. Returns the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = await measure("files", folder / "files", None)
        if shutil.which("redis-server"):
            with running_redis(folder / "redis") as url:
                rows += await measure("Redis", folder / "with-redis", url)
        else:
            print("  Redis left out: no redis-server here (Debian package redis-server)")
    print("\n| | streams | lag p50, ms | p95 | p99 | worker, of a core | target |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for one in sorted(rows, key=lambda one: (one.streams, one.worker is not None)):
        print(one)
    return 0 if all(one.good for one in rows) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
