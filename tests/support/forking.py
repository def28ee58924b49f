"""`starter.py` in processes of their own that need not import it: forked from one that has.

Strategy: a process imports all that any command may need and starts no thread. For every command it
forks a child, which gets the command's environment, folder and files and then runs `starter.py`
as `__main__`. What a command does, prints and returns is the same; a second of imports is saved
each time. What a test has to see start cold (what is imported, what a signal does early on) it
starts by itself.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PRELOADED = """
import gc, importlib, json, os, pkgutil, runpy, sys

root = sys.argv[1]
sys.path[0] = root
import client.cli

for found in pkgutil.walk_packages(client.cli.__path__, "client.cli."):
    importlib.import_module(found.name)
gc.collect()
gc.freeze()


def become(command):
    os.environ.clear()
    os.environ.update(command["env"])
    os.chdir(command["cwd"])
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, command["out"], os.O_WRONLY | os.O_APPEND),
        (2, command["err"], os.O_WRONLY | os.O_APPEND),
    ):
        opened = os.open(name, flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv[:] = [root + "/starter.py", *command["arguments"]]
    runpy.run_path(sys.argv[0], run_name="__main__")
    os._exit(0)


def tell(**what):
    answers.write(json.dumps(what) + "\\n")
    answers.flush()


answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
tell(threads=len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1)
for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            become(json.loads(line))
        finally:
            os._exit(70)
    tell(child=child)
    tell(code=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


class Forker:
    """Runs commands, one at a time whoever asks; `close` ends it."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self._root, self._env = root, dict(env)
        self._one_at_a_time = threading.Lock()
        self._begin()

    def run(
        self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path, timeout: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run `starter.py` with these arguments. Raises TimeoutExpired, and it is killed."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            for file in (out, err):
                file.touch()
            command = {"arguments": [*arguments], "env": {**env}, "cwd": str(cwd)}
            with self._one_at_a_time:
                code = self._ended({**command, "out": str(out), "err": str(err)}, timeout)
            said = [file.read_text(errors="replace") for file in (out, err)]
        ran = [sys.executable, str(self._root / "starter.py"), *arguments]
        if code is None:
            raise subprocess.TimeoutExpired(ran, timeout, *said)
        return subprocess.CompletedProcess(ran, code, *said)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _begin(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PRELOADED, str(self._root)],
            env=self._env, cwd=self._root, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._told() == {"threads": 1}, "what has threads cannot be forked"

    def _ended(self, command: dict[str, Any], timeout: float) -> int | None:
        """Run a command; return its exit code, or None where it had to be killed."""
        late: threading.Timer | None = None
        try:
            self._tell(command)
            child = self._told()["child"]
            late = threading.Timer(timeout, os.kill, (child, signal.SIGKILL))
            late.start()
            code: int = self._told()["code"]
        except BaseException:  # a test that took too long: whose answer comes next is not known
            if late is not None:
                late.function(*late.args)
            self._process.kill()
            self.close()
            self._begin()
            raise
        finally:
            killed = late is not None and late.finished.is_set()
            if late is not None:
                late.cancel()
        return None if killed else code

    def _tell(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def _told(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "what starter.py is forked from has ended"
        return dict(json.loads(line))
