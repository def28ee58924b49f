"""What commands import, how long help takes, and that processes leave cleanly."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.cli.teams import ROOT
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

Starter = Callable[..., "subprocess.CompletedProcess[str]"]

HEAVY = ("temporalio", "openai", "anthropic", "google.genai", "obstore", "contracts", "providers")

IMPORTED = """
import sys
sys.argv = ["starter.py", *sys.argv[1:]]
sys.path.insert(0, ".")
import starter
try:
    starter.app()
except SystemExit:
    pass
print(*(name for name in {heavy} if name in sys.modules), file=sys.stderr)
"""

CLIENT = """
import asyncio, sys
sys.path.insert(0, ".")
from client.cli.console import run_async
from client.connection import connect

async def main():
    await connect(sys.argv[1])
    return 0

sys.exit(run_async(main))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = IMPORTED.format(heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout
    assert done.stderr.strip() == ""


def leave(server: LocalServer, times: int) -> list[int]:
    """Start and end a bare client so often; return the exit codes."""
    return [
        subprocess.run(
            [sys.executable, "-c", CLIENT, server.address],
            cwd=ROOT,
            capture_output=True,
            check=False,
            timeout=60,
        ).returncode
        for _ in range(times)
    ]


def test_a_client_leaves_cleanly(server: LocalServer) -> None:
    assert leave(server, 3) == [0] * 3


@pytest.mark.slow
def test_a_client_leaves_cleanly_50_times(server: LocalServer) -> None:
    assert leave(server, 50) == [0] * 50
