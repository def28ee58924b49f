"""A policy's limits in the processes that a user starts: the embedded worker, and single ones."""

import asyncio
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from client.runs import Runs
from contracts.queues import provider_queue
from contracts.teams import WorkflowStatus
from providers.policy import Limits
from tests.support.redis import running_redis
from tests.support.server import LocalServer, local_server
from tests.support.teams import agent, candidate, plan, team
from tests.support.windows import Made, broken
from tests.support.workers import Workers, staffed

pytestmark = pytest.mark.integration

Starter = Callable[..., "subprocess.CompletedProcess[str]"]

POLICY = """
personas:
  general: {provider_preferences: [simulated]}
providers:
  simulated:
    limits: {requests_per_minute: 120, burst: 0.01}
"""
LIMITS = Limits(requests_per_minute=120, burst=0.01)
PACE_S = 62 / 120


def seconds(times: list[str]) -> list[float]:
    return sorted(datetime.fromisoformat(text).timestamp() for text in times)


def test_the_embedded_worker_keeps_the_policys_limits(starter: Starter, tmp_path: Path) -> None:
    policy, file = tmp_path / "policy.yaml", tmp_path / "team.yaml"
    policy.write_text(POLICY)
    steps = "".join(
        f"  - {{name: a{n}, persona: general, prompt_template: Say yes.}}\n" for n in range(14)
    )
    file.write_text(f"name: limited\nmax_parallel_agents: 14\nagents:\n{steps}")
    environment = {"CALLBOARD_PERSONA_POLICY": str(policy)}
    done = starter("run", str(file), "--json", env=environment)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["run_id"]
    billed = starter("bill", run, "--json", env=environment)
    assert billed.returncode == 0, billed.stderr
    started = seconds([line["started_at"] for line in json.loads(billed.stdout)["attempts"]])
    assert len(started) == 14
    # Attempts note when they begin, a little late on a busy machine, and the first as well.
    assert started[13] - started[0] > 4 * PACE_S - 0.8


class Office:
    """Worker processes that serve the simulated provider under the policy."""

    def __init__(self, server: LocalServer, folder: Path, **environment: str) -> None:
        (folder / "policy.yaml").write_text(POLICY)
        self._log = folder / "requests.jsonl"
        environment["CALLBOARD_PERSONA_POLICY"] = str(folder / "policy.yaml")
        self.workers = Workers(server.address, folder / "home", **environment)

    async def start(self, count: int) -> None:
        """Start so many, and wait until all poll."""
        for process in [self.workers.start() for _ in range(count)]:
            await self.workers.ready(process)

    async def run(self, runs: Runs, agents: int) -> list[float]:
        """Run a team of single agents; return when the provider was asked, in order."""
        steps = [agent(f"a{number}") for number in range(agents)]
        options = {"tokens_per_second": 0, "log": str(self._log)}
        made = plan(
            team(*steps, max_parallel_agents=agents), candidate("simulated", options=options)
        )
        run = await runs.start(made, {}, f"limits-{uuid.uuid4()}")
        result = await asyncio.wait_for(run.wait(), 60)
        assert result.status is WorkflowStatus.COMPLETED
        return seconds([json.loads(line)["at"] for line in self._log.read_text().splitlines()])


@pytest.fixture
def own_server(server_binary: Path, tmp_path: Path) -> Iterator[LocalServer]:
    """A server whose queues nobody else uses."""
    folder = tmp_path / "server"
    folder.mkdir()
    with local_server(server_binary, folder) as running:
        yield running


@pytest.mark.slow
async def test_two_workers_share_the_limits_in_redis(
    own_server: LocalServer, tmp_path: Path
) -> None:
    with running_redis(tmp_path / "redis") as url:
        office = Office(own_server, tmp_path, CALLBOARD_REDIS_URL=url)
        async with staffed(office.workers) as runs:
            await office.start(2)
            asked = await office.run(runs, 18)
    assert asked[17] - asked[0] > 8 * PACE_S - 0.3, "each alone would let ten pass at once"
    assert broken([Made(at, 1) for at in asked], LIMITS) == []


async def test_workers_that_share_nothing_set_their_queues_rate(
    own_server: LocalServer, tmp_path: Path
) -> None:
    office = Office(own_server, tmp_path)
    async with staffed(office.workers):
        await office.start(1)
        client = await Client.connect(own_server.address)
        rate = 0.0
        async with asyncio.timeout(60):
            while rate == 0.0:
                described = await client.workflow_service.describe_task_queue(
                    DescribeTaskQueueRequest(
                        namespace="default",
                        task_queue=TaskQueue(name=provider_queue("simulated")),
                        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
                        report_config=True,
                    )
                )
                rate = max((p.rate_per_second for p in described.pollers), default=0.0)
                rate = 0.0 if rate > 1000 else rate
                await asyncio.sleep(0.1)
    assert rate == pytest.approx(1.6)
