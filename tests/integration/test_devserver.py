"""The embedded Temporal server as a real process.

The first run on a machine may build it, which takes minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from client.devserver import (
    DatabaseInUseError,
    DevServer,
    ServerBinary,
    ServerStartError,
    find_server,
    free_port,
)
from client.devserver.download import sdk_download
from client.devserver.lock import DatabaseLock

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[2]
QUEUE = "test-devserver"
OURS = ("cache", "build")


@workflow.defn(sandboxed=False)
class Nap:
    """Sleeps, and returns how long that took by the workflow's clock, in seconds."""

    @workflow.run
    async def run(self, seconds: float) -> float:
        started = workflow.time()
        await workflow.sleep(seconds)
        return workflow.time() - started


@pytest.fixture(scope="module")
def binary() -> ServerBinary:
    return find_server(print)


@pytest.fixture(autouse=True)
async def bounded() -> AsyncIterator[None]:
    """End each test with the pause that the SDK's threads need."""
    yield
    await asyncio.sleep(0.05)


@asynccontextmanager
async def working(client: Client) -> AsyncGenerator[None, None]:
    async with Worker(client, task_queue=QUEUE, workflows=[Nap]):
        yield


async def nap(client: Client, seconds: float, name: str) -> float:
    return await client.execute_workflow(
        Nap.run, seconds, id=name, task_queue=QUEUE, execution_timeout=timedelta(hours=2)
    )


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.02)


async def test_serves_a_workflow_its_ui_and_quick_timers(
    binary: ServerBinary, tmp_path: Path
) -> None:
    started = time.monotonic()
    async with DevServer(binary, None, log_file=tmp_path / "server.log") as server:
        print(f"start to serving: {time.monotonic() - started:.2f} s")
        client = await Client.connect(server.address)
        async with working(client):
            await nap(client, 0.01, "warm-up")
            took = []
            while len(took) < 10 and min(took, default=1.0) >= 0.5:
                started = time.monotonic()
                await nap(client, 0.05, f"short-{len(took)}")
                took.append(time.monotonic() - started)
        assert min(took) < 0.5, "a stock server fires such a timer after a second"
        page = await asyncio.to_thread(fetch, server.ui_url)
        assert b"<html" in page
        pid = server.pid
    assert not alive(pid)


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
    return body


async def test_skips_an_hour(binary: ServerBinary) -> None:
    flag = ["--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"]
    started = time.monotonic()
    async with (
        await WorkflowEnvironment.start_time_skipping_v2(
            dev_server_existing_path=str(binary.path), dev_server_extra_args=flag
        ) as environment,
        working(environment.client),
    ):
        assert await nap(environment.client, 3600, "hour") >= 3600
    assert time.monotonic() - started < 120


async def test_the_sdk_runs_it_as_its_own_dev_server(binary: ServerBinary) -> None:
    async with (
        await WorkflowEnvironment.start_local(
            dev_server_existing_path=str(binary.path), ui=True
        ) as environment,
        working(environment.client),
    ):
        assert await nap(environment.client, 0.01, "local") < 60


async def test_killed_it_goes_on_where_it_was(binary: ServerBinary, tmp_path: Path) -> None:
    name = "a b#1%.db" if binary.origin in OURS else "state.db"
    database, log = tmp_path / name, tmp_path / "server.log"
    async with DevServer(binary, database, log_file=log) as first:
        client = await Client.connect(first.address)
        handle = await client.start_workflow(Nap.run, 0.5, id="kept", task_queue=QUEUE)
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: not first.running)
    started = time.monotonic()
    async with DevServer(binary, database, log_file=log) as second:
        elapsed = time.monotonic() - started
        print(f"restart after kill -9 to serving: {elapsed:.2f} s")
        client = await Client.connect(second.address)
        async with working(client), asyncio.timeout(30):
            await client.get_workflow_handle(handle.id).result()
        print(f"and to the workflow's end: {time.monotonic() - started:.2f} s")
    assert elapsed < 30


async def test_attributes_namespaces_and_retention(binary: ServerBinary, tmp_path: Path) -> None:
    database, log = tmp_path / "state.db", tmp_path / "server.log"
    later = {"CbCost": "Double"} if binary.origin in OURS else {}
    for attributes in ({"CbState": "Keyword"}, {"CbState": "Keyword", **later}):
        async with DevServer(
            binary, database, log_file=log, namespaces=["team"], search_attributes=attributes
        ) as server:
            client = await Client.connect(server.address, namespace="team")
            asked = ListSearchAttributesRequest(namespace="team")
            listed = await client.operator_service.list_search_attributes(asked)
            assert set(attributes) <= set(listed.custom_attributes)
            described = await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace="team")
            )
            retention = described.config.workflow_execution_retention_ttl
            assert retention.ToTimedelta() == timedelta(days=30)


async def test_a_taken_port_is_named(binary: ServerBinary, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for flag in ("port", "ui_port"):
            server = DevServer(binary, None, log_file=tmp_path / "log", **{flag: port})
            with pytest.raises(ServerStartError) as caught:
                await server.__aenter__()
            assert f"{port}" in str(caught.value)
            assert f"--{flag.replace('_', '-')}" in str(caught.value)
            assert not server.running
        command = [str(binary.path), "server", "start-dev", "--headless", "--port", str(port)]
        refused = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=20
        )
        assert refused.returncode == 1
        assert len(refused.stderr.splitlines()) == 1
        assert str(port) in refused.stderr


async def test_what_cannot_be_run_is_named(tmp_path: Path) -> None:
    missing = ServerBinary(tmp_path / "missing", "env")
    with pytest.raises(ServerStartError, match="missing"):
        await DevServer(missing, tmp_path / "x.db", log_file=tmp_path / "log").__aenter__()
    await DatabaseLock(tmp_path / "x.db").acquire()


