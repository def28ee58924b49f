"""File spools as tests write and read them."""

import asyncio

from contracts.spools import SpoolRecord
from stores.sealing import PLAIN
from stores.spoollines import encode
from stores.spools import FileSpools

RUN = "run-1"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def written(
    spools: FileSpools, from_offset: int = 0, run_id: str = RUN
) -> list[tuple[SpoolRecord, int]]:
    """Return what a reader that comes now finds."""
    stop = asyncio.Event()
    stop.set()
    return [item async for item in spools.follow(run_id, from_offset, stop=stop)]


def partial(spools: FileSpools, run_id: str, agent: str, attempt: int) -> str:
    return asyncio.run(spools.partial(run_id, agent, attempt))


def write_lines(spools: FileSpools, data: bytes) -> None:
    spools.path(RUN).parent.mkdir(exist_ok=True)
    with spools.path(RUN).open("ab") as file:
        file.write(data)


def line(record: SpoolRecord) -> bytes:
    return b"\n" + encode(record.model_dump(exclude={"gap"}), PLAIN) + b"\n"
