"""`run` and `demo`: start a team, follow it, give its answer, leave nothing running.

Strategy: whatever can be wrong with file, inputs, provider and plan is found before a server is
touched. With the embedded server the worker process is started as soon as the file has loaded,
since its imports take as long as planning does.
"""

import asyncio
import contextlib
import importlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from client.cli.console import (
    DONE,
    INTERRUPTED,
    WAITING,
    Refusal,
    ask,
    interactive,
    run_async,
    say,
    stderr,
)
from client.cli.preparing import SIMULATED, Prepared, Wanted, check_provider, make_plan, prepare
from client.cli.spelling import cap

if TYPE_CHECKING:
    from client.cli.progress import Progress
    from client.cli.session import Session
    from client.embedded import Embedded
    from client.runs import Run, Runs
    from contracts.plans import Plan

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DEMO = EXAMPLES / "licence-review.yaml"
DEMO_TEXT = EXAMPLES / "texts" / "gpl-3.0.txt"
DEMO_SIMULATION = EXAMPLES / "licence-review.simulation.yaml"


@dataclass(frozen=True)
class Manner:
    """How a run is shown, and what is asked first.

    `ask_server`: whether the embedded server may be started; `confirm_cost`: whether a real
    provider may be paid. `yes` answers both.
    """

    detach: bool = False
    as_json: bool = False
    yes: bool = False
    ask_server: bool = True
    confirm_cost: bool = False


def run_demo(provider: str | None, *, yes: bool, as_json: bool) -> int:
    """Run the example on the GPL-3, simulated unless a provider is named."""
    chosen = provider or SIMULATED
    simulated = chosen == SIMULATED
    wanted = Wanted(
        DEMO,
        (f"text=@{DEMO_TEXT}",),
        provider=chosen,
        simulation=DEMO_SIMULATION if simulated else None,
    )
    if simulated:
        say(
            "The provider is simulated: it extracts its answers from the text, and nothing is "
            "spent. A real one: make demo PROVIDER=openai"
        )
    manner = Manner(as_json=as_json, yes=yes, ask_server=False, confirm_cost=not simulated)
    return run_team(wanted, manner)


def run_team(wanted: Wanted, manner: Manner) -> int:
    """Run a team; return the exit code."""
    from client.cli.session import open_session

    session = open_session()
    prepared = prepare(session.settings, wanted)
    for note in prepared.notes:
        say(f"note: {note}")
    if wanted.provider is not None and session.address is None:
        check_provider(wanted.provider)
    if session.address is not None:
        return run_async(lambda: _on_server(session, prepared, manner))
    return _on_embedded(session, prepared, manner)


# with the embedded server


def _on_embedded(session: "Session", prepared: Prepared, manner: Manner) -> int:
    if manner.detach:
        raise Refusal(
            "--detach needs a server that stays: start one with `python starter.py dev` in "
            "another terminal, or name yours in TEMPORAL_ADDRESS"
        )
    offer(manner)
    from client.embedded import Embedded

    # A simulated run's worker holds no other queue: older runs that were left open in this
    # home must not spend money behind a run that spends none.
    only = (SIMULATED,) if prepared.wanted.provider == SIMULATED else ()
    embedded = Embedded(
        session.storage.data,
        say,
        grace_s=session.settings.graceful_shutdown,
        providers=only,
    )
    embedded.hatch()
    try:
        plan = _plan(session, prepared, manner)
        embedded.find()
    except BaseException:
        embedded.abandon()
        raise
    return run_async(lambda: _embedded(session, prepared, manner, embedded, plan))


def offer(manner: Manner) -> None:
    """Say that the embedded server is used; ask where a person can answer."""
    told = "No Temporal server is configured: the embedded one"
    if manner.yes or not manner.ask_server or not interactive():
        say(f"{told} runs until the end")
    elif not ask(f"{told} can run until the end. Start it?"):
        raise Refusal("no server: start one with `python starter.py dev`, or set TEMPORAL_ADDRESS")


async def _embedded(
    session: "Session", prepared: Prepared, manner: Manner, embedded: "Embedded", plan: "Plan"
) -> int:
    """Start the server while its client is imported; run; stop everything."""
    code = DONE
    ended = False
    try:
        async with _server(embedded):
            from client.connection import connect
            from client.runs import Runs

            client = await connect(embedded.place.address)
            runs = Runs(client, session.storage.store, session.storage.spools)
            await _others(runs)
            run = await _start(session, runs, prepared, plan)
            link = ui_link(embedded.place.ui_url, run.run_id)
            code = await _follow_or_stop(run, prepared, manner, link, embedded)
            ended = True
            await _keep_page(link, run.run_id, manner)
            return code
    except asyncio.CancelledError:
        if ended:
            return code
        say(
            "stopped. What was open goes on with the next `python starter.py dev`; the runs: "
            "`python starter.py list`"
        )
        raise


async def _follow_or_stop(
    run: "Run", prepared: Prepared, manner: Manner, link: str, embedded: "Embedded"
) -> int:
    try:
        return await _follow(run, prepared.wanted.follow, manner, link, embedded.failed)
    except asyncio.CancelledError:
        say("stopping: answers under way may end first; Ctrl-C again ends at once")
        raise


@contextlib.asynccontextmanager
async def _server(embedded: "Embedded") -> AsyncIterator[None]:
    """Run the embedded server; import what talks to it while it starts."""
    imports = asyncio.create_task(
        asyncio.to_thread(importlib.import_module, "client.cli.following")
    )
    async with embedded:
        await imports
        yield


