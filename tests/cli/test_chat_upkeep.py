"""Conversations by the commands for runs, beside `starter.py dev`."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.teams import started, until
from tests.support.fixtures import ROOT, Starter

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

AGENT = """\
name: helper
model: {provider: simulated, name: gpt-4o-mini}
instructions: You keep notes.
tools:
  - {name: keep_note, type: builtin, builtin: write_file, root: notes, approval: always}
"""


def test_a_conversation_is_looked_after_as_a_run_is(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(AGENT)
    (tmp_path / "notes").mkdir()
    chat = [sys.executable, str(ROOT / "starter.py"), "chat", str(file), "--provider", "simulated",
            "--session", "my-talk"]  # fmt: skip

    def say(text: str) -> int:
        done = subprocess.run(
            chat, input=text, env=clean_environment, cwd=ROOT, text=True, capture_output=True,
            timeout=90, check=False,
        )  # fmt: skip
        return done.returncode

    def ok(*arguments: str, code: int = 0) -> str:
        done = starter(*arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    with started(["dev", "--port", "0", "--ui-port", "0"], clean_environment, tmp_path) as dev:
        dev.says("Ctrl-C")
        assert say("Briefly: the sun is hot.\nBriefly: the sea is wet.\n") == 0
        assert "2 messages remembered" in ok("status", "my-talk")
        bill = json.loads(ok("bill", "my-talk", "--json", "--recompute").partition("\nrecom")[0])
        assert [line["name"] for line in bill["attempts"]] == ["t1#1", "t2#1"]
        assert bill["recomputed"]["as_booked"]
        listed = json.loads(ok("list", "--json"))
        assert [(one["kind"], one["run_id"]) for one in listed] == [("chat", "my-talk")]
        assert listed[0]["title"] == "Briefly: the sun is hot."
        assert "eventType" in ok("export-history", "my-talk")
        assert "2 messages remembered" in ok("status", "my"), "a unique beginning"
        assert "t2#1" in ok("bill", "last")
        assert "is a conversation" in ok("watch", "my-talk", "--follow", "x", code=2)
        with started(["watch", "last"], clean_environment, tmp_path) as watching:
            watching.says("watching my-talk")
            assert say("Briefly: the moon is far.\n") == 0
            until(lambda: "the moon is far." in watching.stdout)
            watching.says("> Briefly: the moon is far.")
            watching.says("[3/50")
            watching.signal(signal.SIGINT)
            assert watching.wait() == 130
            assert "the conversation goes on" in watching.stderr
        assert "active my-talk" in ok("status", "my-talk")
        assert "said to runs only" in ok("pause", "my-talk", code=2)
        assert say("Please keep_note 'milk' in notes/list.md.\n") == 3
        waiting = ok("status", "my-talk", code=3)
        assert "approve my-talk t4" in waiting
        assert "reject" in ok("approve", "my", "t4", "maybe", code=2)
        assert "the budget is $20.00" in ok("budget", "last", "--raise", "20")
        call = waiting.partition("approve my-talk ")[2].split()[0]
        assert f"{call}: reject" in ok("approve", "my-talk", call, "reject")
        assert "has ended: $0.00" in ok("cancel", "my")
        assert "has ended already" in ok("cancel", "my-talk")
        assert "terminated" in ok("status", "my-talk")
