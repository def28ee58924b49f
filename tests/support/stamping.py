"""A tool that leaves a mark whenever it begins, for tests that kill its worker before it ends."""

import asyncio
from pathlib import Path
from typing import Any

TOOL = '''
import time
from pathlib import Path


def stamp(title: str) -> str:
    """Stamp a title."""
    with Path(__file__).with_name("stamps").open("a") as log:
        log.write(title + "\\n")
    time.sleep(SECONDS)
    return f"stamped {title}"
'''


def stamp_code(seconds: float = 0.0) -> str:
    """Return the tool's code; it works so long before it answers."""
    return TOOL.replace("SECONDS", str(seconds))


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
