"""Which runs are kept, and what of the stores only others needed.

Strategy: a run is kept while it goes on and for some time after its end. What it needs is told by
its history on the server, every payload of it, opened with the configured keys, and by its record
in the store. Whatever neither leads to, in any number of steps, is garbage (stores.collecting
says which of it stays for another day). Asking is all that is done here until `remove`.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from client.encryption import ENCODING as SEALED
from client.storage import Storage
from client.tenants import PREFIX as SERVERS
from client.tenants import Seen
from contracts.calls import ANSWERS
from contracts.sharing import CACHES, LEASES, UPLOADS, Kept
from contracts.tools import TOOL_CALLS
from stores.artifacts import ArtifactStore
from stores.backend import Entry
from stores.collecting import GRACE, Garbage
from stores.exceptions import ArtifactCorrupt, ArtifactMissing, StoreUnavailable
from stores.scanning import digests_in
from stores.spooling import KeptSpool

RUNS = "runs/"
TYPES = "callboard."
"""What the types of all our workflows begin with."""

_AT_ONCE = 8


@dataclass(frozen=True)
class Held:
    """What a server holds: ids of its runs, children included, and the hashes they name."""

    going_on: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()
    digests: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Leftovers:
    """What nothing needs any more: objects and names of the store, and spools."""

    garbage: Garbage
    spools: tuple[KeptSpool, ...]


async def held_by(client: Client, since: datetime) -> Held:
    """Return what the runs need that go on, or ended after `since`.

    Reads each of their histories. Raises RPCError, and WrongKey where one is sealed by a key
    that is not configured.
    """
    closed = f"CloseTime > '{since.astimezone(UTC).isoformat().replace('+00:00', 'Z')}'"
    going_on: set[str] = set()
    ended: set[str] = set()
    digests: set[str] = set()
    for which in ("ExecutionStatus = 'Running'", closed):
        query = f"WorkflowType STARTS_WITH '{TYPES}' AND {which}"
        some: list[WorkflowExecution] = []
        async for execution in client.list_workflows(query):
            running = execution.status is WorkflowExecutionStatus.RUNNING
            (going_on if running else ended).add(execution.id)
            some.append(execution)
            if len(some) == _AT_ONCE:
                digests |= await _named_by(client, some)
                some = []
        digests |= await _named_by(client, some)
    return Held(frozenset(going_on), frozenset(ended - going_on), frozenset(digests))


async def find_leftovers(
    storage: Storage, held: Held, since: datetime, others: list[Seen]
) -> Leftovers:
    """Return what nothing needs that `held` or a run record after `since` leads to.

    Nothing younger than GRACE is among it, whatever `since` is.
    `others` are the store's tenants: names of those that no longer count go too. Raises the
    store's errors; WrongKey where something is sealed by a key that is not configured.
    """
    kept = held.going_on | held.ended
    oldest = min(since, datetime.now(UTC) - GRACE)
    parents = await _parents(storage.store)
    gone = {SERVERS + seen.tenant.id for seen in others if not seen.counts}
    gone |= await _over(storage.store)

    def expired(name: str, noted: datetime) -> bool:
        # A record is noted at its run's end; a child's stays as long as its parent's does.
        if name.startswith(RUNS):
            run_id = name.removeprefix(RUNS)
            parent = run_id.partition("/")[0]
            ended = max(noted, parents.get(parent, noted))
            return ended < oldest and not {run_id, parent} & kept
        if name.startswith((TOOL_CALLS, ANSWERS)):
            return noted < oldest
        return name in gone

    garbage = await storage.store.collector().look(held.digests, expired)
    names = {storage.spools.name(run_id) for run_id in kept}
    spools = [
        spool
        for spool in await storage.spools.kept()
        if spool.modified < oldest and spool.name not in names
    ]
    return Leftovers(garbage, tuple(spools))


async def remove(
    storage: Storage, leftovers: Leftovers, removed: Callable[[Entry | KeptSpool], None]
) -> list[str]:
    """Remove what was found, telling of each; return why some of it stays.

    May be cancelled at any time and done again. Raises StoreUnavailable.
    """
    stay = await storage.store.collector().remove(leftovers.garbage, removed)
    for spool in leftovers.spools:
        try:
            await storage.spools.remove(spool.name)
        except StoreUnavailable as error:
            stay.append(str(error))
        else:
            removed(spool)
    return stay


async def _parents(store: ArtifactStore) -> dict[str, datetime]:
    """Return when the runs ended that have names below their own, those of their children."""
    names = [name.removeprefix(RUNS) for name in await store.names(RUNS)]
    found = {}
    for parent in {name.partition("/")[0] for name in names if "/" in name}:
        ended = await store.noted_at(RUNS + parent)
        if ended is not None:
            found[parent] = ended
    return found


async def _over(store: ArtifactStore) -> set[str]:
    """Return the names of what is no more at its vendor, and of leases that are over."""
    found, now = set(), datetime.now(UTC).timestamp()
    for name in [name for kind in (CACHES, UPLOADS, LEASES) for name in await store.names(kind)]:
        ref = await store.lookup(name)
        try:
            known = Kept() if ref is None else await store.get_model(ref, Kept)
        except (ArtifactMissing, ArtifactCorrupt):
            known = Kept()
        if known.until < now:
            found.add(name)
    return found


async def _named_by(client: Client, executions: list[WorkflowExecution]) -> set[str]:
    found = await asyncio.gather(*(_digests(client, execution) for execution in executions))
    return set().union(*found)


async def _digests(client: Client, execution: WorkflowExecution) -> set[str]:
    """Return the hashes that a history names; none where the server has just forgotten it."""
    handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
    codec = client.data_converter.payload_codec
    plain = client.data_converter.payload_converter
    found: set[str] = set()
    try:
        async for event in handle.fetch_history_events():
            payloads = list(_payloads(event))
            if codec is not None and payloads:
                payloads = await codec.decode(payloads)
            for payload in payloads:
                if payload.metadata.get("encoding") == SEALED:
                    plain.from_payload(payload)
                found |= digests_in(payload.data)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    return found


def _payloads(message: Message) -> Iterator[Payload]:
    """Yield all payloads of an event, wherever in it they are."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        several = value.values() if isinstance(value, Mapping) else value
        for one in [several] if isinstance(several, Message) else several:
            if isinstance(one, Payload):
                yield one
            elif isinstance(one, Message):
                yield from _payloads(one)
