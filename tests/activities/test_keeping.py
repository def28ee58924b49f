"""Uploads and caches as activities: done once for an execution, found by others where kept."""

from typing import Any

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment

from activities.execution import ExecutionWork
from contracts.execution import CacheEffect, CacheRef, CallSettings, SourceFile, TextPart
from contracts.execution_calls import CacheCall, UploadCall, UploadReply
from stores.artifacts import ArtifactStore
from tests.execution.stage import FakeClients
from tests.support.keeping import KeepingClient, Kept
from tests.support.replies import replied
from tests.support.scripted import Script

pytestmark = pytest.mark.unit


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def store() -> ArtifactStore:
    return ArtifactStore.open("memory://")


def environment() -> ActivityEnvironment:
    made = ActivityEnvironment()
    made.payload_converter = pydantic_data_converter.payload_converter
    return made


def worker(store: ArtifactStore, kept: Kept) -> ExecutionWork:
    """Return another worker's activities: it shares nothing but the store."""
    return ExecutionWork(store, FakeClients({"vendor": KeepingClient(Script(), "m", kept)}))


async def upload(work: ExecutionWork, store: ArtifactStore, run: str, **more: Any) -> UploadReply:
    ref = await store.put_bytes(b"the bytes", "application/pdf")
    file = SourceFile(
        path="a.pdf",
        mime_type="application/pdf",
        size_bytes=ref.size_bytes,
        sha256=ref.sha256,
        name="a.pdf",
        content=ref,
    )
    call = UploadCall(execution_id=run, provider="vendor", model="m", file=file, **more)
    return await replied(environment(), work.execution_upload, call, UploadReply)


async def cache(work: ExecutionWork, run: str, **more: Any) -> CacheRef:
    effect = CacheEffect(
        content_key="k", parts=(TextPart(text="x"),), settings=CallSettings(), ttl_s=100, **more
    )
    call = CacheCall(execution_id=run, provider="vendor", model="m", effect=effect)
    return await replied(environment(), work.execution_cache, call, CacheRef)


async def test_a_worker_that_is_killed_after_an_upload_does_not_lead_to_another(
    store: ArtifactStore, kept: Kept
) -> None:
    first = await upload(worker(store, kept), store, "run-1")
    again = await upload(worker(store, kept), store, "run-1")
    assert (first, again) == (UploadReply(uri="file-1"), UploadReply(uri="file-1"))
    assert len(kept.uploads) == 1


async def test_another_run_finds_what_was_kept_and_nothing_else(
    store: ArtifactStore, kept: Kept
) -> None:
    await upload(worker(store, kept), store, "run-1")
    assert (await upload(worker(store, kept), store, "run-2", keep_s=60)).uri == "file-2"
    found = await upload(worker(store, kept), store, "run-3", keep_s=60)
    assert found == UploadReply(uri="file-2", kept=True)
    fresh = await upload(worker(store, kept), store, "run-3", keep_s=60, fresh=True)
    assert fresh == UploadReply(uri="file-3")
    assert len(kept.uploads) == 3


async def test_a_cache_is_its_run_s_own_unless_it_is_kept(store: ArtifactStore, kept: Kept) -> None:
    made = await cache(worker(store, kept), "run-1", keep=False)
    again = await cache(worker(store, kept), "run-1", keep=False)
    assert (made.name, made.application, made.tokens) == ("cache-1", "created", 1_000)
    assert again == made
    assert (await cache(worker(store, kept), "run-2", create=False)).name is None
    assert (await cache(worker(store, kept), "run-2")).name == "cache-2"
    found = await cache(worker(store, kept), "run-3", create=False, keep=False)
    assert (found.name, found.application, found.tokens) == ("cache-2", "reused", 1_000)
    assert len(kept.caches) == 2
