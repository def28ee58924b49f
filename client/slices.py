"""The attempts of long lists, where their child runs keep them.

A run's ledger has one entry for each slice of a long `for_each`. Here they become the attempts
that they stand for: of a slice that has ended from its stored record, of one in flight from its
workflow. An entry whose attempts cannot be had stays as it is, so that nothing is missing from
the sum.
"""

import asyncio
from datetime import timedelta

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from contracts.runs import AttemptRecord, RunCost, RunRecord
from stores.artifacts import ArtifactStore
from stores.exceptions import StoreError

READ_AT_ONCE = 8
ASK_LIMIT = timedelta(seconds=5)


async def with_slices(cost: RunCost, store: ArtifactStore, client: Client | None) -> RunCost:
    """Return a ledger in which every attempt stands for itself, in the same order."""
    if all(attempt.part is None for attempt in cost.attempts):
        return cost
    turns = asyncio.Semaphore(READ_AT_ONCE)

    async def read(attempt: AttemptRecord) -> tuple[AttemptRecord, ...]:
        async with turns:
            return await _attempts(attempt, store, client)

    read_all = await asyncio.gather(*(read(attempt) for attempt in cost.attempts))
    attempts = tuple(attempt for some in read_all for attempt in some)
    return cost.model_copy(update={"attempts": attempts})


async def _attempts(
    entry: AttemptRecord, store: ArtifactStore, client: Client | None
) -> tuple[AttemptRecord, ...]:
    """Return what an entry stands for: itself, or the attempts of a slice."""
    part = entry.part
    if part is None:
        return (entry,)
    if part.record is not None:
        try:
            return (await store.get_model(part.record, RunRecord)).attempts
        except StoreError:
            return (entry,)
    if client is None or entry.state != "reserved":
        return (entry,)
    try:
        handle = client.get_workflow_handle(part.run_id)
        asked: RunCost = await handle.query("cost", result_type=RunCost, rpc_timeout=ASK_LIMIT)
    except (RPCError, WorkflowQueryFailedError):
        return (entry,)
    return asked.attempts
