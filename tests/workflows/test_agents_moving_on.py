"""Agents whose turns take more than one history: nothing is lost, doubled or asked twice."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.teams import AgentStatus, AgentStep, ForEachSpec, WaitStep
from tests.support.finders import found, planned
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer, local_server
from tests.support.teams import agent
from tests.workflows.test_moving_on import SOON, histories

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def hasty(server_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    setting = f"limit.historyCount.suggestContinueAsNew={SOON}"
    with local_server(server_binary, tmp_path_factory.mktemp("hasty"), setting) as running:
        yield running


LONG: dict[str, Any] = {"budget": 5, "max_turns": 100}


def turns(unit: str, count: int) -> dict[str, list[Say]]:
    """Return a turn that calls its tool so often, then answers."""
    calls = {
        f"{unit}.{n}": [
            Say("Next.", finish="tool_calls", calls=(("find", {"text": f"{unit}-{n}"}),))
        ]
        for n in range(1, count + 1)
    }
    return {**calls, f"{unit}.{count + 1}": [Say(f"{unit} is done.")]}


def finder(**more: object) -> AgentStep:
    values = {"name": "look", "file": "agent.yaml", "prompt_template": "Look.", **more}
    return AgentStep.model_validate({"cost_limit": Decimal(5), **values})


def called(folder: Path) -> list[str]:
    """Return what was looked for, each once: a read that takes too long at once is made again."""
    return list(dict.fromkeys(found(folder)))


async def test_a_long_turn_goes_on_in_new_histories(hasty: LocalServer, tmp_path: Path) -> None:
    script = Script({**turns("look", 14), "report": [Say("A report.")]})
    spec = planned(
        tmp_path,
        finder(),
        WaitStep(name="rest", seconds=1.0),
        agent("report", "Report: {look}", dependencies=("look", "rest")),
        **LONG,
    )
    async with harness(hasty.address, tmp_path, script, tools=True) as h:
        run = await h.start(spec)
        result = await asyncio.wait_for(run.wait(), 60)
        counts = await histories(run)
        steps = {step.agent_id: step for step in await run.results()}
        bill = await run.cost()
        assert await h.text(steps["look"]) == "look is done."
    assert result.status.value == "completed", result.error
    assert len(counts) > 2
    assert max(counts) < 4 * SOON
    assert called(tmp_path) == [f"look-{n}" for n in range(1, 15)]
    assert script.count() == 16
    assert result.cost == bill.cost == 16 * Decimal("0.006")
    assert steps["look"].metadata["tools"] == {"find": 14}
    assert steps["look"].metadata["calls"] == 15
    last = next(req for name, _, req in script.requests if name == "look.15")
    assert len(last.messages) == 1 + 14 * 2


@pytest.mark.slow
async def test_items_that_ended_before_are_not_asked_again(
    hasty: LocalServer, tmp_path: Path
) -> None:
    names = ["x", "y", "z"]
    script = Script({k: v for n in range(3) for k, v in turns(f"look[{n}]", 5).items()})
    step = finder(
        prompt_template="Look at {name}",
        for_each=ForEachSpec(item="name", in_="inputs.names", max_parallel=1),
    )
    spec = planned(tmp_path, step, **LONG, inputs={"names": {"type": "list"}})
    async with harness(hasty.address, tmp_path, script, tools=True) as h:
        run = await h.start(spec, {"names": names})
        result = await asyncio.wait_for(run.wait(), 60)
        counts = await histories(run)
        (look,) = await run.results()
    assert result.status.value == "completed", result.error
    assert len(counts) > 2
    assert look.status is AgentStatus.COMPLETED
    assert look.output is not None
    assert look.output.inline == [f"look[{n}] is done." for n in range(3)]
    assert called(tmp_path) == [f"look[{n}]-{k}" for n in range(3) for k in range(1, 6)]
    assert script.count() == 18
    assert result.cost == 18 * Decimal("0.006")
