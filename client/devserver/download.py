"""Lets the Temporal SDK download the server that it knows to work with.

The SDK only downloads what it then starts, hence a child process, which is
ended with all that it started when it is done or its time is up.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from client.devserver.child import last_line, run_child

LIMIT_S = 15.0

_DOWNLOAD_SCRIPT = """
import asyncio, os, sys
from temporalio.testing import WorkflowEnvironment

async def main():
    environment = await WorkflowEnvironment.start_local(download_dest_dir=sys.argv[1])
    await environment.shutdown()

asyncio.run(main())
os._exit(0)
"""


def sdk_download(
    target: Path,
    report: Callable[[str], None],
    *,
    limit_s: float = LIMIT_S,
    script: str = _DOWNLOAD_SCRIPT,
) -> bool:
    """Let the SDK download its server to `target`; False if it is not there in time."""
    report(f"no Temporal server found; trying the SDK's download (about 50 MB, {limit_s:.0f} s)")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="download-") as folder:
        log = Path(folder) / "log.txt"
        code = run_child([sys.executable, "-c", script, folder], log, limit_s=limit_s)
        found = [p for p in Path(folder).iterdir() if p.suffix != ".downloading" and p != log]
        if code != 0 or len(found) != 1:
            why = "not finished in time" if code is None else last_line(log) or "nothing came"
            report(f"no download: {why}")
            return False
        found[0].replace(target)
    report(f"downloaded the Temporal server to {target}")
    return True
