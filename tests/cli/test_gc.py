"""`gc`: what no run needs goes, what one may need stays; refusals delete nothing."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from client.tenants import PREFIX, Tenant
from stores.artifacts import ArtifactStore
from stores.collecting import GRACE
from tests.cli.teams import nothing_left, simulated, started, until, write_team

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Starter = Callable[..., "subprocess.CompletedProcess[str]"]

WAITING = """\
name: waiting
inputs:
  topics: {type: list}
cost_budget: 1
agents:
  - name: each
    for_each: {item: topic, in: inputs.topics}
    prompt_template: "Repeat: {topic}"
  - {name: release, dependencies: [each], approval: {ask: "Release?"}}
  - {name: send, dependencies: [release], prompt_template: "Repeat these: {each} {topics}"}
outputs: {answer: "{send}"}
"""


def home_of(environment: dict[str, str]) -> Path:
    return Path(environment["CALLBOARD_HOME"])


def age(home: Path) -> None:
    """Make all that was stored older than its grace."""
    for folder in ("store", "spools"):
        for path in (home / folder).rglob("*"):
            if path.is_file():
                when = path.stat().st_mtime - 2 * GRACE.total_seconds()
                os.utime(path, (when, when))


def stored(home: Path) -> list[Path]:
    return sorted(p for f in ("store", "spools") for p in (home / f).rglob("*") if p.is_file())


@pytest.mark.slow
def test_ended_runs_go_and_one_that_waits_goes_on(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    home = home_of(clean_environment)
    assert starter(*simulated(write_team(tmp_path)), "--run-id", "ended").returncode == 0
    topics = tmp_path / "inputs.json"
    topics.write_text(json.dumps({"topics": [f"topic {n} " + "x" * 300 for n in range(40)]}))
    waiting = [*simulated(write_team(tmp_path, WAITING)), "--inputs", str(topics)]
    assert starter(*waiting, "--run-id", "open").returncode == 3
    age(home)
    before = stored(home)
    contents = {path: path.read_bytes() for path in before}

    kept = starter("gc", "--json")
    assert kept.returncode == 0, kept.stderr
    told = json.loads(kept.stdout)
    assert (told["runs_going_on"], told["runs_ended"]) == (1, 1)
    # Both runs are in retention; the embedded server's earlier address is not needed any more.
    gone = set(before) - set(stored(home))
    assert all(b'"lasting":true' in contents[path] for path in gone)
    before = stored(home)

    would = starter("gc", "--dry-run", "--older-than", "0m")
    assert would.returncode == 0, would.stderr
    assert "would delete" in would.stdout
    assert "1 run record" in would.stdout
    assert "1 spool " in would.stdout
    assert stored(home) == before

    done = starter("gc", "--older-than", "0m")
    assert done.returncode == 0, done.stderr
    assert done.stdout == would.stdout.replace("would delete", "deleted")
    assert len(stored(home)) < len(before)
    assert starter("bill", "ended").returncode == 2
    nothing_left(str(home))

    with started(["dev", "--port", "0", "--ui-port", "0"], clean_environment, tmp_path) as dev:
        dev.says("1 open run goes on")
        dev.says("Ctrl-C stops it")
        assert starter("gc", "--older-than", "0m").returncode == 0
        approved = starter("approve", "open", "release", "approve")
        assert approved.returncode == 0, approved.stderr
        watched = starter("watch", "open")
        assert watched.returncode == 0, watched.stderr
        assert "topic 39" in watched.stdout
        dev.signal(signal.SIGINT)
        dev.wait(30)
    # Its record is younger than a day: all that it leads to stays, whatever was asked for.
    again = starter("gc", "--json", "--older-than", "0m")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["deleted"]["records"]["count"] == 0
    assert starter("bill", "open").returncode == 0
    assert "topic 39" in starter("watch", "open").stdout


async def _garbage(home: Path, count: int) -> ArtifactStore:
    """Store what nothing refers to."""
    store = ArtifactStore.open(str(home / "store"))
    for start in range(0, count, 50):
        await asyncio.gather(*(store.put_text(f"lost {n}") for n in range(start, start + 50)))
    age(home)
    return store


async def test_a_store_that_other_servers_use_is_left_alone(
    starter: Starter, clean_environment: dict[str, str]
) -> None:
    home = home_of(clean_environment)
    store = await _garbage(home, 50)
    other = Tenant(id="1234-abcd", namespace="theirs", address="temporal.example:7233")
    ref = await store.put_json(other)
    await store.note(PREFIX + other.id, ref)
    before = stored(home)
    refused = starter("gc")
    assert refused.returncode == 2
    for part in ("1234-abcd", "theirs", "temporal.example:7233", "--forget-server"):
        assert part in refused.stderr
    assert stored(home) == before
    typo = starter("gc", "--forget-server", "1234")
    assert typo.returncode == 2
    assert "1234-abcd" in typo.stderr
    done = starter("gc", "--forget-server", "1234-abcd")
    assert done.returncode == 0, done.stderr
    assert "50 artifacts" in done.stdout
    # What described the other server is young, and nothing refers to it any more.
    assert [path.name for path in stored(home)] == [ref.sha256[2:]]


async def test_a_server_that_ended_with_its_process_counts_for_a_day(
    starter: Starter, clean_environment: dict[str, str]
) -> None:
    home = home_of(clean_environment)
    store = await _garbage(home, 50)
    engine = Tenant(id="e1", namespace="default", address="127.0.0.1:1", lasting=False)
    await store.note(PREFIX + engine.id, await store.put_json(engine))
    assert starter("gc").returncode == 2
    age(home)
    done = starter("gc")
    assert done.returncode == 0, done.stderr
    assert "1 other name" in done.stdout
    assert stored(home) == []


async def test_without_the_server_nothing_is_deleted(
    starter: Starter, clean_environment: dict[str, str]
) -> None:
    home = home_of(clean_environment)
    await _garbage(home, 50)
    before = stored(home)
    refused = starter("gc", env={"TEMPORAL_ADDRESS": "127.0.0.1:1"})
    assert refused.returncode == 2
    assert "127.0.0.1:1" in refused.stderr
    assert stored(home) == before


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1.5d", "30 days", ""])
def test_an_age_that_is_none_is_refused(age: str, starter: Starter) -> None:
    refused = starter("gc", f"--older-than={age}")
    assert refused.returncode == 2
    assert "such as 30d" in refused.stderr


@pytest.mark.slow
async def test_an_interrupted_collection_says_how_far_it_came_and_can_be_repeated(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    home = home_of(clean_environment)
    await _garbage(home, 10_000)
    with started(["gc"], clean_environment, tmp_path) as collecting:
        until(lambda: len(stored(home)) < 10_000)
        collecting.signal(signal.SIGINT)
        assert collecting.wait(30) == 130
        assert "stopped; deleted so far:" in collecting.stderr
        assert collecting.stdout == ""
    left = len(stored(home))
    assert 0 < left < 10_000
    again = starter("gc")
    assert again.returncode == 0, again.stderr
    assert f"deleted {left:,} artifacts" in again.stdout
    assert stored(home) == []


def test_its_help_says_what_goes(starter: Starter) -> None:
    shown = starter("gc", "--help")
    assert shown.returncode == 0
    for part in ("--dry-run", "--older-than", "--forget-server", "Ctrl-C", "Exit codes"):
        assert part in shown.stdout
