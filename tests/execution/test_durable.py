"""Executions as workflows: the same outcomes, small histories, nothing done twice."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory

from client.execution import (
    APICall,
    APIHandler,
    CachePlan,
    CallSettings,
    ExecutionPlan,
    Failure,
    FilePlaceholder,
    FinalizedCommand,
    SourceError,
    TextPart,
    UploadTask,
    describe_file,
    durable,
    plan_execution,
)
from client.runs import Runs
from contracts.execution_parts import StoredPart
from contracts.messages import Usage
from contracts.plans import Candidate
from providers.exceptions import InvalidRequest, RateLimited
from stores.artifacts import ArtifactStore
from tests.execution.fakes import CachingClient, FakeClient
from tests.execution.stage import FakeClients, stage
from tests.support.server import LocalServer
from tests.support.teams import GPT4

pytestmark = pytest.mark.integration

LONG = "A long text. " * 40_000


@pytest.fixture
def fake() -> CachingClient:
    return CachingClient()


@pytest.fixture
def other() -> FakeClient:
    return FakeClient("From the other.")


@pytest.fixture
async def runs(
    server: LocalServer, tmp_path: Path, fake: CachingClient, other: FakeClient
) -> AsyncIterator[Runs]:
    async with stage(server.address, tmp_path, {"fake": fake, "other": other}) as served:
        yield served
    await asyncio.sleep(0.05)


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    file = tmp_path / "paper.pdf"
    file.write_bytes(b"%PDF" + os.urandom(100_000))
    return file


def planned(paper: Path, **more: Any) -> ExecutionPlan:
    return ExecutionPlan(
        calls=(APICall(model="m", parts=(TextPart(text="Analyze"), FilePlaceholder(index=0))),),
        files=(describe_file(paper),),
        upload_tasks=(UploadTask(part_index=1),),
        **more,
    )


async def execute(runs: Runs, plan: ExecutionPlan, name: str | None = None) -> Any:
    return await asyncio.wait_for(APIHandler("fake", runs=runs).handle(plan, name), 60)


async def history(runs: Runs, name: str) -> WorkflowHistory:
    return await runs.client.get_workflow_handle(name).fetch_history()


async def test_upload_cache_and_answer(runs: Runs, fake: CachingClient, paper: Path) -> None:
    name = f"test-{uuid.uuid4()}"
    plan = planned(paper, shared_parts=(TextPart(text=LONG),), cache=CachePlan())
    done = await execute(runs, plan, name)
    assert isinstance(done, FinalizedCommand)
    assert done.results[0].text == "An answer."
    assert fake.uploads[0][0] == paper.read_bytes()
    assert fake.caches[0].messages[0].content == LONG
    (request,) = fake.requests
    assert request.cache_key == "cache-1"
    assert [part.kind for part in request.messages[0].parts] == ["text", "file_ref"]
    assert fake.deleted == ["file-1"]
    assert done.telemetry is not None
    assert done.telemetry.durations["upload"] > 0
    events = (await history(runs, name)).events
    assert sum(event.ByteSize() for event in events) < 30_000


async def test_it_is_the_same_in_one_process(runs: Runs, fake: CachingClient, paper: Path) -> None:
    def turn(request: Any) -> Any:
        return InvalidRequest("gone", status=404) if request.cache_key else "An answer."

    plan = planned(paper, shared_parts=(TextPart(text=LONG),), cache=CachePlan())
    fake.turns = (turn,)
    durably = await execute(runs, plan)
    here = await APIHandler(CachingClient(turn)).handle(plan)
    assert isinstance(here, FinalizedCommand)
    assert here.diagnostics == durably.diagnostics
    drop = {"output": None, "cache": None}
    same = [r.model_copy(update=drop) for r in here.results]
    assert same == [r.model_copy(update=drop) for r in durably.results]
    assert [r.text for r in here.results] == [r.text for r in durably.results]


async def test_the_same_id_is_the_same_execution(runs: Runs, fake: CachingClient) -> None:
    name = f"test-{uuid.uuid4()}"
    plan = plan_execution([], ["Hello"], model="m")
    first = await execute(runs, plan, name)
    second = await execute(runs, plan, name)
    assert first.payload == second.payload
    assert len(fake.requests) == 1


async def test_B10_two_runs_make_one_cache(runs: Runs, fake: CachingClient) -> None:
    plan = plan_execution(
        [TextPart(text="The book")], ["Sum up"], model=f"m-{uuid.uuid4()}", cache=True,
    )  # fmt: skip
    plan = plan.model_copy(update={"token_estimate": None})
    await asyncio.gather(execute(runs, plan), execute(runs, plan))
    await execute(runs, plan)
    assert len(fake.caches) == 1
    assert [r.cache_key for r in fake.requests] == ["cache-1"] * 3


async def test_B18_without_the_cache_that_has_gone(runs: Runs, fake: CachingClient) -> None:
    def turn(request: Any) -> Any:
        return InvalidRequest("gone", status=404) if request.cache_key else "An answer."

    fake.turns = (turn,)
    plan = plan_execution([TextPart(text="The book")], ["Sum up"], model="b18", cache=True)
    plan = plan.model_copy(update={"token_estimate": None})
    done = await execute(runs, plan)
    assert [r.cache_key for r in fake.requests] == ["cache-1", None]
    assert done.retried_without_cache
    await execute(runs, plan)
    assert len(fake.caches) == 2  # the one that had gone was forgotten


async def test_B19_retries_are_timers(runs: Runs, fake: CachingClient) -> None:
    fake.turns = (RateLimited("slow down", status=429), "At last.")
    done = await execute(runs, plan_execution([], ["Hello"], model="m"))
    assert (done.results[0].text, done.results[0].retries) == ("At last.", 1)


async def test_B21_B22_fallback_and_failure(
    runs: Runs, fake: CachingClient, other: FakeClient
) -> None:
    fake.turns = (InvalidRequest("not this", status=400),)
    plan = plan_execution([], ["Hello"], model="m", fallback_provider="other")
    done = await execute(runs, plan)
    assert (done.results[0].text, done.used_fallback) == ("From the other.", True)
    other.turns = (InvalidRequest("nor that", status=400),)
    name = f"test-{uuid.uuid4()}"
    failure = await execute(runs, plan, name)
    assert isinstance(failure, Failure)
    assert "not this" in failure.message
    assert "nor that" in failure.message
    description = await runs.client.get_workflow_handle(name).describe()
    assert description.status is not None
    assert description.status.name == "FAILED"


async def test_B33_a_batch(runs: Runs, fake: CachingClient) -> None:
    def turn(request: Any) -> Any:
        text = request.messages[0].content
        return InvalidRequest("no", status=400) if "two" in text else text.upper()

    fake.turns = (turn,)
    done = await execute(runs, plan_execution([], ["one", "two", "three"], model="m"))
    assert [r.text for r in done.results] == ["ONE", "", "THREE"]


async def test_a_cancelled_execution_stops_and_cleans_up(
    runs: Runs, fake: CachingClient, paper: Path
) -> None:
    fake.seconds = 30
    handling = asyncio.create_task(execute(runs, planned(paper)))
    while not fake.requests:
        await asyncio.sleep(0.02)
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    async with asyncio.timeout(60):
        while not fake.deleted:
            await asyncio.sleep(0.02)
    assert fake.deleted == ["file-1"]
    assert fake.open_now == 0


async def test_a_file_that_changed_is_named_before_it_begins(
    runs: Runs, fake: CachingClient, paper: Path
) -> None:
    plan = planned(paper)
    paper.write_bytes(b"%PDF other")
    with pytest.raises(SourceError, match=r"paper\.pdf has changed"):
        await execute(runs, plan)
    assert fake.requests == []


class Busy(FakeClients):
    """An account whose limits leave no room at first."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked = 0

    async def admit(self, call: str, candidate: Candidate, tokens: int) -> float:
        self.asked += 1
        return 0.2 if self.asked == 1 else 0.0


