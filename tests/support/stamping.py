"""A tool that leaves a mark whenever it begins, for tests that kill its worker before it ends.

Its first call never ends by itself, and every later one at once.
"""

import asyncio
from pathlib import Path
from typing import Any

STAMP_CODE = '''
import time
from pathlib import Path


def stamp(title: str) -> str:
    """Stamp a title."""
    stamps = Path(__file__).with_name("stamps")
    again = stamps.exists()
    with stamps.open("a") as log:
        log.write(title + "\\n")
    if not again:
        time.sleep(600)
    return f"stamped {title}"
'''


def stamping(**more: Any) -> str:
    """Return an agent file's `tools:` with that tool, `more` among its keys."""
    extra = "".join(f", {key}: {value}" for key, value in more.items())
    return (
        "tools:\n  - {name: stamp, type: function, file: tools.py, function: stamp, "
        f"timeout: 30{extra}}}\n"
    )


def stamps(folder: Path) -> list[str]:
    """Return what the tool beside this folder's agent has begun to stamp."""
    file = folder / "stamps"
    return file.read_text().split() if file.exists() else []


async def stamped(folder: Path) -> None:
    """Wait until the tool has begun."""
    async with asyncio.timeout(60):
        while not stamps(folder):
            await asyncio.sleep(0.02)
