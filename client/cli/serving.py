"""`dev`: server, page and worker on one file until Ctrl-C; runs that were open go on."""

import asyncio
from typing import Any

from client.cli.console import INTERRUPTED, Refusal, run_async, say
from client.cli.session import Session, open_session
from client.cli.spelling import plural
from client.embedded import Embedded

WORKER_S = 60.0
"""For a worker to import what it needs, on a machine that is busy."""


def serve(port: int | None, ui_port: int | None) -> int:
    """Keep the embedded server and a worker; return the exit code."""
    session = open_session()
    if session.configured:
        raise Refusal(
            f"a server is configured ({session.configured}): start a worker for it with "
            "`python worker.py`, or unset CALLBOARD_TEMPORAL_ADDRESS and TEMPORAL_ADDRESS"
        )
    if session.place:
        raise Refusal(
            f"it runs already, in process {session.place.pid}: {session.place.address}, "
            f"{session.place.ui_url}"
        )
    settings = session.settings
    embedded = Embedded(
        session.storage.data,
        say,
        grace_s=settings.graceful_shutdown,
        port=settings.temporal_port if port is None else port,
        ui_port=settings.ui_port if ui_port is None else ui_port,
    )
    embedded.find()
    return run_async(lambda: _serve(session, embedded))


async def _serve(session: Session, embedded: Embedded) -> int:
    async with embedded:
        place = embedded.place
        say(f"Temporal server {place.address}")
        say(f"Temporal UI     {place.ui_url}")
        say(f"data            {session.storage.data.root}")
        await _tell_open(session, embedded)
        await _tell_worker(embedded)
        say("Ctrl-C stops it; open runs go on the next time")
        try:
            assert embedded.failed is not None
            await embedded.failed
        except asyncio.CancelledError:
            say("stopping: answers under way may end first; Ctrl-C again ends at once")
            raise
    return INTERRUPTED


async def _tell_worker(embedded: Embedded) -> None:
    """Wait for the worker, and say for whom it works."""
    from client.cli.polling import served_providers
    from client.connection import connect

    client = await connect(embedded.place.address)
    waiting = asyncio.ensure_future(served_providers(client, wait_s=WORKER_S))
    assert embedded.failed is not None
    either: set[asyncio.Future[Any]] = {waiting, embedded.failed}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if embedded.failed.done():
        waiting.cancel()
        return
    say(f"the worker serves {', '.join(sorted(await waiting))}")


async def _tell_open(session: Session, embedded: Embedded) -> None:
    """Say which runs go on now."""
    from client.connection import connect
    from client.runs import Runs

    client = await connect(embedded.place.address)
    runs = Runs(client, session.storage.store, session.storage.spools)
    open_runs = await runs.latest(100, "ExecutionStatus = 'Running'")
    if open_runs:
        names = "".join(f"\n  {status.run_id}" for status in open_runs[:10])
        verb = "goes" if len(open_runs) == 1 else "go"
        say(f"{plural(len(open_runs), 'open run')} {verb} on:{names}")
