"""What following a run survives: a server that is away, observers that raise, wrong callbacks."""

import asyncio
from typing import Any

import pytest
from temporalio.service import RPCError, RPCStatusCode

from client.absence import ServerUnreachable
from client.engine import Agent, AgentResult, FailureHandler, WorkflowStatus, following
from client.run import Run
from tests.support.engines import FakeClient, MakeEngine, agent, run, workflow

pytestmark = pytest.mark.integration


class Away:
    """A server that does not answer so many times, of what a follower asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int, after: float = 0.0) -> None:
        self.left, self.after = times, after
        for name in ("wait", "current_status"):
            monkeypatch.setattr(Run, name, self._instead(getattr(Run, name), name))

    def _instead(self, real: Any, name: str) -> Any:
        async def asked(run: Run) -> Any:
            self.left -= 1
            if self.left < 0:
                return await real(run)
            if name == "wait":
                await asyncio.sleep(self.after)
                self.after = 0.0
                raise RPCError("gone", RPCStatusCode.UNAVAILABLE, b"")
            raise ServerUnreachable("gone")

        return asked


async def test_a_server_that_is_back_is_asked_further(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = FakeClient(seconds=0.5)
    Away(monkeypatch, 3)
    flow = await run(make_engine(client), workflow(agent()))
    assert (flow.status, len(client.prompts)) == (WorkflowStatus.COMPLETED, 1)


async def test_a_server_that_goes_late_is_waited_for_as_long(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question for the end had lasted longer than a server may be away."""
    monkeypatch.setattr(following, "AWAY_LIMIT_S", 0.5)
    Away(monkeypatch, 2, after=0.8)
    flow = await run(make_engine(FakeClient(seconds=1.5)), workflow(agent()))
    assert flow.status is WorkflowStatus.COMPLETED


async def test_a_run_that_was_lost_sight_of_is_followed_again_not_started(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = FakeClient(seconds=0.2)
    engine = make_engine(client)
    workflow_id = await engine.register_workflow(workflow(agent("a"), agent("b")))
    away = Away(monkeypatch, 10**6)
    monkeypatch.setattr(following, "AWAY_LIMIT_S", 0.5)
    with pytest.raises(ServerUnreachable, match="execute the workflow again"):
        await engine.execute_workflow(workflow_id)
    away.left = 0
    flow = await engine.execute_workflow(workflow_id)
    assert (flow.status, len(client.prompts)) == (WorkflowStatus.COMPLETED, 2)
    assert engine.cost_tracker.get_statistics()["total_cost"] == flow.total_cost == 0.012


async def test_an_observer_that_raises_ends_the_run_it_watched(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = FakeClient(seconds=0.2)
    engine = make_engine(client)

    def refuse(*_: object, **__: object) -> None:
        if client.prompts:
            raise LookupError("not mine")

    monkeypatch.setattr(engine.monitor, "record_event", refuse)
    chain = [agent(f"a{n}", dependencies=[f"a{n - 1}"] if n else []) for n in range(20)]
    with pytest.raises(LookupError, match="not mine"):
        await run(engine, workflow(*chain))
    made = len(client.prompts)
    await asyncio.sleep(1)
    assert len(client.prompts) == made < 20


async def test_a_callback_cannot_wait_for_its_own_runs_end(make_engine: MakeEngine) -> None:
    said: list[str] = []

    async def on_failure(_: Agent, __: AgentResult) -> None:
        try:
            await engine.shutdown()
        except RuntimeError as error:
            said.append(str(error))

    engine = make_engine(
        FakeClient(RuntimeError("no")), failure_handler=FailureHandler(None, on_failure)
    )
    flow = await asyncio.wait_for(run(engine, workflow(agent(max_retries=0))), 30)
    assert flow.status is WorkflowStatus.FAILED
    assert "give_up()" in said[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"failure_handler": print}, "failure_handler must be a FailureHandler"),
        ({"on_budget_wait": "x"}, "on_budget_wait must be a function, not str"),
    ],
)
async def test_who_is_to_be_told_must_be_able_to(
    make_engine: MakeEngine, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        make_engine(FakeClient(), **given)
