"""What a conversation costs: time before the provider's first piece, memory, replay.

The vendor stamps its first piece with the time at which it sends it. The overhead of a turn is the
time from its acceptance to that, beside the same for a bare call by the HTTP client, in turns.
Then 200 conversations live on one worker, and one of a thousand turns is replayed: what its worker
has to do again when it is lost. Processor time, in a process of its own; of the run that goes on
then, and of the one that went on after 100 turns.
"""

import asyncio
import gc
import json
import statistics
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import httpx2
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from benchmarks._clocked import Ages
from benchmarks._talks import Stage, percentile, stage
from benchmarks.rest import resident_mb
from client.chats import Chat, TurnResult
from contracts.chats import AgentHeader
from contracts.teams import AgentStatus
from worker import WORKFLOWS, workflow_runner

ONE = "1x0"
TURNS, WARM_UP = 100, 5
LIVE, AT_ONCE = 200, 8
MARKS = (100, 1000)
REPLAYS = 3
MOST_EVENTS = 2_100
"""Of one run: at 2,000 the conversation is continued as a new one."""


@dataclass(frozen=True)
class Replayed:
    """The run that went on after so many turns."""

    turn: int
    turns: int
    events: int
    size: int
    cpu_s: float

    @property
    def a_turn_ms(self) -> float:
        """Processor time for each turn that is replayed."""
        return 1000 * self.cpu_s / max(1, self.turns)


async def turn(chat: Chat) -> tuple[float, float, TurnResult]:
    """Say something; return when it was said and accepted, and what became of it."""
    began = time.monotonic()
    said = await chat.say("What time is it?")
    accepted = time.monotonic()
    result = await chat.wait(said.turn)
    if result.status is not AgentStatus.COMPLETED:
        raise RuntimeError(f"a turn failed: {result.error}")
    return began, accepted, result


async def overhead(on: Stage) -> tuple[list[float], list[float], list[float]]:
    """Return ms of the bare call, of turns from their acceptance, and of the acceptance."""
    bare, turns, taken = list[float](), list[float](), list[float]()
    chat = await opened(on, await on.header(ONE))
    async with httpx2.AsyncClient() as client:
        for number in range(TURNS + WARM_UP):
            began = time.monotonic()
            answer = await client.post(f"{on.vendor}/v1/chat/completions", json={"model": ONE})
            event = json.loads(answer.text.split("data: ")[1])
            first = sent_at(event["choices"][0]["delta"]["content"])
            said, accepted, result = await turn(chat)
            if number >= WARM_UP:
                bare.append(1000 * (first - began))
                turns.append(1000 * (sent_at(str(await chat.output(result))) - accepted))
                taken.append(1000 * (accepted - said))
    return bare, turns, taken


def sent_at(text: str) -> float:
    """Return when a text's first piece was sent, in seconds of the monotonic clock."""
    return Ages().of(text)[0][0] / 1e9


async def opened(on: Stage, header: AgentHeader) -> Chat:
    """Begin a conversation, and wait until it can be spoken to."""
    chat = await on.chats.open(f"clock-{uuid.uuid4()}", header, max_messages=5000)
    await chat.active()
    return chat


async def memory(on: Stage) -> float:
    """Return the kB by which the worker grows with each conversation of one turn."""
    header = await on.header(ONE)
    doors = asyncio.Semaphore(AT_ONCE)
    before = resident_mb(on.worker)

    async def talk() -> None:
        async with doors:
            await turn(await opened(on, header))

    await asyncio.gather(*(talk() for _ in range(LIVE)))
    return 1024 * (resident_mb(on.worker) - before) / LIVE


async def long(on: Stage, folder: Path) -> list[Replayed]:
    """Hold a long conversation; replay what goes on at each mark."""
    chat = await opened(on, await on.header(ONE))
    found, begun, run = [], 0, ""
    for number in range(1, MARKS[-1] + 1):
        await turn(chat)
        # A new run begins between two turns: the next one's first event tells.
        current = (await chat.handle.describe()).run_id
        if current != run:
            begun, run = number - 1, current
        if number in MARKS:
            handle = on.chats.client.get_workflow_handle(chat.chat_id, run_id=run)
            history = await handle.fetch_history()
            text = history.to_json()
            path = folder / f"{number}.json"
            path.write_text(text)
            cpu = await replayed(path)
            found.append(Replayed(number, number - begun, len(history.events), len(text), cpu))
    return found


async def replayed(path: Path) -> float:
    """Return the median of the processor time of a replay, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.chats", str(path), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return float(out)


async def replay(path: Path) -> None:
    """Replay a history some times; print the median."""
    history = WorkflowHistory.from_json("replayed", path.read_text())
    spent = []
    for _ in range(REPLAYS + 1):
        gc.collect()
        before = time.process_time()
        replayer = Replayer(
            workflows=WORKFLOWS,
            workflow_runner=workflow_runner(),
            data_converter=pydantic_data_converter,
        )
        await replayer.replay_workflow(history)
        spent.append(time.process_time() - before)
    print(statistics.median(spent[1:]), flush=True)


def show(what: str, values: list[float]) -> None:
    """Print a line of the table."""
    print(f"| {what} | {percentile(values, 0.5):.1f} | {percentile(values, 0.95):.1f} |")


async def main() -> int:
    """Measure and print. Returns the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with stage(folder) as on:
            bare, turns, taken = await overhead(on)
            print("\n| ms | p50 | p95 |\n| --- | ---: | ---: |")
            show("bare call, to the provider's first piece", bare)
            show("a turn, from its acceptance to that", turns)
            show("a turn's acceptance", taken)
            grown = await memory(on)
            print(f"\n  {LIVE} live conversations: {grown:.0f} kB each, of the worker's memory")
            marks = await long(on, folder)
    print("\n| after turns | turns in this run | events | kB | replay, CPU ms | a turn |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for one in marks:
        print(
            f"| {one.turn} | {one.turns} | {one.events} | {one.size / 1000:.0f} "
            f"| {1000 * one.cpu_s:.0f} | {one.a_turn_ms:.2f} |"
        )
    return 0 if all(one.events <= MOST_EVENTS for one in marks) else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(replay(Path(sys.argv[1])))
    else:
        sys.exit(asyncio.run(main()))
