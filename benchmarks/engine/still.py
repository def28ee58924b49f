"""What a worker takes that does nothing: its memory, and the time that our own imports take."""

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rest import resident_mb

SETTLE_S = 5
ROUNDS = 5
MEMORY_MB = 120
IMPORT_S = 0.8

WORKERS = {
    "`worker.py simulated`": ("simulated",),
    "`worker.py openai`, its SDK loaded": ("openai",),
    "`worker.py` with a key for OpenAI": (),
}
"""What is served: the SDKs of vendors take most of what a worker has beyond temporalio."""

_LINE = re.compile(r"import time:\s+\d+ \|\s+(\d+) \|(\s+)(\S+)")


def measure_rest(address: str, home: Path) -> None:
    """Print the table's lines for a worker at rest."""
    ours = statistics.median(own_import_s() for _ in range(ROUNDS))
    print("\n| a worker at rest | measured | target |\n| --- | ---: | --- |")
    for said, providers in WORKERS.items():
        memory = worker_memory_mb(address, home, providers)
        print(f"| resident memory, MB: {said} | {memory:.0f} | {_judged(memory, MEMORY_MB)} |")
    print(f"| our own import, s | {ours:.2f} | {_judged(ours, IMPORT_S)} |")
    sys.stdout.flush()


def _judged(value: float, target: float) -> str:
    return f"< {target}: {'met' if value < target else 'missed'}"


def worker_memory_mb(address: str, home: Path, providers: Sequence[str]) -> float:
    """Return the resident memory of `python worker.py`, some seconds after it is ready."""
    environment = {
        **os.environ,
        "CALLBOARD_HOME": str(home),
        "CALLBOARD_TEMPORAL_ADDRESS": address,
        "EP_OPENAI_API_KEY": "benchmark",
    }
    worker = subprocess.Popen(
        [sys.executable, "worker.py", *providers],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert worker.stdout is not None
        print(f"  {worker.stdout.readline().decode().strip()}", file=sys.stderr)
        time.sleep(SETTLE_S)
        return resident_mb(worker.pid)
    finally:
        worker.terminate()
        worker.wait(30)


def own_import_s() -> float:
    """Return the seconds that `import worker` takes beyond the imports of temporalio."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import temporalio.worker, temporalio.client; "
         "import temporalio.contrib.pydantic, temporalio.envconfig; import worker"],
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    for cumulative, depth, name in _LINE.findall(done.stderr):
        if name == "worker" and len(depth) == 1:
            return int(cumulative) / 1e6
    raise RuntimeError("the interpreter printed no time for the worker's import")
