"""`reuse` in a team: the second run's bill says whose answer it took, and that it cost nothing."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from client.cli.bill_tables import outcome
from client.cli.bills import load_bill
from contracts.teams import WorkflowStatus
from providers.exceptions import InvalidRequest
from rules.billing import differences
from tests.support.harness import Harness, harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration


@pytest.fixture
async def served(server: LocalServer, tmp_path: Path) -> AsyncIterator[Harness]:
    script = Script({"a": [Say("one two")], "b": [Say("three")]})
    async with harness(server.address, tmp_path, script) as made:
        yield made


async def test_the_bill_of_the_second_run(served: Harness) -> None:
    spec = plan(team(agent("a", reuse=3600), agent("b", "Repeat {a}", dependencies=("a",))))
    first, _ = await served.run(spec)
    run = await served.start(spec)
    result = await run.wait()
    assert result.status is WorkflowStatus.COMPLETED
    assert (first.cost, result.cost) == (Decimal("0.012"), Decimal("0.006"))
    assert [served.script.count(name) for name in "ab"] == [1, 2]
    bill = await load_bill(run)
    reused, paid = bill.lines
    assert reused.attempt.cost == 0
    assert reused.attempt.state == "settled"
    assert reused.attempt.reused_from == f"{first.run_id}/a#1"
    assert outcome(reused.attempt) == f"reused from {first.run_id}/a#1"
    assert paid.attempt.reused_from is None
    assert list(differences(bill)) == []


async def test_a_retried_agent_does_not_reuse_its_failure(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"a": [InvalidRequest("no", status=400), Say("one two")]})
    spec = plan(team(agent("a", reuse=3600), agent("b", reuse=3600, prompt="Wait.")))
    async with harness(server.address, tmp_path, script) as made:
        _, steps = await made.run(spec)
        assert steps["a"].status == "failed"
        _, steps = await made.run(spec)
        assert await made.text(steps["a"]) == "one two"
        assert script.count("b") == 1
