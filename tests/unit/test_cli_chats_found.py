"""Whether a name may be a conversation's, told by what lies in the home: no server is asked."""

import os
import time
from pathlib import Path

import pytest

from client.cli.chats_found import GENERATED, may_be_chat
from client.cli.session import Session, several
from client.run_ids import new_run_id
from client.storage import Storage
from config.settings import Settings
from stores.artifacts import ArtifactStore
from stores.locations import DataDir
from stores.sealing import PLAIN
from stores.spools import FileSpools

pytestmark = pytest.mark.unit


@pytest.fixture
def session(tmp_path: Path) -> Session:
    store = ArtifactStore.open(str(tmp_path / "artifacts"))
    spools = FileSpools(tmp_path / "spools")
    return Session(Settings(), Storage(DataDir(tmp_path), store, spools, PLAIN))


def spool(session: Session, name: str, age_s: float = 0.0) -> None:
    """Leave a spool as an answer does, last written to some seconds ago."""
    spools = session.storage.spools
    assert isinstance(spools, FileSpools)
    writing = spools.open_attempt(name, "t1.1", 1)
    writing.delta("text")
    writing.close()
    then = time.time() - age_s
    os.utime(spools.path(name), (then, then))


async def ended(session: Session, run_id: str) -> None:
    """Leave the record of a run that has ended."""
    store = session.storage.store
    await store.note(f"runs/{run_id}", await store.put_text("a record"))


async def test_a_spool_that_is_no_ended_runs_may_be_a_conversations(session: Session) -> None:
    assert not await may_be_chat(session, "talk")
    assert not await may_be_chat(session, "last")
    spool(session, "talk.one", age_s=60)
    assert await may_be_chat(session, "talk.one")
    assert await may_be_chat(session, "talk.")
    assert not await may_be_chat(session, "walk")
    assert await may_be_chat(session, "last")
    await ended(session, "talk.one")
    assert not await may_be_chat(session, "talk.one")
    assert not await may_be_chat(session, "last")


async def test_a_run_and_what_is_within_it_start_no_server(session: Session) -> None:
    spool(session, "talk", age_s=60)
    spool(session, "team-1", age_s=10)
    spool(session, "team-1/sub-1", age_s=5)
    await ended(session, "team-1")
    for name in ("team-1", "team", "last"):
        assert not await may_be_chat(session, name), name
    assert await may_be_chat(session, "ta")


def test_generated_ids_are_known_from_chosen_ones() -> None:
    assert GENERATED.fullmatch(new_run_id("my agent"))
    assert not GENERATED.fullmatch("user-1")
    assert not GENERATED.fullmatch("team-20260101")


def test_what_a_beginning_may_mean_is_listed() -> None:
    assert several("a", ["ab", "aa"]) == "a is the beginning of several:\n  aa\n  ab"
    many = several("a", [f"a{n:02}" for n in range(11)]).splitlines()
    assert many[-2:] == ["  a07", "  and 3 more"]


async def test_a_beginning_means_the_run_and_not_the_teams_within_it(session: Session) -> None:
    for run_id in ("full-1", "full-1/sub", "full-1/sub/deep", "half-1/sub", "half-1/sub/deep"):
        await ended(session, run_id)
    runs = await session.runs()
    assert await session.beginning(runs, "full") == {"full-1"}
    assert await session.beginning(runs, "full-1/s") == {"full-1/sub"}
