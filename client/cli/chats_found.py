"""Conversations by name: a whole id, a unique beginning of one, or `last`, as runs are named.

What is found is a conversation or nothing: a name that is nobody's, or a run's, is left to who
looks for runs. One that may be either is refused, with all that it may be.

What a conversation is asked needs a worker, also when it has ended. One of this home that is
asked for while no server is running gets the embedded one for as long as it takes; whether there
may be one is told by the spools, so that commands for runs start nothing.
"""

import contextlib
import re
from collections.abc import AsyncIterator

from temporalio.service import RPCError

from client.chats import Chat, Chats
from client.cli.console import Refusal
from client.cli.places import conversations
from client.cli.session import LAST, MOST_SHOWN, RUN_ID, Session, recent, several
from client.connection import connect
from client.runs import ASK_LIMIT, Runs
from contracts.chats import CHAT_WORKFLOW
from stores.naming import file_name

GENERATED = re.compile(r".*-\d{8}-\d{6}-[0-9a-f]{4}")
"""Ids that nobody chose, as `client.run_ids` makes them."""

WITHIN = file_name("/")
"""What the spools of teams and slices within a run have in their names."""

MOST_LOOKED_AT = 100
"""Open conversations among which an agent's last one is looked for."""


@contextlib.asynccontextmanager
async def found_chat(session: Session, name: str) -> AsyncIterator[Chat | None]:
    """Give the conversation that a name means; None where it means none.

    Raises Refusal where it may be several, or a run; ServerUnreachable.
    """
    if RUN_ID.fullmatch(name) is None:
        yield None
        return
    if session.address is not None:
        client = await connect(session.address)
        chats = Chats(Runs(client, session.storage.store, session.storage.spools))
        yield await _named(session, chats, name)
        return
    if not await may_be_chat(session, name):
        yield None
        return
    async with conversations(session) as chats:
        chat = await _named(session, chats, name)
        if chat is not None:
            await chat.active()  # its worker is being started
        yield chat


async def chat_to_join(chats: Chats, name: str, agent: str) -> str:
    """Return the id of the conversation to go on with, which may be a new one's. Raises Refusal.

    `last` is the last open one with this agent. A beginning counts where it ends before a mark
    ("-", "." or "_"), or where nobody chose the id: who names conversations himself ("user-1")
    must not be led into another's ("user-12").
    """
    if name == LAST:
        return await _last_open(chats, agent)
    if await _kind(chats, name) is not None:
        return name
    begun = await _beginning(chats, name)
    found = [one for one in begun if GENERATED.fullmatch(one) or one[len(name)] in "-._"]
    if len(found) > 1:
        raise Refusal(several(name, found))
    return found[0] if found else name


async def _last_open(chats: Chats, agent: str) -> str:
    open_ones = await chats.latest(MOST_LOOKED_AT, "ExecutionStatus = 'Running'")
    for one in open_ones:
        if one.agent == agent:
            return one.chat_id
    raise Refusal(f"there is no open conversation with {agent}: leave --session out to begin one")


async def may_be_chat(session: Session, name: str) -> bool:
    """Whether a spool of this home may be that of a conversation of this name."""
    storage = session.storage
    ended = {file_name(run.removeprefix("runs/")) for run in await storage.store.names("runs/")}
    kept = await storage.spools.kept()
    own = [one for one in kept if one.name not in ended and WITHIN not in one.name]
    if name == LAST:
        newest = max(kept, key=lambda one: one.modified, default=None)
        return newest in own
    named = file_name(name)
    return named not in ended and any(one.name.startswith(named) for one in own)


async def _named(session: Session, chats: Chats, name: str) -> Chat | None:
    if name == LAST:
        return await _last(chats)
    kind = await _kind(chats, name)
    if kind is not None:
        return chats.get(name) if kind == CHAT_WORKFLOW else None
    if await chats.runs.get(name).record() is not None:
        return None
    begun = await _beginning(chats, name)
    if not begun:
        return None
    found = {*begun, *await session.beginning(chats.runs, name)}
    if len(found) > 1:
        raise Refusal(several(name, found))
    return chats.get(found.pop())


async def _last(chats: Chats) -> Chat | None:
    """Return the last conversation, where nothing was run since it began."""
    latest = await chats.latest(1)
    if not latest:
        return None
    runs = await recent(chats.runs, 1)
    began, ran = latest[0].started_at, runs[0].started_at if runs else None
    if began and ran and ran > began:
        return None
    return chats.get(latest[0].chat_id)


async def _beginning(chats: Chats, name: str) -> list[str]:
    found = await chats.latest(MOST_SHOWN + 1, f"WorkflowId STARTS_WITH '{name}'")
    return [one.chat_id for one in found]


async def _kind(chats: Chats, name: str) -> str | None:
    """Return what kind of workflow has this very id; None where none has."""
    try:
        described = await chats.client.get_workflow_handle(name).describe(rpc_timeout=ASK_LIMIT)
    except RPCError:
        return None
    return described.workflow_type
