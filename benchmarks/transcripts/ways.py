"""The ways to run the agent, each a worker process of its own on the one server.

A sample is one conversation: its wall time as its caller sees it, the processor time of its
worker, its history. The caller is this process: it counts for nobody's processor time.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowHistory

from benchmarks.transcripts import ours, story
from benchmarks.transcripts.serving import MARK
from client.chats import Chats
from client.runs import Runs
from client.storage import open_storage
from config.settings import Settings
from contracts.plans import AgentHeader
from contracts.teams import AgentStatus
from contracts.tools import Effect

HERE = "benchmarks.transcripts"
READY_S = 120
LONGEST = timedelta(minutes=15)
PATIENCE_S = 300.0
"""For one conversation: who has no answer after that is not waited for."""


MODEL_CALLS = frozenset({"call_turn", "hand_ask"})
"""The activities that ask the model, in the ways that can be replayed up to some turn."""


class Unanswered(Exception):
    """A conversation did not get to its answer, and why."""


@dataclass(frozen=True)
class Sample:
    """What one conversation took: seconds, seconds, bytes, events; its id names its history."""

    turns: int
    wall_s: float
    cpu_s: float
    history_bytes: int
    events: int
    workflow_id: str
    run_id: str


@dataclass(frozen=True)
class UpTo:
    """A part of a conversation: its calls of functions in a replay of its own, its bytes."""

    calls: int
    history_bytes: int


@dataclass(frozen=True)
class Slope:
    """Replays of one conversation up to some of its turns.

    `reached`, of each replay: the seconds of processor time up to each of these turns, and to
    the end.
    """

    reached: list[list[float]]
    parts: dict[int, UpTo]


class WorkerProcess:
    """A worker in a process of its own, and the lines it answers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls, python: Path, module: str, address: str, queue: str, environment: Mapping[str, str]
    ) -> "WorkerProcess":
        """Start it, and wait until it works."""
        process = await asyncio.create_subprocess_exec(
            python,
            "-m",
            f"{HERE}.{module}",
            address,
            queue,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
            env={**os.environ, **environment},
        )
        worker = cls(process)
        try:
            said = await asyncio.wait_for(worker._line(), READY_S)
        except BaseException:
            process.kill()
            raise
        if said != "ready":
            raise RuntimeError(f"the worker of {module} did not start")
        return worker

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def ask(self, line: str) -> str:
        """Send a line; return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()
        return await self._line()

    async def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 40)
        except TimeoutError:
            self._process.kill()

    async def _line(self) -> str:
        assert self._process.stdout is not None
        while line := (await self._process.stdout.readline()).decode():
            if line.startswith(MARK):
                return line.removeprefix(MARK).strip()
        raise RuntimeError("a worker has ended")


class Way(ABC):
    """One way to run the agent."""

    def __init__(self, client: Client, worker: WorkerProcess, queue: str) -> None:
        self._client, self.worker, self.queue = client, worker, queue

    async def sample(self, turns: int, size: int) -> Sample:
        """Hold one conversation of so many tool calls, each with so many bytes."""
        workflow_id = f"{self.queue}-{uuid.uuid4()}"
        await self.prepare(turns)
        spent, started = float(await self.worker.ask("cpu")), time.perf_counter()
        await self._held(workflow_id, turns, size)
        wall = time.perf_counter() - started
        cpu = float(await self.worker.ask("cpu")) - spent
        handle = await self.end(workflow_id)
        info = (await handle.describe()).raw_description.workflow_execution_info
        return Sample(
            turns,
            wall,
            cpu,
            info.history_size_bytes,
            info.history_length,
            workflow_id,
            info.execution.run_id,
        )

    async def _held(self, workflow_id: str, turns: int, size: int) -> None:
        """Hold a conversation within PATIENCE_S. Raises Unanswered."""
        try:
            await asyncio.wait_for(self.hold(workflow_id, turns, size), PATIENCE_S)
        except WorkflowFailureError as error:
            raise Unanswered(str(error.cause)) from None
        except TimeoutError:
            handle = self._client.get_workflow_handle(workflow_id)
            info = (await handle.describe()).raw_description.workflow_execution_info
            await handle.terminate("it takes too long")
            raise Unanswered(
                f"not within {PATIENCE_S:g} s; its history had {info.history_length:,} events "
                f"and {info.history_size_bytes / 1e6:.1f} MB"
            ) from None

    async def prepare(self, turns: int) -> None:  # noqa: B027
        """Do what is done once for an agent, not for each conversation."""

    @abstractmethod
    async def hold(self, workflow_id: str, turns: int, size: int) -> None:
        """Start a conversation and wait for its answer."""

    async def end(self, workflow_id: str) -> "WorkflowHandle[object, object]":
        """End a conversation that has its answer; return a handle of its history."""
        return self._client.get_workflow_handle(workflow_id)

    async def replays(self, sample: Sample, folder: Path, count: int) -> list[float]:
        """Return the seconds of processor time of so many replays of a conversation."""
        history = await self._history(sample)
        found: list[float] = await self._asked(history, folder, f"replay {{}} {count}")
        return found

    async def slope(
        self, sample: Sample, lengths: Sequence[int], folder: Path, count: int
    ) -> Slope:
        """Replay a conversation, read on its way at its answers after so many tool turns.

        In its end a conversation goes over all of its turns once, after a long turn it goes on in
        a new history, which takes its memory along: no turn adds that.
        """
        history = await self._history(sample)
        events, ends = history.events, _answers(history.events)
        marks = " ".join(str(ends[n] + 1) for n in lengths)
        reached = await self._asked(history, folder, f"clock {{}} {count} {marks}")
        parts = {}
        for n in lengths:
            part = WorkflowHistory("turns", events[: ends[n] + 1])
            calls = await self._asked(part, folder, "calls {}")
            parts[n] = UpTo(calls, _size(part.events))
        return Slope(reached, parts)

    async def _history(self, sample: Sample) -> WorkflowHistory:
        handle = self._client.get_workflow_handle(sample.workflow_id, run_id=sample.run_id)
        return await handle.fetch_history()

    async def _asked(self, history: WorkflowHistory, folder: Path, line: str) -> Any:
        """Return the worker's answer to a line about a history, whose file stands for {}."""
        path = folder / f"{uuid.uuid4()}.json"
        path.write_text(history.to_json())
        try:
            return json.loads(await self.worker.ask(line.format(path)))
        finally:
            path.unlink()


