"""The settings that name Redis: what is opened, what `doctor` says, what a worker says."""

import asyncio
import logging
from pathlib import Path

import pytest
from pydantic import ValidationError

import worker
from client.cli.doctor_redis import redis_findings
from client.cli.findings import Finding
from client.cli.session import Session
from client.storage import open_storage
from config.settings import Settings
from stores.exceptions import InvalidStoreUrl
from stores.redis_spools import RedisSpools
from stores.spools import FileSpools
from tests.support.fixtures import Starter
from tests.support.redis import RedisProcess, running_redis
from tests.support.server import free_port

pytestmark = pytest.mark.integration


def session(home: Path, **settings: str) -> Session:
    made = Settings.model_validate({"home": home, **settings})
    return Session(made, open_storage(made))


async def findings(home: Path, **settings: str) -> list[Finding]:
    return [finding async for finding in redis_findings(session(home, **settings))]


def test_spools_are_files_unless_told_otherwise(tmp_path: Path) -> None:
    usual = session(tmp_path).storage.spools
    assert usual.place == str(tmp_path / "spools")
    elsewhere = session(tmp_path, spool_url=f"file://{tmp_path}/a%20b").storage.spools
    assert isinstance(elsewhere, FileSpools)
    assert elsewhere.place == f"{tmp_path}/a b"
    shared = session(tmp_path, spool_url="redis://u:secret@h:1/2").storage.spools
    assert isinstance(shared, RedisSpools)
    assert shared.place == "Redis at h:1"


@pytest.mark.parametrize("url", ["http://h", "h:6379", "file:relative", "file://host/x"])
def test_other_addresses_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValidationError):
        session(tmp_path, spool_url=url)


def test_a_port_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidStoreUrl, match="CALLBOARD_SPOOL_URL"):
        session(tmp_path, spool_url="redis://h:port/0")


async def test_doctor_says_nothing_of_what_nobody_named(tmp_path: Path) -> None:
    assert await findings(tmp_path) == []


async def test_doctor_asks_each_server(tmp_path: Path) -> None:
    with running_redis(tmp_path / "redis") as url:
        spools, limits = await findings(tmp_path, spool_url=url, redis_url=url)
        assert (spools.state, limits.state) == ("ok", "ok")
        assert "written and read back" in spools.text
    spools, limits = await findings(tmp_path, spool_url=url, redis_url=url)
    assert (spools.state, limits.state) == ("fault", "fault")
    assert "CALLBOARD_SPOOL_URL" in f"{spools.text} {spools.cure}"
    assert "CALLBOARD_REDIS_URL" in limits.text
    assert "unset" in limits.cure


async def test_doctor_shows_no_password(tmp_path: Path) -> None:
    process = RedisProcess(tmp_path / "redis", None, "--requirepass", "right")
    process.start()
    try:
        url = f"redis://:hunter2@127.0.0.1:{process.port}/0"
        told = await findings(tmp_path, spool_url=url, redis_url=url)
    finally:
        process.kill()
    assert [finding.state for finding in told] == ["fault", "fault"]
    assert "hunter2" not in str(told)


async def test_doctor_tries_a_folder_of_the_users_own(tmp_path: Path) -> None:
    (fine,) = await findings(tmp_path, spool_url=f"file://{tmp_path}/new/folder")
    (tmp_path / "taken").write_text("")
    (wrong,) = await findings(tmp_path, spool_url=f"file://{tmp_path}/taken/folder")
    assert (fine.state, wrong.state) == ("ok", "fault")


def test_doctor_ends_with_2_where_the_spools_are_away(starter: Starter) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    done = starter("doctor", env={"CALLBOARD_SPOOL_URL": url})
    assert done.returncode == 2
    assert "✗ spools" in done.stdout
    assert "docs/storage.md" in done.stdout


async def test_a_worker_says_at_its_start_that_the_limits_cannot_be_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running_redis(tmp_path / "redis") as url, caplog.at_level(logging.WARNING):
        await worker._note_limits_away(None)
        await worker._note_limits_away(url)
        assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        await asyncio.wait_for(worker._note_limits_away(url), 10)
    assert "CALLBOARD_REDIS_URL" in caplog.text
    assert "nothing is sent meanwhile" in caplog.text
