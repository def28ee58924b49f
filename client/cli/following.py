"""Following a run to its end, whatever comes and goes meanwhile.

Three things are read at once: the stream (text), the state (asked about three times a second, less
often where the answer takes long), the end (waited for). A worker or a server that is away is
said, and waited for.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from temporalio.service import RPCError

from client.cli.picture import Picture
from client.cli.progress import Progress
from client.cli.waiting import Waiting, waiting
from client.connection import ServerUnreachable
from client.inner_runs import calls_under_way
from client.runs import NoWorker, Run
from client.watching import watch
from contracts.runs import RunResult

LOOK_S = 0.3
LONGEST_LOOK_S = 2.0
PATIENCE = 4
"""So many times the length of an answer is waited before the next question."""

NO_WORKER = "no worker answers; waiting for one (a server of your own needs `python worker.py`)"
NO_SERVER = "the Temporal server does not answer; waiting for it"


class Paused(Exception):
    """The run waits for a person."""

    def __init__(self, waits: Sequence[Waiting]) -> None:
        super().__init__("; ".join(wants.what for wants in waits))
        self.waits = waits


async def follow(
    run: Run,
    progress: Progress,
    failed: "asyncio.Future[None] | None" = None,
    *,
    may_pause: bool = True,
) -> RunResult:
    """Show the run until it ends; return its result.

    `failed` is raised from, where it fails first. Raises Paused, unless it `may_pause`, and
    UnknownRun.
    """
    picture = progress.picture
    ending = asyncio.create_task(_ending(run, picture))
    looking = asyncio.create_task(_look(run, progress, may_pause))
    reading = asyncio.create_task(_read(run, picture))
    watched: set[asyncio.Future[Any]] = {ending, looking}
    if failed is not None:
        watched.add(failed)
    try:
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        for task in watched - {ending}:
            if task.done():
                await task
        return await ending
    finally:
        for task in (ending, looking, reading):
            task.cancel()
        await asyncio.gather(ending, looking, reading, return_exceptions=True)
        with contextlib.suppress(Exception):
            progress.changed()


async def _read(run: Run, picture: Picture) -> None:
    def troubled(why: str) -> None:
        picture.unread = f"{why}; the run goes on" if why else None

    async for record, _ in watch(run.follow, 0, troubled):
        picture.take_record(record)


async def _look(run: Run, progress: Progress, may_pause: bool) -> None:
    """Ask for the state until the run has ended."""
    picture = progress.picture
    while picture.status is None or picture.status.completed_at is None:
        began = time.monotonic()
        try:
            status = await run.current_status()
            waits = waiting(status)
            # An open question holds back only those behind it.
            stuck = waits and not may_pause and not await calls_under_way(run, status)
        except NoWorker:
            picture.trouble = NO_WORKER
            began = time.monotonic()
        except ServerUnreachable:
            picture.trouble = NO_SERVER
        else:
            picture.take_status(status)
            if waits and stuck:
                raise Paused(waits)
        progress.changed()
        took = time.monotonic() - began
        await asyncio.sleep(min(LONGEST_LOOK_S, max(LOOK_S, PATIENCE * took)))
    await asyncio.Event().wait()


async def _ending(run: Run, picture: Picture) -> RunResult:
    """Wait for the end; go on waiting when the server was away."""
    result = await persistent(run.wait, picture)
    with contextlib.suppress(NoWorker, ServerUnreachable):
        picture.take_status(await run.status())
    return result


async def persistent(wait: Callable[[], Awaitable[RunResult]], picture: Picture) -> RunResult:
    """Await a result; again when the server could not be asked."""
    while True:
        try:
            return await wait()
        except (RPCError, RuntimeError):
            picture.trouble = NO_SERVER
            await asyncio.sleep(LOOK_S)
