"""A thousand streams at once in a process of their own: `python -m benchmarks._crowd API WAY URL`.

Prints as JSON how many ended well, how long all of it took, and by how much the resident memory
had grown when every stream had its first piece and none had ended.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections import Counter

from benchmarks._vendor import text
from benchmarks._ways import PAIRS, Texts
from benchmarks.rest import resident_mb

STREAMS = 1000
AT_A_TIME = 100
"""So many connect at once: more than that, and SDKs run into their connect timeout of 5 s."""

PIECES = 4
MODEL = f"{PIECES}x6000"
"""A piece every six seconds: all have begun before the first one ends."""


class Crowd:
    """Streams that count themselves."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._doors = asyncio.Semaphore(AT_A_TIME)
        self.begun = self.ended = self.failed = 0
        self.errors: Counter[str] = Counter()

    async def follow(self) -> None:
        """Read one stream to its end; whatever goes wrong is counted."""
        found: list[str] = []
        pieces = self._texts(MODEL)
        try:
            async with self._doors:
                found.append(await anext(pieces))
            self.begun += 1
            found += [piece async for piece in pieces]
        except Exception as error:
            self.failed += 1
            self.errors[f"{type(error).__name__}: {error}"] += 1
            return
        self.ended += 1
        self.failed += "".join(found) != text(PIECES)


async def measure(api: str, way: str, url: str) -> dict[str, float]:
    """Warm up, open all streams, and look at the memory while they are open."""
    texts, close = PAIRS[api][way](url)
    for _ in range(20):
        async for _ in texts("20x0"):
            pass
    gc.collect()
    before, started = resident_mb(os.getpid()), time.perf_counter()
    crowd = Crowd(texts)
    tasks = [asyncio.create_task(crowd.follow()) for _ in range(STREAMS)]
    while crowd.begun + crowd.failed < STREAMS:  # noqa: ASYNC110  # read by the streams' own loop
        await asyncio.sleep(0.02)
    grown, all_open = resident_mb(os.getpid()) - before, crowd.ended == 0
    await asyncio.gather(*tasks)
    await close()
    for error, count in crowd.errors.items():
        print(f"{api}, {way}: {count} × {error}", file=sys.stderr)
    return {
        "failed": crowd.failed,
        "grown_mb": grown,
        "all_open": all_open,
        "seconds": time.perf_counter() - started,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(*sys.argv[1:4]))))