async def test_the_accounts_limits_are_kept(
    server: LocalServer, tmp_path: Path, fake: CachingClient
) -> None:
    busy = Busy({"fake": fake})
    async with stage(server.address, tmp_path, {"fake": fake}, kept_by=busy) as served:
        done = await execute(served, plan_execution([], ["Hello"], model="m"))
    assert (done.results[0].retries, busy.asked, len(fake.requests)) == (0, 2, 1)


async def test_a_part_that_left_the_store_is_named(
    server: LocalServer, tmp_path: Path, fake: CachingClient
) -> None:
    plan = plan_execution([TextPart(text=LONG)], ["Sum up"], model="m")
    slim = await durable.stored(plan, ArtifactStore.open(str(tmp_path / "artifacts")))
    (part,) = slim.shared_parts
    assert isinstance(part, StoredPart)
    for file in (tmp_path / "artifacts").rglob(f"{part.ref.sha256[2:]}*"):
        file.unlink()
    name = f"test-{uuid.uuid4()}"
    async with stage(server.address, tmp_path, {"fake": fake}) as served:
        failure = await execute(served, slim, name)
    assert isinstance(failure, Failure)
    assert part.ref.sha256 in failure.message
    assert name in failure.message
    assert fake.requests == []


async def test_a_budget_is_kept_by_workers(runs: Runs, fake: CachingClient) -> None:
    fake.usage = Usage(1_000, 100)
    settings = CallSettings(max_tokens=10)
    calls = [
        APICall(model="m", parts=(TextPart(text=text),), settings=settings)
        for text in ("One?", "Two?", "Three?")
    ]
    plan = ExecutionPlan(calls=tuple(calls), concurrency=1, budget=Decimal("0.04"))
    handler = APIHandler("fake", runs=runs, price=lambda *_: GPT4)
    done = await asyncio.wait_for(handler.handle(plan), 60)
    assert isinstance(done, FinalizedCommand)
    assert [result.failure is None for result in done.results] == [True, True, False]
    assert len(fake.requests) == 2
    assert done.spent is not None
    assert done.spent.cost == Decimal("0.072")  # the vendor reported more than the bound
