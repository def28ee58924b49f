"""What several layers of tests share: one dev server for the session, `starter.py` run apart."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client.devserver.binary import find_server
from tests.support.forking import Forker
from tests.support.server import LocalServer, local_server

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def server_binary() -> Path:
    """The dev server's binary: found, or built (which takes minutes the first time)."""
    return find_server(lambda text: print(text, file=sys.stderr)).path


@pytest.fixture(scope="session")
def server(server_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A dev server that all tests of the session share."""
    with local_server(server_binary, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def clean_environment(tmp_path: Path) -> dict[str, str]:
    """An environment without keys and with a home of its own, for subprocesses."""
    return {**_kept(), "CALLBOARD_HOME": str(tmp_path / "home")}


def _kept() -> dict[str, str]:
    names = ("PATH", "HOME", "LANG", "CALLBOARD_TEMPORAL_BIN")
    return {name: os.environ[name] for name in names if name in os.environ}


Starter = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def forker() -> Iterator[Forker]:
    """What `starter.py` is forked from, with nothing of this shell's settings."""
    running = Forker(ROOT, _kept())
    yield running
    running.close()


@pytest.fixture
def starter(clean_environment: dict[str, str], forker: Forker) -> Starter:
    """Run `starter.py` in a clean environment and return the completed process."""

    def run(
        *arguments: str, env: dict[str, str] | None = None, cwd: Path = ROOT, timeout: float = 90
    ) -> subprocess.CompletedProcess[str]:
        return forker.run(arguments, {**clean_environment, **(env or {})}, cwd, timeout)

    return run
