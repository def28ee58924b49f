"""Long lists, cut into stored slices; the records of the child runs that work on them.

All safe to repeat: what they write is content-addressed. A list is read and cut once; who works
on a slice reads that slice only, so the work for each item does not grow with the list.
"""

import asyncio
import logging

from temporalio import activity
from temporalio.exceptions import ApplicationError

from contracts.activities import ListFacts, SliceActivities
from contracts.artifacts import ArtifactRef
from contracts.base import Json
from contracts.failures import FailureKind
from contracts.runs import RecordPage, RecordQuery, RunRecord, StepResult
from contracts.slices import (
    MOST_ITEMS,
    SLICE_ITEMS,
    Answers,
    AnswersQuery,
    SliceQuery,
    StoredSlice,
    StoredSlices,
)
from contracts.teams import AgentStatus
from rules import slicing, templates
from stores.artifacts import ArtifactStore
from stores.exceptions import ArtifactMissing

STORED_AT_ONCE = 8

log = logging.getLogger(__name__)


class SliceWork(SliceActivities):
    """The activities, on one artifact store."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    @activity.defn(name="load_slice")
    async def load_slice(self, query: SliceQuery) -> StoredSlice:
        try:
            index = await self._store.get_model(query.slices, StoredSlices)
        except ArtifactMissing as error:
            raise ApplicationError(
                str(error), type=FailureKind.INTERNAL, non_retryable=True
            ) from None
        return index.slices[query.number]

    @activity.defn(name="load_answers")
    async def load_answers(self, query: AnswersQuery) -> Answers:
        try:
            record = await self._store.get_model(query.record, RunRecord)
        except ArtifactMissing as error:
            log.warning("items are asked again, their answers are not known: %s", error)
            return Answers()
        done = [r for r in record.results if r.status is AgentStatus.COMPLETED and r.output]
        end = query.start + query.count
        return Answers(
            results=tuple(_brief(result) for result in done[query.start : end]),
            more=len(done) > end,
        )

    @activity.defn(name="store_slice")
    async def store_slice(self, record: RunRecord) -> ArtifactRef:
        whole = record if len(record.results) == record.steps else await _completed(record)
        return await self._store.put_json(whole)


def _brief(result: StepResult) -> StepResult:
    """Return a result by reference, without what its attempts say as well."""
    output = result.output
    if output is not None and output.ref is not None:
        by_reference = {"inline": None, "has_inline": False, "preview": ""}
        output = output.model_copy(update=by_reference)
    return StepResult(
        agent_id=result.agent_id,
        status=result.status,
        output=output,
        tokens_used=result.tokens_used,
        cost=result.cost,
        execution_time=result.execution_time,
        retry_count=result.retry_count,
    )


async def measured(store: ArtifactStore, items: list[Json]) -> ListFacts:
    """Return what a workflow must know of a list; a long one is stored in slices."""
    sizes = [len(templates.text_of(item).encode()) for item in items]
    if len(items) <= SLICE_ITEMS:
        return ListFacts(sizes=tuple(sizes), count=len(items))
    if len(items) > MOST_ITEMS:
        return ListFacts(sizes=(), count=len(items))
    return ListFacts(
        sizes=(),
        count=len(items),
        largest=max(sizes),
        smallest=min(sizes),
        slices=await _stored(store, items, sizes),
    )


async def _stored(store: ArtifactStore, items: list[Json], sizes: list[int]) -> ArtifactRef:
    """Store a list in slices and return the index of them."""
    turns = asyncio.Semaphore(STORED_AT_ONCE)

    async def store_one(places: range) -> StoredSlice:
        async with turns:
            ref = await store.put_json(items[places.start : places.stop])
        return StoredSlice(
            items=ref, start=places.start, sizes=tuple(sizes[places.start : places.stop])
        )

    cut = slicing.cut(len(items), SLICE_ITEMS)
    slices = await asyncio.gather(*(store_one(places) for places in cut))
    return await store.put_json(StoredSlices(slices=tuple(slices)))


async def _completed(record: RunRecord) -> RunRecord:
    """Return the record with what the workflow did not hand over, asked of it page by page."""
    info = activity.info()
    workflow = activity.client().get_workflow_handle(
        info.workflow_id or "", run_id=info.workflow_run_id
    )
    pages: list[RecordPage] = []
    while (seen := sum(len(page.results) for page in pages)) < record.steps:
        query = RecordQuery(start=seen)
        page = await workflow.query("records", query, result_type=RecordPage)
        if not page.results:
            raise ApplicationError(
                "the workflow knows fewer items than its record says",
                type=FailureKind.INTERNAL,
                non_retryable=True,
            )
        pages.append(page)
    return record.model_copy(
        update={
            "results": tuple(result for page in pages for result in page.results),
            "attempts": tuple(attempt for page in pages for attempt in page.attempts),
        }
    )
