"""What the Temporal SDK logs while a server is away never lands among results on stdout."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import asyncio, os, sys
from datetime import timedelta
from pathlib import Path
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from client.connection import connect
from client.devserver import DevServer, find_server

async def main():
    binary = find_server(lambda line: None)
    async with DevServer(binary, None, log_file=Path(sys.argv[1])) as server:
        client = await connect(server.address)
    ask = client.workflow_service.get_system_info
    try:  # at the fifth try it says that it has tried five times
        await ask(GetSystemInfoRequest(), retry=True, timeout=timedelta(seconds=4))
    except Exception as error:
        print(type(error).__name__, file=sys.stderr)

asyncio.run(main())
sys.stdout.flush()
os._exit(0)
"""


def test_a_server_that_is_away_is_no_word_on_stdout(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "server.log")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.stderr.strip() == "RPCError"
    assert done.stdout == ""
