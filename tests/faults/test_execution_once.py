"""A real worker killed between the steps of an execution: what the vendor did is not asked again.

The vendor is a server on this machine that speaks Gemini's protocols and counts its requests.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from client.execution import (
    APIHandler,
    CachePlan,
    FinalizedCommand,
    plan_execution,
)
from client.runs import Runs
from contracts.files import LARGE_BYTES, AttachedFile
from contracts.teams import SharedContext, WorkflowStatus
from rules import billing
from tests.support.server import LocalServer
from tests.support.teams import agent, candidate, plan, team
from tests.support.workers import Workers, staffed
from tests.wire.server import Reply, Request, Stall, WireServer
from tests.wire.streams import DIALECTS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ANSWER = Reply.stream([DIALECTS["gemini"].answer().data])
FILE = {"name": "files/abc", "uri": "https://g.test/v1beta/files/abc", "state": "ACTIVE"}


class Vendor:
    """Takes files and caches, and is silent to each kind of request as often as it is told."""

    def __init__(self, **silent: int) -> None:
        self.seen: Counter[str] = Counter()
        self.silent = Counter(silent)
        self.url = ""

    def __call__(self, request: Request) -> Reply:
        kind = self._kind(request)
        self.seen[kind] += 1
        if self.silent[kind]:
            self.silent[kind] -= 1
            return Reply((Stall(),), silent=True)
        if kind == "generate":
            return ANSWER
        if kind == "begin":
            return _json({}, **{"x-goog-upload-url": f"{self.url}/the-upload"})
        if kind == "upload":
            return _json({"file": FILE}, **{"x-goog-upload-status": "final"})
        return _json({"name": "cachedContents/abc"} if kind == "cache" else {})

    def _kind(self, request: Request) -> str:
        if request.method == "DELETE":
            return "delete"
        if "generateContent" in request.path or "GenerateContent" in request.path:
            return "generate"
        if request.path.endswith("cachedContents"):
            return "cache"
        command = request.headers.get("x-goog-upload-command", "")
        return "begin" if command == "start" else "upload"

    async def asked(self, kind: str) -> None:
        """Wait for a request of a kind."""
        async with asyncio.timeout(120):
            while not self.seen[kind]:
                await asyncio.sleep(0.02)


def _json(body: dict[str, Any], **headers: str) -> Reply:
    return Reply((json.dumps(body).encode(),), 200, {"content-type": "application/json", **headers})


@contextlib.asynccontextmanager
async def scene(
    server: LocalServer, home: Path, vendor: Vendor
) -> AsyncIterator[tuple[Workers, Runs]]:
    async with WireServer(vendor) as wire:
        vendor.url = wire.url
        workers = Workers(server.address, home, "gemini", EP_GEMINI_BASE_URL=wire.url)
        async with staffed(workers) as runs:
            yield workers, runs


@pytest.mark.parametrize(
    "killed_at",
    [
        "generate",
        pytest.param("cache", marks=pytest.mark.slow),
        pytest.param("upload", marks=pytest.mark.slow),
    ],
)
async def test_a_worker_killed_between_the_steps(
    server: LocalServer, tmp_path: Path, killed_at: str
) -> None:
    paper = tmp_path / "paper.pdf"
    paper.write_bytes(b"%PDF" + os.urandom(20_000))
    asked = plan_execution(
        [paper], ["Sum up"], model="gemini-2.5-flash", uploads="required",
        cache=CachePlan(floor_tokens=0),
    )  # fmt: skip
    vendor = Vendor(**{killed_at: 1})
    async with scene(server, tmp_path / "home", vendor) as (workers, runs):
        first = workers.start()
        handler = APIHandler("gemini", runs=runs)
        handling = asyncio.create_task(handler.handle(asked, f"fault-{uuid.uuid4()}"))
        await vendor.asked(killed_at)
        first.kill()
        workers.start()
        done = await asyncio.wait_for(handling, 120)
    assert isinstance(done, FinalizedCommand), done
    assert done.results[0].text
    expected = Counter(begin=1, upload=1, cache=1, generate=1, delete=1)
    expected[killed_at] += 1
    if killed_at == "upload":  # begun afresh: the vendor never had the first one whole
        expected["begin"] += 1
    assert vendor.seen == expected


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", ["generate", pytest.param("cache", marks=pytest.mark.slow)])
async def test_a_worker_killed_in_a_run_that_shares_files(
    server: LocalServer, tmp_path: Path, killed_at: str
) -> None:
    data = b"%PDF" + os.urandom(LARGE_BYTES)
    (tmp_path / "paper.pdf").write_bytes(data)
    file = AttachedFile(
        path=str(tmp_path / "paper.pdf"),
        name="paper.pdf",
        mime_type="application/pdf",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    steps = [agent(name, shared_context=True) for name in ("a", "b")]
    made = plan(
        team(*steps, shared_context=SharedContext(files=(file,)), cost_budget=Decimal(100)),
        candidate("gemini", "gemini-2.5-flash", caching="named"),
        file_tokens={"a": 5_000, "b": 5_000},
        shared_tokens=(5_000,),
    )
    vendor = Vendor(**{killed_at: 1})
    async with scene(server, tmp_path / "home", vendor) as (workers, runs):
        first = workers.start()
        run = await runs.start(made, {}, f"fault-{uuid.uuid4()}")
        await vendor.asked(killed_at)
        first.kill()
        workers.start()
        result = await asyncio.wait_for(run.wait(), 120)
        cost = await run.cost()
    assert result.status is WorkflowStatus.COMPLETED
    assert (vendor.seen["begin"], vendor.seen["upload"]) == (1, 1)
    assert vendor.seen["cache"] == (2 if killed_at == "cache" else 1)
    assert vendor.seen["delete"] == 2  # the file and the cache
    assert cost.reserved == 0
    assert not billing.differences(billing.make_bill(cost, made))