def _size(events: Sequence[HistoryEvent]) -> int:
    """Return the bytes of a history, as its last workflow task was told."""
    return max(e.workflow_task_started_event_attributes.history_size_bytes for e in events)


def _answers(events: Sequence[HistoryEvent]) -> list[int]:
    """Return where in a history the model's answers are."""
    asked = {
        event.event_id
        for event in events
        if event.activity_task_scheduled_event_attributes.activity_type.name in MODEL_CALLS
    }
    return [
        number
        for number, event in enumerate(events)
        if event.activity_task_completed_event_attributes.scheduled_event_id in asked
    ]


class Plain(Way):
    """A workflow that takes the question and returns the number of model calls."""

    async def hold(self, workflow_id: str, turns: int, size: int) -> None:
        handle = await self._client.start_workflow(
            "transcript_agent",
            story.question(turns, size),
            id=workflow_id,
            task_queue=self.queue,
            result_type=int,
            execution_timeout=LONGEST,
        )
        calls = await handle.result()
        if calls != turns + 1:
            raise RuntimeError(f"{self.queue}: {calls} calls of the model for {turns} entries")


class Callboard(Way):
    """A chat with one message; what its tool does twice has that effect."""

    def __init__(
        self,
        client: Client,
        worker: WorkerProcess,
        queue: str,
        home: Path,
        entries: Path,
        effect: Effect,
    ) -> None:
        super().__init__(client, worker, queue)
        self._effect: Effect = effect
        storage = open_storage(Settings(home=home))
        self._entries, self._store = entries, storage.store
        self._chats = Chats(Runs(client, storage.store, storage.spools), queue)
        self._header: AgentHeader | None = None

    async def prepare(self, turns: int) -> None:
        self._header = await ours.header(self._store, self._entries, turns, self._effect)

    async def hold(self, workflow_id: str, turns: int, size: int) -> None:
        assert self._header is not None
        chat = await self._chats.open(workflow_id, self._header)
        accepted = await chat.say(story.question(turns, size))
        result = await chat.wait(accepted.turn)
        if result.status is not AgentStatus.COMPLETED or result.calls != turns + 1:
            raise RuntimeError(f"callboard: {result.status.value}: {result.error}")

    async def end(self, workflow_id: str) -> "WorkflowHandle[object, object]":
        await self._chats.get(workflow_id).end()
        first = await self._client.get_workflow_handle(workflow_id).describe()
        return self._client.get_workflow_handle(
            workflow_id, run_id=first.raw_description.workflow_execution_info.first_run_id
        )


PEERS = {
    "pydantic-ai": "peers.pydantic_agent",
    "openai-agents": "peers.openai_agent",
    "langgraph": "peers.langgraph_agent",
}


@contextlib.asynccontextmanager
async def all_ways(
    client: Client, address: str, folder: Path, peers_python: Path | None, wanted: Sequence[str]
) -> AsyncIterator[dict[str, Way]]:
    """Start the workers; yield the ways by name."""
    environment = {
        story.FOLDER_VARIABLE: str(folder / "entries"),
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
    }
    here = Path(sys.executable)
    async with contextlib.AsyncExitStack() as stack:

        async def started(name: str, module: str, python: Path) -> WorkerProcess:
            home = {"BENCHMARK_HOME": str(folder / name)}
            worker = await WorkerProcess.start(
                python, module, address, name, {**environment, **home}
            )
            stack.push_async_callback(worker.stop)
            return worker

        ways: dict[str, Way] = {}
        if "callboard" in wanted:
            worker = await started("callboard", "ours", here)
            home, entries = folder / "callboard", folder / "entries"
            ways["callboard"] = Callboard(client, worker, "callboard", home, entries, "read")
            ways["callboard-unsafe"] = Callboard(
                client, worker, "callboard", home, entries, "unsafe"
            )
        for name in ("by-hand", "by-hand-apart"):
            if name in wanted:
                ways[name] = Plain(client, await started(name, "hand", here), name)
        for name, module in PEERS.items():
            if name in wanted and peers_python is not None:
                ways[name] = Plain(client, await started(name, module, peers_python), name)
        yield ways
