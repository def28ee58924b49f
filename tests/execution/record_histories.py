"""Records histories of executions for the replay tests, as `tests.support.record_histories` does.

    python -m tests.execution.record_histories VERSION

Writes `tests/histories/VERSION-execution_NAME.json`, and never over a file that exists.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from client.devserver import find_server
from client.execution import (
    APICall,
    APIHandler,
    CachePlan,
    ExecutionPlan,
    FilePlaceholder,
    TextPart,
    UploadTask,
    describe_file,
    plan_execution,
)
from contracts.messages import ChatRequest
from providers.exceptions import InvalidRequest, RateLimited
from tests.execution.fakes import CachingClient, FakeClient
from tests.execution.stage import stage
from tests.support.record_histories import HISTORIES
from tests.support.server import local_server
from tests.support.teams import GPT4

Scene = Callable[[Path], tuple[ExecutionPlan, CachingClient]]


def whole(folder: Path) -> tuple[ExecutionPlan, CachingClient]:
    """Uploads that two calls share, a cache, a wait, a call that fails, all cleaned up."""
    paper = folder / "paper.pdf"
    paper.write_bytes(b"%PDF a paper")
    calls = tuple(
        APICall(model="m", parts=(TextPart(text=text), FilePlaceholder(index=0)))
        for text in ("one", "two", "three")
    )
    plan = ExecutionPlan(
        calls=calls,
        shared_parts=(TextPart(text="The book. " * 500),),
        files=(describe_file(paper),),
        upload_tasks=tuple(UploadTask(part_index=1, call=n) for n in range(3)),
        cache=CachePlan(keep=False),
    )
    asked = []

    def turn(request: ChatRequest) -> Any:
        asked.append(request)
        text = str(request.messages[0].parts)
        if "two" in text or len(asked) == 1:
            return RateLimited("slow down", status=429)
        return "An answer."

    return plan, CachingClient(turn)


def fallback(folder: Path) -> tuple[ExecutionPlan, CachingClient]:
    """A cache that has gone, another try without it, the fallback's answer."""
    plan = plan_execution(
        [TextPart(text="The book")], ["Hello"], model="m", cache=True, fallback_provider="other"
    )
    plan = plan.model_copy(update={"token_estimate": None})
    return plan, CachingClient(InvalidRequest("no", status=400))


def refused(folder: Path) -> tuple[ExecutionPlan, CachingClient]:
    """An upload that is required of a part that is none."""
    call = APICall(model="m", parts=(TextPart(text="Hello"),))
    return ExecutionPlan(calls=(call,), upload_tasks=(UploadTask(part_index=3),)), CachingClient()


def cancelled(folder: Path) -> tuple[ExecutionPlan, CachingClient]:
    """Stopped in mid-answer; what it uploaded is deleted."""
    plan, _ = whole(folder)
    return plan, CachingClient(seconds=30)


def budget(folder: Path) -> tuple[ExecutionPlan, CachingClient]:
    """A kept cache is looked for; the budget holds neither a new one nor the calls."""
    paper = folder / "paper.pdf"
    paper.write_bytes(b"%PDF a paper")
    plan = plan_execution(
        [paper], ["one", "two"], model="m", cache=True, max_tokens=100, concurrency=1, budget=2
    )
    return plan.model_copy(update={"token_estimate": None}), CachingClient()


SCENES: dict[str, Scene] = {
    scene.__name__: scene for scene in (whole, fallback, refused, cancelled, budget)
}


async def record(version: str) -> None:
    """Play the scenes and write their histories."""
    binary = await asyncio.to_thread(find_server, print)
    with (
        tempfile.TemporaryDirectory() as folder,
        local_server(binary.path, Path(folder)) as server,
    ):
        for name in SCENES:
            path = HISTORIES / f"{version}-execution_{name}.json"
            if path.exists():
                print(f"{path.name} exists: left as it is")
                continue
            place = Path(folder) / name
            place.mkdir()
            await _record(server.address, place, name, path)
    await asyncio.sleep(0.05)


async def _record(address: str, folder: Path, name: str, path: Path) -> None:
    plan, fake = SCENES[name](folder)
    clients = {"fake": fake, "other": FakeClient("From the other.")}
    async with stage(address, folder, clients) as runs:
        handler = APIHandler("fake", runs=runs, price=lambda *_: GPT4)
        handling = asyncio.create_task(handler.handle(plan, name))
        if name == "cancelled":
            while not fake.requests:
                await asyncio.sleep(0.02)
            handling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await handling
        handle = runs.client.get_workflow_handle(name)
        with contextlib.suppress(Exception):
            await handle.result()
        path.write_text((await handle.fetch_history()).to_json())
        print(path.name, (await handle.describe()).status)


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1]))
