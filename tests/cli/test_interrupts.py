"""Ctrl-C, and what kill -9 leaves: the answer comes, and every request is on the bill once."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.teams import (
    nothing_left,
    processes_of,
    simulated,
    started,
    until,
    write_team,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Starter = Callable[..., "subprocess.CompletedProcess[str]"]


def requests(log: Path) -> list[str]:
    """Return the requests that the simulator received, as agent#attempt."""
    if not log.exists():
        return []
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [f"{line['agent']}#{line['attempt']}" for line in lines]


def billed(starter: Starter, run_id: str) -> list[str]:
    """Return the attempts on a run's bill."""
    done = starter("bill", run_id, "--json")
    assert done.returncode == 0, done.stderr
    return [f"{a['step']}#{a['number']}" for a in json.loads(done.stdout)["attempts"]]


def test_a_killed_worker_is_replaced(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    home, log = clean_environment["CALLBOARD_HOME"], tmp_path / "requests.jsonl"
    team = write_team(tmp_path, pace=15, log=log)
    with started([*simulated(team), "--run-id", "r"], clean_environment, tmp_path) as run:
        until(lambda: requests(log))
        (worker,) = processes_of(home, "worker.py")
        os.kill(worker, signal.SIGKILL)
        assert run.wait(120) == 0, run.stderr
        assert "the worker has died (SIGKILL)" in run.stderr
        assert run.stdout
    assert sorted(billed(starter, "r")) == sorted(requests(log))
    assert len(requests(log)) == 3
    nothing_left(home)


def test_ctrl_c_stops_everything_and_dev_goes_on(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    home, log = clean_environment["CALLBOARD_HOME"], tmp_path / "requests.jsonl"
    team = write_team(tmp_path, pace=15, log=log)
    env = {**clean_environment, "CALLBOARD_GRACEFUL_SHUTDOWN": "1"}
    with started([*simulated(team), "--run-id", "r"], env, tmp_path) as run:
        until(lambda: requests(log))
        run.signal(signal.SIGINT)
        assert run.wait(30) == 130, run.stderr
        assert "starter.py dev" in run.stderr
    nothing_left(home)
    with started(["dev", "--port", "0", "--ui-port", "0"], env, tmp_path) as dev:
        dev.says("1 open run goes on")
        watched = starter("watch", "r", timeout=120)
        assert watched.returncode == 0, watched.stderr
        assert watched.stdout
        history = starter("export-history", "r")
        assert json.loads(history.stdout)["events"]
        dev.signal(signal.SIGINT)
        assert dev.wait(30) == 130, dev.stderr
    assert sorted(billed(starter, "r")) == sorted(requests(log))
    nothing_left(home)


@pytest.mark.slow
def test_dev_goes_on_after_everything_was_killed(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    home, log = clean_environment["CALLBOARD_HOME"], tmp_path / "requests.jsonl"
    team = write_team(tmp_path, pace=15, log=log)
    with started(["dev", "--port", "0", "--ui-port", "0"], clean_environment, tmp_path) as dev:
        dev.says("Ctrl-C stops it")
        detached = starter(*simulated(team), "--run-id", "r", "--detach")
        assert detached.returncode == 0, detached.stderr
        assert detached.stdout == "r\n"
        until(lambda: requests(log))
        for process in processes_of(home):
            os.kill(process, signal.SIGKILL)
        dev.wait()
    nothing_left(home)
    with started(["dev", "--port", "0", "--ui-port", "0"], clean_environment, tmp_path) as dev:
        dev.says("1 open run goes on")
        assert starter("watch", "r", timeout=120).returncode == 0
        assert sorted(billed(starter, "r")) == sorted(requests(log))
        again = starter(*simulated(team), "--run-id", "r", "--detach")
        assert again.returncode == 0, again.stderr
        assert "nothing was started" in again.stderr
        assert "see how it ended with" in again.stderr
        dev.signal(signal.SIGTERM)
        dev.wait(30)
    nothing_left(home)


@pytest.mark.slow
def test_ctrl_c_detaches_from_a_server_that_stays(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    home, log = clean_environment["CALLBOARD_HOME"], tmp_path / "requests.jsonl"
    team = write_team(tmp_path, pace=0.2, log=log)
    with started(["dev", "--port", "0", "--ui-port", "0"], clean_environment, tmp_path) as dev:
        dev.says("Ctrl-C stops it")
        with started([*simulated(team), "--run-id", "r"], clean_environment, tmp_path) as run:
            until(lambda: requests(log))
            run.signal(signal.SIGINT)
            assert run.wait(30) == 130
            assert "starter.py watch r" in run.stderr
        assert starter("status", "r").returncode == 0
        cancelled = starter("cancel", "r")
        assert cancelled.returncode == 0, cancelled.stderr
        assert "cancelled" in cancelled.stderr
        assert starter("status", "r").returncode == 1
        dev.signal(signal.SIGINT)
        dev.wait(30)
    nothing_left(home)
