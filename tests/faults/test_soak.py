"""C31: a worker that is talked to without a pause does not grow.

90 seconds here; CALLBOARD_SOAK_MINUTES=30 makes it the half hour that C31 asks for.
"""

import asyncio
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.rest import resident_mb
from client.chats import Chat
from contracts.teams import AgentStatus
from tests.faults.test_chat_killed import Stage, stage  # noqa: F401  # a fixture

SECONDS = 60 * float(os.environ.get("CALLBOARD_SOAK_MINUTES", "1.5"))
WARM_UP = 0.4
"""Of the time: caches fill, and Python keeps what it once took."""

TALKERS, TURNS = 3, 15
GROWTH, GROWTH_MB = 1.08, 3.0

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(SECONDS + 240),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc"),
]


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@dataclass
class Watched:
    """A process, looked at every second once it is warm."""

    pid: int
    memory_mb: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def look(self) -> None:
        self.memory_mb.append(resident_mb(self.pid))
        self.files.append(descriptors(self.pid))

    def judge(self, who: str) -> None:
        """Compare the beginning with the end."""
        part = max(1, len(self.memory_mb) // 4)
        before = statistics.median(self.memory_mb[:part])
        after = statistics.median(self.memory_mb[-part:])
        told = (
            f"{who}: {before:.0f} MB, then {after:.0f} MB; {self.files[0]}, {self.files[-1]} files"
        )
        assert after <= before * GROWTH + GROWTH_MB, told
        early, late = max(self.files[:part]), min(self.files[-part:])
        assert late <= early + 5, told


async def talked(on: Stage, until: float) -> int:
    """Hold one conversation after the other; return how many turns there were."""
    turns = 0
    while time.monotonic() < until:
        chat: Chat = await on.begin()
        for number in range(TURNS):
            said = await chat.say(f"What is {number} and {turns}?")
            result = await asyncio.wait_for(chat.wait(said.turn), 60)
            assert result.status is AgentStatus.COMPLETED, result.error
            turns += 1
        await chat.end()
    return turns


async def test_C31_a_worker_that_is_talked_to_without_a_pause_does_not_grow(
    stage: Stage,  # noqa: F811
) -> None:
    worker = stage.workers.start()
    until = time.monotonic() + SECONDS
    warm = time.monotonic() + WARM_UP * SECONDS
    talking = [asyncio.create_task(talked(stage, until)) for _ in range(TALKERS)]
    processes = {"worker": Watched(worker.pid), "client": Watched(os.getpid())}
    while time.monotonic() < until:
        await asyncio.sleep(1)
        if time.monotonic() > warm:
            for process in processes.values():
                process.look()
    turns = sum(await asyncio.gather(*talking))
    assert turns >= TALKERS * TURNS
    for who, process in processes.items():
        process.judge(who)
