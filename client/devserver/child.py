"""Child processes that cannot outlive their use: each leads its own session."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TICK_S = 15.0


def run_child(
    command: Sequence[str],
    log: Path,
    *,
    limit_s: float | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    tick: Callable[[float], None] | None = None,
) -> int | None:
    """Run a command with its output in `log`; return its exit code, None at the limit.

    Calls `tick(elapsed seconds)` every TICK_S. Whatever ends the wait,
    KeyboardInterrupt included, the command and its children are gone after it.
    """
    started = reported = time.monotonic()
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
    try:
        while child.poll() is None:
            now = time.monotonic()
            if limit_s is not None and now - started > limit_s:
                return None
            if tick and now - reported > TICK_S:
                reported = now
                tick(now - started)
            time.sleep(0.05)
        return child.returncode
    finally:
        kill_session(child)


def kill_session(child: subprocess.Popen[bytes]) -> None:
    """Kill a child that leads its own session, with all that it started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        child.kill()
    child.wait()


def last_line(log: Path) -> str:
    """Return the last line of a log that has any text, or ""."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
