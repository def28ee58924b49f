"""A worker process as the benchmark sees it: lines in, lines out.

Its own lines begin with MARK; the SDK's log may come between them. "ready" comes when it works.
`cpu` is answered with the seconds of processor time so far; `replay FILE COUNT` with a JSON list:
the seconds of processor time of each replay of an exported history; `clock FILE COUNT EVENT …` with
such a list of lists: of each replay, what it took up to each of these events and to its end;
`calls FILE` with the number of functions that its workflow code calls in a replay. The end of the
input ends it.
Standard library and temporalio only.
"""

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from benchmarks.transcripts.clocks import Clock

MARK = "= "

Working = Callable[[str, str], AbstractAsyncContextManager[object]]
"""From the server's address and a task queue to a worker that works while the context lasts."""


def serve(working: Working, replayer: Callable[..., Replayer]) -> None:
    """Work as the command line says: `ADDRESS QUEUE`. Does not return."""
    asyncio.run(_serve(working, replayer, *sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)


async def _serve(
    working: Working, replayer: Callable[..., Replayer], address: str, queue: str
) -> None:
    loop = asyncio.get_running_loop()
    async with working(address, queue):
        _say("ready")
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            match line.split():
                case ["cpu"]:
                    _say(str(time.process_time()))
                case ["replay", path, count]:
                    _say(json.dumps(await _replays(replayer, Path(path), int(count))))
                case ["clock", path, count, *events]:
                    read = await _clocked(replayer, Path(path), int(count), [*map(int, events)])
                    _say(json.dumps(read))
                case ["calls", path]:
                    _say(str(await _calls(replayer, Path(path))))


def _say(line: str) -> None:
    print(f"{MARK}{line}", flush=True)


async def _replays(replayer: Callable[..., Replayer], path: Path, count: int) -> list[float]:
    """Replay a history some times, and once before that does not count."""
    history = WorkflowHistory.from_json("replayed", path.read_text())
    found = []
    for _ in range(count + 1):
        gc.collect()
        spent = time.process_time()
        await replayer().replay_workflow(history)
        found.append(time.process_time() - spent)
    return found[1:]


async def _clocked(
    replayer: Callable[..., Replayer], path: Path, count: int, events: Sequence[int]
) -> list[list[float]]:
    """Replay a history some times with a clock, and once before that does not count."""
    history = WorkflowHistory.from_json("replayed", path.read_text())
    found = []
    for _ in range(count + 1):
        gc.collect()
        clock, begun = Clock(events), time.process_time()
        await replayer(clock.around).replay_workflow(history)
        found.append([read - begun for read in (*clock.read, time.process_time())])
    return found[1:]


async def _calls(replayer: Callable[..., Replayer], path: Path) -> int:
    """Count the calls of Python functions in a replay's threads: the same on any machine."""
    history = WorkflowHistory.from_json("replayed", path.read_text())
    counted = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal counted
        counted += event == "call"

    threading.setprofile(count)
    try:
        await replayer().replay_workflow(history)
    finally:
        threading.setprofile(None)
    return counted
