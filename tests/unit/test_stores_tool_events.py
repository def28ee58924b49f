"""A tool call's events in a run's spool, beside its texts and out of their way."""

import asyncio
import base64
import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.spools import SpoolRecord
from contracts.tools import ToolEventRecord, spool_agent
from stores.assembling import coherent
from stores.sealing import AesGcm
from stores.spools import FileSpools

pytestmark = pytest.mark.unit

KEYED = AesGcm([("k", base64.b64encode(bytes(32)).decode())])
AGENT = spool_agent("turn-1", "c1")


def event(kind: str = "started", **data: object) -> ToolEventRecord:
    return ToolEventRecord.model_validate(
        {"event": kind, "tool": "t", "call_id": "c1", "at": datetime.now(UTC), "data": data}
    )


async def records(spools: FileSpools) -> list[SpoolRecord]:
    stop = asyncio.Event()
    stop.set()
    async with contextlib.aclosing(spools.follow("r", stop=stop)) as found:
        return [record async for record, _ in found]


@pytest.mark.parametrize("sealed", [False, True])
async def test_events_are_read_back_in_order_and_stale_tries_are_not(
    tmp_path: Path, sealed: bool
) -> None:
    spools = FileSpools(tmp_path, KEYED) if sealed else FileSpools(tmp_path)
    first, second, stale = event(), event("completed", result="yes"), event("failed")
    assert spools.tell("r", AGENT, 2, 0, first)
    assert spools.tell("r", AGENT, 2, 1, second)
    assert spools.tell("r", AGENT, 1, 5, stale)
    assert [record.tool for record in await records(spools)] == [first, second]


async def test_events_are_no_part_of_any_text(tmp_path: Path) -> None:
    spools = FileSpools(tmp_path)
    writing = spools.open_attempt("r", "turn-1", 1)
    writing.delta("Let me ")
    spools.tell("r", AGENT, 1, 0, event())
    writing.delta("see.")
    writing.ended()
    writing.close()
    assert coherent(await records(spools)) == {"turn-1": "Let me see."}
    assert await spools.partial("r", "turn-1", 1) == "Let me see."


async def test_what_cannot_be_written_is_told_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not FileSpools(tmp_path / "file").tell("r", AGENT, 1, 0, event())
    assert not FileSpools(tmp_path).tell("r", AGENT, 1, 0, event(text="x" * 100_000))
    assert await records(FileSpools(tmp_path)) == []
