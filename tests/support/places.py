"""The places where spools can be, for tests that hold for each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contracts.spools import SpoolRecord
from stores.redis_spools import RedisSpools
from stores.sealing import PLAIN, Sealer
from stores.spooling import Spools
from stores.spools import FileSpools
from tests.support.programs import Program, program

WRITER = """
import asyncio, sys
from client.storage import _spools
from config.settings import Settings
from stores.locations import DataDir
from stores.sealing import PLAIN

async def write(spools):
{body}

async def main():
    spools = _spools(sys.argv[1], DataDir("unused"), PLAIN)
    try:
        await write(spools)
    finally:
        await spools.aclose()

asyncio.run(main())
"""


@dataclass(frozen=True)
class Place:
    """An empty place; `url` is what CALLBOARD_SPOOL_URL calls it."""

    kind: str
    url: str

    def open(self, sealer: Sealer = PLAIN) -> Spools:
        """Open it once more: each opening has connections of its own."""
        if self.kind == "files":
            return FileSpools(Path(self.url.removeprefix("file://")), sealer)
        return RedisSpools(self.url, sealer)

    def process(self, body: str, *arguments: object) -> Program:
        """Run the body of `async def write(spools)` in another process; sys.argv[2:] is free."""
        lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
        return program(WRITER.format(body=lines), self.url, *arguments)


Told = list[tuple[SpoolRecord, int]]
Opener = Callable[[], Spools]
