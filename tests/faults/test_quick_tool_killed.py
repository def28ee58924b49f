"""A real worker lost while a quick tool is called within the workflow's task: the chat goes on.

The simulated provider notes each request that it receives, the tool each time that it begins.
"""

import asyncio
import json
import signal
import uuid
from pathlib import Path

import pytest

from client.agent_plans import plan_own
from client.chats import Chats
from config.agentfile import load_agent
from contracts.teams import AgentStatus
from tests.support.server import LocalServer
from tests.support.stamping import stamping, stamps
from tests.support.teams import AT_ONCE, candidate
from tests.support.workers import Workers, staffed

pytestmark = [pytest.mark.integration, pytest.mark.slow]

AGENT = """\
name: tested
model: {provider: simulated, name: gpt-4, max_tokens: 300}
instructions: You stamp.
"""

CODE = '''
import time
from pathlib import Path

HERE = Path(__file__).parent


def stamp(title: str) -> str:
    """Stamp a title; takes its time where a file says so."""
    with (HERE / "stamps").open("a") as log:
        log.write(title + "\\n")
    if (HERE / "slow").exists():
        time.sleep(1.5)
    return f"stamped {title}"
'''

QUICK = 5
"""Turns before: by then the tool is known to be quick, on any machine but the busiest."""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
async def test_a_worker_lost_while_a_quick_tool_works(
    server: LocalServer, tmp_path: Path, signum: signal.Signals
) -> None:
    (tmp_path / "agent.yaml").write_text(AGENT + stamping(effect="idempotent"))
    (tmp_path / "tools.py").write_text(CODE)
    options = {"log": str(tmp_path / "requests.jsonl")}
    one = candidate("simulated", "gpt-4", options=options)
    planned = plan_own(load_agent(tmp_path / "agent.yaml"), lambda _: one, AT_ONCE)
    workers = Workers(server.address, tmp_path / "home")
    async with staffed(workers) as runs:
        first = workers.start()
        chat = await Chats(runs).open(f"chat-{uuid.uuid4()}", await planned.stored(runs.store))
        for number in range(1, QUICK + 1):
            said = await chat.say(f'Stamp the title "T{number}"')
            assert (await chat.wait(said.turn)).status is AgentStatus.COMPLETED
        (tmp_path / "slow").touch()
        said = await chat.say('Stamp the title "Last"')
        async with asyncio.timeout(60):
            while "Last" not in stamps(tmp_path):
                await asyncio.sleep(0.02)
        first.send_signal(signum)
        first.wait(60)
        (tmp_path / "slow").unlink()
        workers.start()
        result = await asyncio.wait_for(chat.wait(said.turn), 60)
    assert result.status is AgentStatus.COMPLETED, result.error
    assert [t.status for t in result.tools] == ["completed"]
    begun = stamps(tmp_path)
    assert begun[:QUICK] == [f"T{number}" for number in range(1, QUICK + 1)]
    assert set(begun[QUICK:]) == {"Last"}
    asked = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    calls = [entry["agent"] for entry in asked]
    assert calls == [f"t{turn}.{call}" for turn in range(1, QUICK + 2) for call in (1, 2)]
