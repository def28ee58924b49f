"""Durable executions: what is large goes to the store, the rest is a workflow's.

Files are stored before the execution begins, so that any worker can upload them; one that is no
longer what was planned is refused by name.
"""

import asyncio
import contextlib
import json

from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

from client.connection import connect
from client.runs import Runs
from client.storage import open_storage
from client.storing import store_file
from contracts.artifacts import Value
from contracts.base import Frozen
from contracts.execution import CallResult, ExecutionPlan, FilePlaceholder, SourceFile
from contracts.execution_calls import (
    EXECUTION_FAILED,
    EXECUTION_WORKFLOW,
    ExecutionOutcome,
    ExecutionRequest,
)
from contracts.execution_parts import StoredPart
from contracts.queues import WORKFLOW_QUEUE
from stores.artifacts import ArtifactStore
from stores.values import load_value

INLINE_BYTES = 1024
"""A part that is larger than this as JSON travels by reference."""


async def execute(request: ExecutionRequest, runs: Runs | None = None) -> ExecutionOutcome:
    """Execute by workers and return the outcome, its texts loaded.

    An execution of the same id is joined, or its outcome returned. Cancelled, it stops the
    execution. Raises `ServerUnreachable`, `StoreError`, `SourceError`.
    """
    runs = runs or await _configured()
    plan = await stored(request.plan, runs.store)
    handle = await _started(request.model_copy(update={"plan": plan}), runs)
    try:
        outcome = await handle.result()
    except WorkflowFailureError as error:
        outcome = _failed(error)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await asyncio.shield(handle.cancel())
        raise
    results = [await _loaded(result, runs.store) for result in outcome.results]
    return outcome.model_copy(update={"results": tuple(results)})


async def _configured() -> Runs:
    from config.settings import load_settings

    storage = open_storage(load_settings())
    return Runs(await connect(), storage.store, storage.spools)


async def _started(
    request: ExecutionRequest, runs: Runs
) -> "WorkflowHandle[object, ExecutionOutcome]":
    plan = request.plan
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await runs.client.start_workflow(
            EXECUTION_WORKFLOW,
            request,
            id=request.execution_id,
            task_queue=WORKFLOW_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"{request.name or 'execution'}: {len(plan.calls)} calls, {plan.model}",
        )
    return runs.client.get_workflow_handle(request.execution_id, result_type=ExecutionOutcome)


def _failed(error: WorkflowFailureError) -> ExecutionOutcome:
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == EXECUTION_FAILED and cause.details:
        return ExecutionOutcome.model_validate_json(json.dumps(cause.details[0]))
    raise error


async def stored(plan: ExecutionPlan, store: ArtifactStore) -> ExecutionPlan:
    """Return a plan that is small: its files and large parts are in the store."""
    calls = [
        call.model_copy(update={"parts": await _parts(call.parts, store)}) for call in plan.calls
    ]
    fallback = await stored(plan.fallback, store) if plan.fallback is not None else None
    return plan.model_copy(
        update={
            "calls": tuple(calls),
            "shared_parts": await _parts(plan.shared_parts, store),
            "files": tuple([await _file(file, store) for file in plan.files]),
            "fallback": fallback,
        }
    )


async def _parts(parts: tuple[Frozen, ...], store: ArtifactStore) -> tuple[Frozen, ...]:
    return tuple([await _part(part, store) for part in parts])


async def _part(part: Frozen, store: ArtifactStore) -> Frozen:
    if isinstance(part, FilePlaceholder | StoredPart):
        return part
    text = part.model_dump_json()
    if len(text) <= INLINE_BYTES:
        return part
    kind = str(getattr(part, "kind", ""))
    return StoredPart(ref=await store.put_bytes(text.encode(), "application/json"), of=kind)


async def _file(file: SourceFile, store: ArtifactStore) -> SourceFile:
    if file.content is not None:
        return file
    since = "it was planned"
    ref = await store_file(store, file.path, file.mime_type, file.sha256, since)
    return file.model_copy(update={"content": ref})


async def _loaded(result: CallResult, store: ArtifactStore) -> CallResult:
    output = result.output
    if output is None or output.has_inline:
        return result
    text = await load_value(store, output)
    whole = Value(**{**output.__dict__, "inline": text, "has_inline": True})
    return result.model_copy(update={"output": whole})