async def _others(runs: "Runs") -> None:
    """Say which older runs go on with this worker, since that may cost money."""
    open_runs = await runs.latest(10, "ExecutionStatus = 'Running'")
    if open_runs:
        names = ", ".join(status.run_id for status in open_runs)
        say(f"note: open runs go on as well (`starter.py cancel` ends one): {names}")


async def _keep_page(link: str, run_id: str, manner: Manner) -> None:
    """Let a person look at the run in the Temporal UI; elsewhere say how to."""
    if not interactive() or manner.as_json:
        say(f"To see run {run_id} in the Temporal UI: python starter.py dev")
        return
    say(f"The run in the Temporal UI, until Enter or Ctrl-C: {link}")
    loop = asyncio.get_running_loop()
    pressed = asyncio.Event()
    loop.add_reader(sys.stdin, pressed.set)
    try:
        await pressed.wait()
        sys.stdin.readline()
    finally:
        loop.remove_reader(sys.stdin)


# with a server that stays


async def _on_server(session: "Session", prepared: Prepared, manner: Manner) -> int:
    from client.cli.polling import served_providers

    if session.place:
        say(f"on the server of `starter.py dev` ({session.place.address})")
    runs = await session.server_runs()
    served = await served_providers(runs.client, wait_s=30 if session.place else 0)
    plan = _plan(session, prepared, manner, served)
    run = await _start(session, runs, prepared, plan)
    link = ui_link(session.place.ui_url, run.run_id) if session.place else None
    if manner.detach:
        print(run.run_id)
        how = "see how it ended" if await run.record() is not None else "follow it"
        say(f"{how} with: python starter.py watch {run.run_id}")
        return DONE
    code = await follow_detachable(run, prepared.wanted.follow, manner, link)
    if link and code != INTERRUPTED:
        say(f"The run in the Temporal UI: {link}")
    return code


async def follow_detachable(run: "Run", agent: str | None, manner: Manner, link: str | None) -> int:
    """Follow a run on a server that stays: Ctrl-C leaves the run alone."""
    try:
        return await _follow(run, agent, manner, link)
    except asyncio.CancelledError:
        say(f"detached; the run goes on. Come back with: python starter.py watch {run.run_id}")
        raise


# what both do


def _plan(
    session: "Session", prepared: Prepared, manner: Manner, served: "set[str] | None" = None
) -> "Plan":
    plan = make_plan(session.settings, prepared, served)
    for note in plan.notes:
        say(f"note: {note}")
    if manner.confirm_cost:
        _confirm(prepared, plan, manner)
    return plan


def _confirm(prepared: Prepared, plan: "Plan", manner: Manner) -> None:
    """Show the worst case, and ask before it is spent."""
    from client.cli.spelling import about, at_most
    from rules.estimates import estimate

    guess = estimate(plan, prepared.given)
    say(
        f"This spends money: about {about(guess.expected)} if all goes well, at most "
        f"{at_most(guess.most)} if every retry and fallback is needed, and never more than its "
        f"budget of {cap(guess.cap)}."
    )
    if manner.yes:
        return
    if not sys.stdin.isatty():
        raise Refusal("nobody is here to agree: give --yes to spend it")
    if not ask("Go on?"):
        raise Refusal("nothing was started")


async def _start(session: "Session", runs: "Runs", prepared: Prepared, plan: "Plan") -> "Run":
    """Store the inputs and start; a run of that id which there is already is not run again."""
    from stores.values import store_value

    wanted = prepared.wanted.run_id
    if wanted:
        before = await _earlier(runs, wanted, plan.team.name)
        if before is not None:
            return before
    store = session.storage.store
    values = {
        name: await store_value(store, value.value, want_inline=True)
        for name, value in prepared.inputs.items()
    }
    run = await runs.start(plan, values, wanted)
    say(f"run {run.run_id} started, at most {cap(plan.team.cost_budget)}")
    return run


async def _earlier(runs: "Runs", run_id: str, team: str) -> "Run | None":
    """Return the run of that id that there is already. Raises Refusal for another team's."""
    from client.runs import IdTaken, Runs

    record = await runs.get(run_id).record()
    try:
        whose = record.team if record is not None else await runs.team_under_way(run_id)
    except IdTaken as error:
        raise Refusal(f"--run-id: {error}") from None
    if whose is None:
        return None
    if whose and whose != team:
        raise Refusal(f'--run-id {run_id}: is a run of team "{whose}"; choose another id')
    if record is None:
        say(f"run {run_id} goes on already: nothing was started")
        return runs.get(run_id)
    say(f"run {run_id} has ended before: this is its result, nothing was started")
    return Runs(None, runs.store, runs.spools).get(run_id)


async def _follow(
    run: "Run",
    agent: str | None,
    manner: Manner,
    link: str | None,
    failed: "asyncio.Future[None] | None" = None,
) -> int:
    """Show a run to its end; return the exit code."""
    from client.cli.ending import tell_end
    from client.cli.following import Paused, follow

    try:
        async with make_progress(run.run_id, agent) as progress:
            result = await follow(run, progress, failed, may_pause=sys.stderr.isatty())
    except Paused as paused:
        for wants in paused.waits:
            say(f"waiting for a person: {wants}")
        return WAITING
    return await tell_end(run, result, link, as_json=manner.as_json)


def make_progress(run_id: str, agent: str | None) -> "Progress":
    """Return the display that fits where stderr goes."""
    from client.cli.picture import Picture
    from client.cli.progress import LiveProgress, PlainProgress

    picture = Picture(run_id, follow=agent)
    console = stderr()
    return LiveProgress(picture, console) if console.is_terminal else PlainProgress(picture)


def ui_link(ui_url: str, run_id: str) -> str:
    """Return the address of a run's page."""
    return f"{ui_url}/namespaces/default/workflows/{run_id}"
