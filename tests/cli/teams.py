"""Small teams as files, and starter.py as a process that tests can interrupt."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent

TWO = """\
name: two
inputs:
  text: {type: text, default: "Bees live in hives. Bees make honey. Ants dig."}
cost_budget: 1
agents:
  - name: draft
    llm_config: {max_tokens: 300}
    prompt_template: "List three points about: {text}"
  - name: polish
    dependencies: [draft]
    llm_config: {max_tokens: 300}
    prompt_template: "Repeat three points of this: {draft}"
outputs: {answer: "{polish}"}
"""


def write_team(folder: Path, text: str = TWO, *, pace: float = 0, log: Path | None = None) -> Path:
    """Write a team and, beside it, its simulation: `pace` in tokens per second, 0 the fastest."""
    simulation = {"tokens_per_second": pace, **({"log": str(log)} if log else {})}
    (folder / "simulation.yaml").write_text(json.dumps(simulation))
    team = folder / "team.yaml"
    team.write_text(text)
    return team


def simulated(team: Path) -> list[str]:
    """Return the arguments that run a team on the simulator, whatever its personas prefer."""
    simulation = str(team.with_name("simulation.yaml"))
    return ["run", str(team), "--provider", "simulated", "--simulation", simulation]


class Process:
    """starter.py, running; its output goes to files."""

    def __init__(self, arguments: list[str], env: dict[str, str], folder: Path) -> None:
        name = f"{arguments[0]}-{time.monotonic_ns()}"
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "starter.py"), *arguments],
                env=env,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def stdout(self) -> str:
        """What it has written so far."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """What it has said so far."""
        return self._err.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""
        self.process.send_signal(number)

    def wait(self, timeout: float = 90) -> int:
        """Return its exit code."""
        return self.process.wait(timeout)

    def says(self, text: str, timeout: float = 60) -> None:
        """Wait until it has said something on stderr."""
        until(lambda: text in self.stderr or self.process.poll() is not None, timeout)
        assert text in self.stderr, self.stderr + self.stdout


@contextlib.contextmanager
def started(arguments: list[str], env: dict[str, str], folder: Path) -> Iterator[Process]:
    """Start a command; it is gone after the block."""
    process = Process(arguments, env, folder)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.process.kill()
        process.process.wait()


def until(condition: Callable[[], Any], timeout: float = 60) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.05)


def processes_of(home: str, *names: str) -> list[int]:
    """Return the processes that run in a home: those whose environment or arguments name it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            told = (folder / "cmdline").read_bytes()
            if int(folder.name) == os.getpid() or not all(n.encode() in told for n in names):
                continue
            if (folder / "environ").read_bytes().find(f"CALLBOARD_HOME={home}\0".encode()) >= 0:
                found.append(int(folder.name))
    return found


def nothing_left(home: str) -> None:
    """Fail if a process of this home does not end by itself in a moment."""
    until(lambda: not processes_of(home), 30)
