"""Artifacts that are gone or damaged, and a disk that is full: named, and nobody else is hurt."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stores.artifacts import ArtifactStore
from stores.exceptions import StoreUnavailable
from tests.cli.teams import nothing_left, simulated, started, write_team

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Starter = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
def test_a_lost_artifact_is_named_with_the_run_that_needs_it(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    store = Path(clean_environment["CALLBOARD_HOME"]) / "store"
    team = write_team(tmp_path)
    for name in ("lost", "sound"):
        assert starter(*simulated(team), "--run-id", name).returncode == 0
    note = json.loads((store / "runs" / "lost.ref").read_text())
    digest = note["ref"]["sha256"]
    path = store / "artifacts" / digest[:2] / digest[2:]
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    damaged = starter("bill", "lost")
    assert damaged.returncode == 2
    assert "run lost needs" in damaged.stderr
    assert f"{digest} in {store.as_uri()} is damaged" in damaged.stderr
    path.unlink()
    for command in ("status", "bill", "watch"):
        gone = starter(command, "lost")
        assert gone.returncode == 2, gone.stderr
        assert "run lost needs" in gone.stderr
        assert digest in gone.stderr
        assert gone.stdout == ""
    listed = starter("list")
    assert listed.returncode == 0, listed.stderr
    assert "sound" in listed.stdout
    assert f"run lost needs what cannot be had: artifact {digest}" in listed.stderr


@pytest.mark.slow
def test_an_agent_that_lost_its_input_fails_and_names_it(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    home = Path(clean_environment["CALLBOARD_HOME"])
    text = """\
name: later
inputs: {text: {type: text}}
cost_budget: 1
agents:
  - {name: ok, approval: {ask: "Go?"}}
  - {name: say, dependencies: [ok], prompt_template: "Repeat: {text}"}
outputs: {answer: "{say}"}
"""
    (tmp_path / "in.txt").write_text("Bees live in hives. " * 2_000)
    team = write_team(tmp_path, text)
    waits = starter(*simulated(team), "--input", f"text=@{tmp_path / 'in.txt'}", "--run-id", "r")
    assert waits.returncode == 3, waits.stderr
    lost = [path for path in (home / "store" / "artifacts").rglob("*") if _holds(path, b"Bees")]
    assert lost
    for path in lost:
        path.unlink()
    with started(["dev", "--port", "0", "--ui-port", "0"], clean_environment, tmp_path) as dev:
        dev.says("Ctrl-C stops it")
        assert starter("approve", "r", "ok", "approve").returncode == 0
        failed = starter("watch", "r")
        assert failed.returncode == 0, failed.stderr
        assert "completed in part; failed: say" in failed.stderr
        assert lost[0].parent.name + lost[0].name in failed.stderr
        assert "is not in" in failed.stderr


def _holds(path: Path, words: bytes) -> bool:
    return path.is_file() and path.stat().st_size > 10_000 and words in path.read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True
    )
    if not made or made.returncode:
        pytest.skip("a small file system cannot be mounted here (that takes root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_is_named_and_what_was_stored_before_stays(small_disk: Path) -> None:
    store = ArtifactStore.open(str(small_disk / "store"), cache_bytes=0)
    kept = await store.put_text("kept")
    source = small_disk.with_name("large")
    source.write_bytes(os.urandom(20_000_000))
    (small_disk / "ballast").write_bytes(b"x" * 4_000_000)
    with pytest.raises(StoreUnavailable, match=r"(?i)no space left") as small:
        await store.put_bytes(os.urandom(6_000_000))
    with pytest.raises(StoreUnavailable, match=r"(?i)no space left") as large:
        await store.put_file(source)
    assert store.name in str(small.value)
    assert store.name in str(large.value)
    assert await store.get_text(kept) == "kept"
    objects = (small_disk / "store" / "artifacts").rglob("*")
    assert len([p for p in objects if p.is_file() and "#" not in p.name]) == 1
    assert (await store.put_text("small")).size_bytes == 5


def test_a_run_on_a_full_disk_ends_with_a_clear_error(
    small_disk: Path, starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="space"):
        (small_disk / "ballast").write_bytes(b"x" * 9_000_000)
    address = (small_disk / "store").as_uri()
    ran = starter(*simulated(write_team(tmp_path)), env={"CALLBOARD_ARTIFACTS_URL": address})
    assert ran.returncode == 2, ran.stderr
    assert address in ran.stderr
    assert "No space left" in ran.stderr
    assert "Traceback" not in ran.stderr
    nothing_left(clean_environment["CALLBOARD_HOME"])


@pytest.mark.slow
def test_a_disk_that_fills_up_in_mid_run_costs_one_answer_and_the_run_ends_when_there_is_room(
    small_disk: Path, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "requests"
    team = write_team(tmp_path, pace=20, log=log)
    address = (small_disk / "store").as_uri()
    env = {**clean_environment, "CALLBOARD_ARTIFACTS_URL": address}
    arguments = [*simulated(team), "--input", "text=Bees", "--run-id", "full"]
    with started(arguments, env, tmp_path) as run:
        run.says("draft running")
        with pytest.raises(OSError, match="space"):
            (small_disk / "ballast").write_bytes(b"x" * 9_000_000)
        run.says("NotKept: what was paid for could not be stored", 150)
        assert address in run.stderr
        assert list(small_disk.rglob("*#*")) == [], "nothing is left half-written"
        (small_disk / "ballast").unlink()
        assert run.wait() == 1, run.stderr
    assert len(log.read_text().splitlines()) == 1, "nobody else was paid for the same"
