"""Encrypted runs: nothing in clear on any disk, and the commands work for who has the key."""

import base64
import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from client.encryption import data_converter
from stores.sealing import AesGcm
from tests.cli.teams import nothing_left, simulated, started, write_team
from worker import workflow_runner
from workflows.run import RunWorkflow

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Starter = Callable[..., "subprocess.CompletedProcess[str]"]


def key(letter: str) -> str:
    return base64.b64encode(letter.encode() * 32).decode()


# Words that are nobody's but a prompt's, an input's, an inline value's, a question's.
SECRETS = ("zyzzyva", "quagmiry", "flibbertigibbet")

SECRET_TEAM = """\
name: sealed
inputs:
  text: {type: text, default: "Bees like the zyzzyva. Bees make honey. Ants dig quagmiry."}
cost_budget: 1
agents:
  - name: draft
    llm_config: {max_tokens: 300}
    prompt_template: "Repeat word for word, flibbertigibbet: {text}"
  - name: broken
    catch: mend
    llm_config: {max_tokens: 300}
    prompt_template: "Answer with a flibbertigibbet: {text}"
  - {name: mend, prompt_template: "Repeat zyzzyva"}
  - {name: gate, dependencies: [draft], gate: "inputs.text.contains('zyzzyva')"}
"""

WAITING_TEAM = f"""\
{SECRET_TEAM}\
  - {{name: release, dependencies: [gate], approval: {{ask: "Release the quagmiry {{draft}}?"}}}}
  - {{name: send, dependencies: [release], prompt_template: "Repeat word for word: {{draft}}"}}
outputs: {{answer: "{{send}}"}}
"""


@pytest.fixture
def keys(clean_environment: dict[str, str]) -> dict[str, str]:
    """The environment of somebody with one key."""
    sealing = {"CALLBOARD_ENCRYPTION_KEYS": "KEY_2025", "KEY_2025": key("o")}
    clean_environment.update(sealing)
    return clean_environment


def decoded(node: Any) -> Iterator[str]:
    """Yield all texts of a history, payloads' bytes decoded as far as they are base64."""
    if isinstance(node, dict):
        for value in node.values():
            yield from decoded(value)
    elif isinstance(node, list):
        for value in node:
            yield from decoded(value)
    elif isinstance(node, str):
        yield node
        if re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", node) and len(node) % 4 == 0:
            yield base64.b64decode(node).decode("latin-1")


def files_with(folder: Path, words: tuple[str, ...]) -> list[str]:
    """Return the files that hold one of the words."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [f"{path.name}: {w}" for w in words if w.encode() in data]
    return found


@pytest.mark.slow
def test_an_encrypted_run_waits_goes_on_and_shows_nothing(
    starter: Starter, keys: dict[str, str], tmp_path: Path
) -> None:
    home = Path(keys["CALLBOARD_HOME"])
    waits = starter(*simulated(write_team(tmp_path, WAITING_TEAM)), "--run-id", "r")
    assert waits.returncode == 3, waits.stderr
    assert "quagmiry" in waits.stderr
    nothing_left(str(home))
    with started(["dev", "--port", "0", "--ui-port", "0"], keys, tmp_path) as dev:
        dev.says("1 open run goes on")
        dev.says("Ctrl-C stops it")
        status = starter("status", "r")
        assert status.returncode == 3, status.stderr
        assert "quagmiry" in status.stdout
        stranger = starter("status", "r", env={"CALLBOARD_ENCRYPTION_KEYS": ""})
        assert stranger.returncode == 2, stranger.stderr
        assert "'KEY_2025'" in stranger.stderr
        assert "no keys are configured" in stranger.stderr
        done = starter("approve", "r", "release", "approve", "--comment", "so be it, zyzzyva")
        assert done.returncode == 0, done.stderr
        watched = starter("watch", "r")
        assert watched.returncode == 0, watched.stderr
        assert "zyzzyva" in watched.stdout
        exported = starter("export-history", "r")
        assert exported.returncode == 0, exported.stderr
        assert "r" in starter("list").stdout
        dev.signal(signal.SIGINT)
        dev.wait(30)
    nothing_left(str(home))
    texts = list(decoded(json.loads(exported.stdout)))
    assert any("binary/encrypted" in text for text in texts)
    assert not [text for text in texts if any(word in text for word in SECRETS)]
    assert files_with(home, SECRETS) == []


@pytest.mark.slow
async def test_an_encrypted_history_replays_with_its_key_only(
    starter: Starter, keys: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    team = write_team(tmp_path, SECRET_TEAM)
    with started(["dev", "--port", "0", "--ui-port", "0"], keys, tmp_path) as dev:
        dev.says("Ctrl-C stops it")
        ran = starter(*simulated(team), "--run-id", "r")
        assert ran.returncode == 0, ran.stderr
        exported = starter("export-history", "r").stdout
        dev.signal(signal.SIGINT)
        dev.wait(30)
    history = WorkflowHistory.from_json("r", exported)
    replay = await _replayer(AesGcm([("NEW", key("n")), ("KEY_2025", key("o"))])).replay_workflow(
        history, raise_on_replay_failure=False
    )
    assert replay.replay_failure is None
    lost = await _replayer(AesGcm([("NEW", key("n"))])).replay_workflow(
        history, raise_on_replay_failure=False
    )
    assert lost.replay_failure is not None
    assert "sealed with the key 'KEY_2025', which is not configured" in caplog.text


def _replayer(sealer: AesGcm) -> Replayer:
    return Replayer(
        workflows=[RunWorkflow],
        data_converter=data_converter(sealer),
        workflow_runner=workflow_runner(),
    )


@pytest.mark.slow
def test_a_rotated_key_reads_old_runs_and_a_lost_one_is_named(
    starter: Starter, keys: dict[str, str], tmp_path: Path
) -> None:
    team = write_team(tmp_path)
    assert starter(*simulated(team), "--run-id", "old").returncode == 0
    rotated = {"CALLBOARD_ENCRYPTION_KEYS": "KEY_2026,KEY_2025", "KEY_2026": key("n")}
    ran = starter(*simulated(team), "--run-id", "new", env=rotated)
    assert ran.returncode == 0, ran.stderr
    for command in (["status", "old"], ["bill", "old"], ["watch", "new"], ["list"]):
        shown = starter(*command, env=rotated)
        assert shown.returncode == 0, (command, shown.stderr)
    dropped = {"CALLBOARD_ENCRYPTION_KEYS": "KEY_2026", "KEY_2026": key("n")}
    assert starter("bill", "new", env=dropped).returncode == 0
    lost = starter("bill", "old", env=dropped)
    assert lost.returncode == 2
    assert "'KEY_2025', which is not configured" in lost.stderr
    assert lost.stdout == ""
    wrong = starter("bill", "old", env={"KEY_2025": key("x")})
    assert wrong.returncode == 2
    assert "'KEY_2025' is not the one that sealed this" in wrong.stderr
    assert wrong.stdout == ""
