"""Commands that look at runs: status, watch, list."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from client.absence import NoServer
from client.chats import ChatLine, Chats
from client.cli.chats_found import found_chat, may_be_chat
from client.cli.chats_shown import chats_table, listed, show_chat
from client.cli.console import (
    DONE,
    FAILED,
    WAITING,
    Refusal,
    clean,
    run_async,
    say,
    stdout,
)
from client.cli.running import Manner, follow_detachable, ui_link
from client.cli.session import open_session, recent
from client.cli.spelling import elapsed
from client.cli.tables import notes, runs_table, spent, state, status_table
from client.cli.waiting import waiting
from contracts.runs import RunStatus
from contracts.teams import AgentStatus, WorkflowStatus

T = TypeVar("T")

CANCEL_S = 15.0
ENDED = (
    WorkflowStatus.COMPLETED,
    WorkflowStatus.PARTIALLY_COMPLETED,
    WorkflowStatus.FAILED,
    WorkflowStatus.CANCELLED,
)


def show_status(name: str, *, as_json: bool) -> int:
    """Show a run's agents as they are, or how a conversation stands."""
    session = open_session()

    async def main() -> int:
        async with found_chat(session, name) as chat:
            if chat is not None:
                return await show_chat(chat, as_json=as_json)
        status = await (await session.find(name)).status()
        if as_json:
            print(status.model_dump_json(indent=2))
            return _code(status)
        console = stdout()
        console.print(state(status.status.value), status.run_id)
        console.print(status_table(status))
        took = elapsed(status.started_at, status.completed_at)
        console.print(f"{spent(status)}, {status.tokens:,} tokens, {took}", soft_wrap=True)
        for line in notes(status.steps):
            console.print(clean(line), markup=False, highlight=False, soft_wrap=True)
        waits = waiting(status)
        for wants in waits:
            console.print(clean(str(wants)), soft_wrap=True)
        if status.error and not waits:
            console.print(f"{_label(status)}: {status.error}", soft_wrap=True)
        return _code(status)

    return run_async(main)


def _label(status: RunStatus) -> str:
    """Return what a run's error is: the reason that was given where it ended early and well."""
    ends = (s for s in status.steps if s.kind == "end" and s.status is AgentStatus.COMPLETED)
    early = status.status is WorkflowStatus.COMPLETED and any(ends)
    return "ended early" if early else "error"


def _code(status: RunStatus) -> int:
    if waiting(status):
        return WAITING
    return FAILED if status.status in (WorkflowStatus.FAILED, WorkflowStatus.CANCELLED) else DONE


def watch(name: str, agent: str | None, *, as_json: bool) -> int:
    """Follow a run, from its beginning, to its end; or a conversation, until it is left."""
    session = open_session()

    async def main() -> int:
        if session.address is None and await may_be_chat(session, name):
            raise NoServer  # where nobody talks there is nothing to watch
        if session.address is not None:
            async with found_chat(session, name) as chat:
                if chat is not None:
                    if agent is not None:
                        raise Refusal(f"--follow: {chat.chat_id} is a conversation, not a run")
                    from client.cli.chat_watching import watch_chat

                    return await watch_chat(chat, as_json=as_json)
        run = await session.find(name)
        record = await run.record()
        link = ui_link(session.place.ui_url, run.run_id) if session.place else None
        manner = Manner(as_json=as_json)
        if record is None:
            run = await session.find_on_server(run.run_id)
            return await follow_detachable(run, agent, manner, link)
        from client.cli.ending import tell_end

        return await tell_end(run, run.recorded_result(record), link, as_json=as_json)

    return run_async(main)


def list_runs(limit: int, *, as_json: bool) -> int:
    """List the latest runs of server and store, and the server's conversations."""
    session = open_session()

    async def main() -> int:
        runs = await session.runs()
        found = await recent(runs, limit)
        chats = await Chats(runs).latest(limit) if runs.connected else []
        if as_json:
            both = [*map(_listed, found), *map(listed, chats)]
            newest = sorted(both, key=lambda one: one["started_at"] or "", reverse=True)
            print(json.dumps(newest[:limit], indent=2))
        elif found or chats:
            _show_list(found, chats)
        else:
            say("there are no runs yet; `python starter.py demo` makes one")
        if session.address is None:
            say(
                "no server is running: only runs that have ended are listed, conversations by "
                "`python starter.py chat --list`"
            )
        return DONE

    return run_async(main)


def _show_list(runs: Sequence[RunStatus], chats: Sequence[ChatLine]) -> None:
    console = stdout()
    if runs:
        console.print(runs_table(runs))
    if chats:
        console.print(chats_table(chats))


def _listed(status: RunStatus) -> dict[str, Any]:
    data: dict[str, Any] = status.model_dump(mode="json")
    wanted = ("run_id", "team", "status", "cost", "tokens", "started_at", "completed_at")
    return {"kind": "run", **{key: data[key] for key in wanted}}
