"""Tools that hang, die, are cancelled or lose their worker: unsafe ones are called once."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError

from contracts.tools import (
    ToolError,
)
from tests.support.toolbench import Make

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("effect", ["read", "unsafe"])
async def test_a_tool_that_hangs_ends_in_its_time(make: Make, tmp_path: Path, effect: str) -> None:
    bench = make("hangs", effect=effect, timeout=1.5)
    began = time.monotonic()
    outcome = await bench.call("hangs", path=str(tmp_path / "mark"))
    assert time.monotonic() - began < 25
    assert outcome.error_kind == ToolError.TIMEOUT
    assert "within 1.5 s" in str(outcome.error)
    assert outcome.unknown == (effect == "unsafe")


async def test_a_tool_that_dies_is_tried_again_where_that_is_harmless(
    make: Make, tmp_path: Path
) -> None:
    bench, mark = make("dies", effect="idempotent", attempts=2), tmp_path / "mark"
    request = await bench.request("dies", arguments={"path": str(mark)})
    with pytest.raises(ApplicationError) as caught:
        await bench.run(request)
    assert not caught.value.non_retryable
    assert caught.value.type == "ToolUnavailable"
    outcome = await bench.run(request, attempt=2)
    assert (outcome.error_kind, outcome.unknown) == (ToolError.DIED, False)
    assert mark.read_text() == "xx"


async def test_an_unsafe_tool_that_dies_is_not_run_again(make: Make, tmp_path: Path) -> None:
    bench, mark = make("dies"), tmp_path / "mark"
    request = await bench.request("dies", arguments={"path": str(mark)})
    outcome = await bench.run(request)
    assert (outcome.error_kind, outcome.unknown) == (ToolError.DIED, True)
    assert "nobody knows whether it was done" in await bench.text(outcome)
    again = await bench.run(request, attempt=2)
    assert again.unknown
    assert mark.read_text() == "x"


async def test_a_second_run_reports_what_came_of_the_first(make: Make, tmp_path: Path) -> None:
    bench, mark = make("count"), tmp_path / "mark"
    request = await bench.request("count", arguments={"path": str(mark)})
    first = await bench.run(request)
    second = await bench.run(request, attempt=2)
    assert second.model_dump(mode="json") == first.model_dump(mode="json")
    assert mark.read_text() == "x"
    confirmed = request.model_copy(update={"confirmed": True, "attempt": 2})
    assert (await bench.run(confirmed)).status == "completed"
    assert (await bench.run(confirmed, attempt=2)).status == "completed"
    assert mark.read_text() == "xx"


async def test_two_runs_at_once_of_an_unsafe_call_make_it_once(make: Make, tmp_path: Path) -> None:
    bench, mark = make("count"), tmp_path / "mark"
    request = await bench.request("count", arguments={"path": str(mark)})
    outcomes = await asyncio.gather(bench.run(request), bench.run(request, attempt=2))
    known = [outcome.model_dump() for outcome in outcomes if not outcome.unknown]
    # Who comes second does not know what became of the first, unless that has ended by then.
    assert known in ([known[0]], [known[0], known[0]])
    assert mark.read_text() == "x"


@pytest.mark.parametrize(("effect", "unknown"), [("read", False), ("unsafe", True)])
async def test_a_call_that_is_cancelled_ends_its_tool(
    make: Make, tmp_path: Path, effect: str, unknown: bool
) -> None:
    bench, mark = make("hangs", effect=effect), tmp_path / "mark"
    request = await bench.request("hangs", arguments={"path": str(mark)})
    environment = bench.environment()
    running = asyncio.create_task(environment.run(bench.work.call_tool, request))
    while not mark.exists():
        await asyncio.sleep(0.05)
    environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    outcome = await asyncio.wait_for(running, 30)
    assert (outcome.error_kind, outcome.unknown) == (ToolError.CANCELLED, unknown)


async def test_a_stopped_worker_hands_back_what_may_be_done_again(
    make: Make, tmp_path: Path
) -> None:
    bench, mark = make("hangs", effect="read"), tmp_path / "mark"
    request = await bench.request("hangs", arguments={"path": str(mark)})
    environment = bench.environment()
    running = asyncio.create_task(environment.run(bench.work.call_tool, request))
    while not mark.exists():
        await asyncio.sleep(0.05)
    environment.cancel(ActivityCancellationDetails(worker_shutdown=True))
    with pytest.raises(ApplicationError, match="the worker was stopped"):
        await asyncio.wait_for(running, 30)


KILLED = """
import asyncio, sys
from pathlib import Path
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment
from activities.tools import RunTools
from contracts.tools import ToolRequest
from stores.artifacts import ArtifactStore
from stores.spools import FileSpools

async def main(folder):
    store, spools = ArtifactStore.open(str(folder / "artifacts")), FileSpools(folder / "spools")
    environment = ActivityEnvironment()
    environment.payload_converter = pydantic_data_converter.payload_converter
    request = ToolRequest.model_validate_json((folder / "request.json").read_text())
    await environment.run(RunTools(store, spools, {}).call_tool, request)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize(("effect", "marks"), [("unsafe", "x"), ("read", "xx")])
async def test_a_worker_killed_between_a_tools_start_and_end(
    make: Make, tmp_path: Path, effect: str, marks: str
) -> None:
    bench, mark = make("hangs", effect=effect, timeout=8), tmp_path / "mark"
    request = await bench.request("hangs", arguments={"path": str(mark)})
    (tmp_path / "request.json").write_text(request.model_dump_json())
    root = Path(__file__).parents[2]
    worker = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root)
    while not mark.exists():
        assert worker.poll() is None
        await asyncio.sleep(0.05)
    [tool] = _children(worker.pid)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    outcome = await bench.run(request, attempt=2)
    assert outcome.unknown == (effect == "unsafe")
    assert mark.read_text() == marks
    async with asyncio.timeout(30):
        while _alive(tool):
            await asyncio.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]
