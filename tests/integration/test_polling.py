"""The worker container's health check: healthy is what the server says."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio import activity
from temporalio.worker import Worker

from client.connection import connect
from contracts.queues import WORKFLOW_QUEUE
from tests.support.server import LocalServer, free_port, local_server
from worker import workflow_runner
from workflows.run import RunWorkflow

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def own_server(
    server_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServer]:
    """A server that no other test has polled."""
    with local_server(server_binary, tmp_path_factory.mktemp("polling")) as running:
        yield running


def check(address: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "polling.py")],
        env={**os.environ, "CALLBOARD_TEMPORAL_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@activity.defn
async def nothing() -> None:
    """Does nothing."""


async def test_healthy_while_a_worker_on_this_host_polls(own_server: LocalServer) -> None:
    before = await asyncio.to_thread(check, own_server.address)
    assert before.returncode == 1
    assert f"polls {WORKFLOW_QUEUE}" in before.stderr

    client = await connect(own_server.address)
    async with Worker(
        client,
        task_queue=WORKFLOW_QUEUE,
        workflows=[RunWorkflow],
        activities=[nothing],
        workflow_runner=workflow_runner(),
    ):
        for _ in range(20):
            during = await asyncio.to_thread(check, own_server.address)
            if during.returncode == 0:
                break
        assert during.returncode == 0, during.stderr


def test_unhealthy_without_a_server() -> None:
    done = check(f"127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "no Temporal server answers" in done.stderr
