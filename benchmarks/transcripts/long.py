"""Five hundred turns with results of 10 kB: who finishes, and what ends the others."""

import asyncio
import sys
import time
from pathlib import Path

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus, WorkflowHandle

from benchmarks.transcripts import story
from benchmarks.transcripts.ways import Way

TURNS, SIZE = 500, 10_000
LOOK_S = 1.0
STUCK_S = 60.0
"""A history that has not grown for so long does not go on."""

_EVENTS_A_TURN = 12


async def measure(client: Client, ways: dict[str, Way], folder: Path) -> None:
    """Print a table: one line a way."""
    story.write_entries(folder / "entries", TURNS, SIZE)
    print(f"\n| {TURNS} turns, 10 kB results | turns made | history, MB | seconds | how it ended |")
    print("| --- | ---: | ---: | ---: | --- |")
    for name, way in ways.items():
        print(f"| {name} | {await _attempt(client, way, f'long-{name}')} |")
        sys.stdout.flush()


async def _attempt(client: Client, way: Way, workflow_id: str) -> str:
    await way.prepare(TURNS)
    started = time.perf_counter()
    holding = asyncio.create_task(way.hold(workflow_id, TURNS, SIZE))
    watching = asyncio.create_task(_stuck(client, workflow_id))
    await asyncio.wait({holding, watching}, return_when=asyncio.FIRST_COMPLETED)
    wall = time.perf_counter() - started
    if watching.done() and not holding.done():
        await client.get_workflow_handle(workflow_id).terminate("it does not go on")
    watching.cancel()
    await asyncio.gather(holding, watching, return_exceptions=True)
    answered = not holding.cancelled() and holding.exception() is None
    handle = await way.end(workflow_id) if answered else client.get_workflow_handle(workflow_id)
    described = await handle.describe()
    said = "answered" if answered else await _why(handle, described.status)
    info = described.raw_description.workflow_execution_info
    turns = TURNS if answered else min(info.history_length // _EVENTS_A_TURN, TURNS)
    return f"{turns} | {info.history_size_bytes / 1e6:.1f} | {wall:.0f} | {said}"


async def _stuck(client: Client, workflow_id: str) -> None:
    """Return once the history has stopped growing."""
    handle, size, since = client.get_workflow_handle(workflow_id), -1, time.monotonic()
    while time.monotonic() - since < STUCK_S:
        await asyncio.sleep(LOOK_S)
        described: WorkflowExecution = await handle.describe()
        seen = described.raw_info.history_length
        if seen != size:
            size, since = seen, time.monotonic()


async def _why(
    handle: "WorkflowHandle[object, object]", status: WorkflowExecutionStatus | None
) -> str:
    """Return what the history's last word is."""
    reason = ""
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
            reason = event.workflow_execution_terminated_event_attributes.reason
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
            reason = event.workflow_execution_failed_event_attributes.failure.message
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            reason = event.workflow_task_failed_event_attributes.failure.message
    return f"{status.name.lower() if status else ''}: {reason[:160]}"