async def test_a_database_is_served_once(binary: ServerBinary, tmp_path: Path) -> None:
    database = tmp_path / "state.db"
    async with DevServer(binary, database, log_file=tmp_path / "one.log") as first:
        second = DevServer(binary, database, log_file=tmp_path / "two.log")
        with pytest.raises(DatabaseInUseError, match=str(first.pid)):
            await second.__aenter__()
        around = [str(binary.path), "server", "start-dev", "--headless"]
        around += ["--port", str(free_port()), "--db-filename", str(database)]
        if binary.origin in OURS:
            refused = await asyncio.to_thread(
                subprocess.run, around, capture_output=True, text=True, timeout=20
            )
            assert refused.returncode == 1
            assert "in use by another server" in refused.stderr
    async with DevServer(binary, database, log_file=tmp_path / "three.log"):
        pass


async def test_a_file_that_is_no_database_is_refused(binary: ServerBinary, tmp_path: Path) -> None:
    if binary.origin not in OURS:
        pytest.skip("says something else when made by others")
    database = tmp_path / "notes.db"
    database.write_text("not SQLite at all\n" * 100)
    with pytest.raises(ServerStartError, match="not a SQLite database"):
        await DevServer(binary, database, log_file=tmp_path / "log").__aenter__()


OWNER = """
import asyncio, sys
from pathlib import Path
from client.devserver import DevServer, ServerBinary

async def main():
    path, origin, folder = sys.argv[1:]
    server = DevServer(
        ServerBinary(Path(path), origin), Path(folder, "x.db"), log_file=Path(folder, "log")
    )
    asyncio.create_task(server.__aenter__())
    while not server.pid:
        await asyncio.sleep(0.01)
    print(server.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def owned(path: Path, origin: str, folder: Path) -> tuple[asyncio.subprocess.Process, int]:
    """Start a Python process that starts a server; return it and the server's process id."""
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(path), origin, str(folder),
        cwd=ROOT, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert owner.stdout
    return owner, int(await asyncio.wait_for(owner.stdout.readline(), 30))


async def test_nothing_outlives_a_killed_owner(binary: ServerBinary, tmp_path: Path) -> None:
    owner, server = await owned(binary.path, binary.origin, tmp_path)
    assert alive(server)
    started = time.monotonic()
    owner.kill()
    await owner.wait()
    await until(lambda: not alive(server), 30)
    print(f"gone after its owner's death: {time.monotonic() - started:.2f} s")
    async with DevServer(binary, tmp_path / "x.db", log_file=tmp_path / "next.log"):
        pass


async def test_the_flag_ties_it_to_its_parent(binary: ServerBinary, tmp_path: Path) -> None:
    if binary.origin not in OURS:
        pytest.skip("the flag is our server's own")
    command = f"{binary.path} server start-dev --headless --exit-with-parent --port {free_port()}"
    (tmp_path / "log").touch()
    parent = await asyncio.create_subprocess_shell(
        f"{command} >{tmp_path}/log 2>&1 & echo $!; wait", stdout=subprocess.PIPE
    )
    assert parent.stdout
    server = int(await asyncio.wait_for(parent.stdout.readline(), 30))
    await until(lambda: "Server:" in (tmp_path / "log").read_text())
    assert alive(server)
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(server), 30)


@pytest.mark.skipif(not Path("/usr/bin/setpriv").exists(), reason="needs setpriv")
async def test_nor_does_a_server_made_by_others(tmp_path: Path) -> None:
    stranger = tmp_path / "temporal"
    stranger.write_text("#!/bin/sh\nexec sleep 600\n")
    stranger.chmod(0o755)
    owner, server = await owned(stranger, "path", tmp_path)
    assert alive(server)
    owner.kill()
    await owner.wait()
    await until(lambda: not alive(server))


async def test_an_orphan_that_does_not_know_is_told(tmp_path: Path) -> None:
    database = tmp_path / "x.db"
    lock = DatabaseLock(database)
    await lock.acquire()
    orphan = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)", str(database)],
        pass_fds=lock.descriptors,
    )
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lock.release()
    names = {"server": orphan.pid, "owner": gone.pid}
    (tmp_path / "x.db.lock").write_text(json.dumps(names))
    again = DatabaseLock(database)
    await again.acquire()
    assert orphan.wait(30) == -signal.SIGTERM
    again.release()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stops_on_a_signal(
    binary: ServerBinary, tmp_path: Path, number: signal.Signals
) -> None:
    async with DevServer(binary, None, log_file=tmp_path / "log") as server:
        started = time.monotonic()
        os.kill(server.pid, number)
        await until(lambda: not server.running, 30)
        print(f"{number.name}: stopped in {time.monotonic() - started:.2f} s")
    assert server.exit_code == 0


async def test_a_download_that_hangs_is_ended(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time; "
        "p = subprocess.Popen(['sleep', '600']); "
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); "
        "time.sleep(600)"
    )
    lines: list[str] = []
    done = await asyncio.to_thread(
        sdk_download, tmp_path / "temporal", lines.append, limit_s=1.0, script=script
    )
    assert not done
    assert "not finished in time" in lines[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pid"]
    await until(lambda: not alive(int((tmp_path / "pid").read_text())))


async def test_a_download_is_kept_whole(tmp_path: Path) -> None:
    script = "import sys; open(sys.argv[1] + '/temporal-sdk-python-0', 'w').write('x')"
    assert await asyncio.to_thread(
        sdk_download, tmp_path / "temporal", lambda line: None, script=script
    )
    assert [p.name for p in tmp_path.iterdir()] == ["temporal"]
