"""How long a command takes to start, beside the bare interpreter and a bare `import temporalio`.

The demo is measured from the command to the first piece of an agent's answer, on a home that it
has used before, beside a bare import of temporalio and start of the server on a file of its own.
Runs are interleaved, so that a machine that is busy for a while is busy for all of them.
"""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 7
DEMO_ROUNDS = 5
DEMO_LIMIT_S = 60
COMPILED = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
"""Where it is set, what was changed last is compiled anew by each start that is measured."""
COMMANDS = {
    "python, nothing imported": ["-c", "pass"],
    "import temporalio.client": ["-c", "import temporalio.client"],
    "starter.py --help": ["starter.py", "--help"],
    "import worker": ["-c", "import worker"],
}


def seconds(arguments: list[str]) -> float:
    """Run Python once and return how long it took."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        env=COMPILED,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def main() -> None:
    """Print the median and the best of each."""
    for arguments in COMMANDS.values():
        seconds(arguments)
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, arguments in COMMANDS.items():
            taken[name].append(seconds(arguments))
    _show(taken)
    with tempfile.TemporaryDirectory() as folder:
        _show(demo(Path(folder)))


def _show(taken: dict[str, list[float]]) -> None:
    for name, found in taken.items():
        print(f"  {name:<26} median {statistics.median(found):.2f} s, best {min(found):.2f} s")


def demo(folder: Path) -> dict[str, list[float]]:
    """Start the demo and what it stands on in turns; the first start of each does not count."""
    ways: dict[str, Callable[[], float]] = {
        "temporalio and the server": lambda: import_s() + server_s(folder),
        "demo, to the first token": lambda: first_token_s(folder / "home"),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1 + DEMO_ROUNDS):
        for name, way in ways.items():
            seconds_taken = way()
            if number:
                taken[name].append(seconds_taken)
    return taken


def import_s() -> float:
    """Return the seconds of an interpreter that only imports temporalio's client and worker."""
    return seconds(["-c", "import temporalio.client, temporalio.worker"])


def server_s(folder: Path) -> float:
    """Return the seconds until the server answers from its database."""
    from client.devserver.binary import find_server
    from client.devserver.server import DevServer

    binary = find_server(lambda line: print(f"  {line}", file=sys.stderr))

    async def started() -> float:
        before = time.perf_counter()
        async with DevServer(binary, folder / "server.db", log_file=folder / "log"):
            return time.perf_counter() - before

    return asyncio.run(started())


def first_token_s(home: Path) -> float:
    """Return the seconds from `starter.py demo` to the first piece of an answer in its spool."""
    seen = set(_spools(home))
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "starter.py", "demo"],
        env={**os.environ, "CALLBOARD_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not any(b'"delta"' in file.read_bytes() for file in set(_spools(home)) - seen):
            if process.poll() is not None or time.perf_counter() > started + DEMO_LIMIT_S:
                raise RuntimeError("the demo showed no text")
            time.sleep(0.005)
        return time.perf_counter() - started
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _spools(home: Path) -> list[Path]:
    return list((home / "spools").glob("*.jsonl"))


if __name__ == "__main__":
    main()
