"""Runs that a person holds back, and that wait for money, themselves or a team of theirs."""

import asyncio
from decimal import Decimal

from client.runs import Run
from contracts.teams import AgentStatus, EndStep, GateStep, RepeatSpec, TeamStep
from contracts.updates import BudgetRaise, PauseRequest, SkipRequest
from tests.support.harness import Harness, waits_for
from tests.support.teams import agent, plan, team


async def held_back(h: Harness) -> Run:
    """An agent that a pause holds back is skipped; a team within waits until there is money."""
    inner = team(agent("first"), agent("second", dependencies=("first",)), name="sub")
    spec = team(
        agent("slow", llm_config={"max_tokens": 50}),
        agent("skipped", dependencies=("slow",)),
        TeamStep(name="sub", file="sub.yaml", inputs={}, dependencies=("slow",)),
        cost_budget=Decimal("0.006"),
        on_budget="pause",
    )
    poor = inner.model_copy(update={"cost_budget": Decimal("0.01")})
    run = await h.start(plan(spec, children={"sub": plan(poor)}))
    while h.script.count("slow") == 0:
        await asyncio.sleep(0.05)
    await run.pause(PauseRequest(paused=True))
    while (await run.status()).steps[0].status is not AgentStatus.COMPLETED:
        await asyncio.sleep(0.05)
    await run.skip(SkipRequest(step="skipped"))
    await run.pause(PauseRequest(paused=False))
    await waits_for(run, "nothing is left")
    await run.raise_budget(BudgetRaise(to=Decimal(1)))
    await run.wait()
    return run


async def held_between(h: Harness) -> Run:
    """A pause between an agent's attempts: the second is made when the run goes on."""
    run = await h.start(plan(team(agent("paused"))))
    while h.script.count("paused") == 0:
        await asyncio.sleep(0.05)
    await run.pause(PauseRequest(paused=True))
    h.script.go.set()
    while (await run.cost()).reserved:
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.5)
    await run.pause(PauseRequest(paused=False))
    await run.wait()
    return run


async def left_out(h: Harness) -> Run:
    """Of two that wait for money one is skipped, the other paid for in a pause; a gate fails."""
    spec = team(
        agent("dear"),
        agent("asked"),
        GateStep(name="gate", dependencies=("asked",), expression="false"),
        outputs={"answer": "<{asked}>", "dear": "{dear?}"},
        allow_partial_completion=False,
        cost_budget=Decimal("0.000001"),
        on_budget="pause",
    )
    run = await h.start(plan(spec))
    await waits_for(run, "cost_budget")
    await run.skip(SkipRequest(step="dear", reason="too dear"))
    await run.pause(PauseRequest(paused=True))
    await run.raise_budget(BudgetRaise(to=Decimal(1)))
    await waits_for(run, "resume it")
    await asyncio.sleep(1)
    await run.pause(PauseRequest(paused=False))
    await run.wait()
    return run


async def rounds(h: Harness) -> Run:
    """Rounds within rounds, a member after its optional one; an end within the second round."""
    spec = team(
        agent("outer", repeat=RepeatSpec(until="false", max=9, with_=("late", "inner", "enough"))),
        agent("late", "{inner?}", dependencies=("outer",), optional_dependencies=("inner",)),
        agent(
            "inner",
            "{outer}",
            dependencies=("outer",),
            repeat=RepeatSpec(until="false", max=2, with_=("leaf",)),
        ),
        agent("leaf", "{inner}", dependencies=("inner",)),
        EndStep(name="enough", dependencies=("late",), when="agents.leaf.attempts >= 4"),
    )
    run = await h.start(plan(spec))
    await run.wait()
    return run


async def topped_up(h: Harness) -> Run:
    """A team within has spent its grant; the run waits, and then gives it more, twice."""
    inner = team(agent("first"), agent("second", dependencies=("first",)), name="sub")
    step = TeamStep(name="sub", file="sub.yaml", inputs={})
    spec = team(step, cost_budget=Decimal("0.0061"), on_budget="pause")
    run = await h.start(plan(spec, children={"sub": plan(inner)}))
    for spent, budget in (("0.0061", "0.0065"), ("0.0065", "1")):
        while f"cost_budget {spent}: " not in ((await run.status()).paused_for or ""):
            await asyncio.sleep(0.05)
        await run.raise_budget(BudgetRaise(to=Decimal(budget)))
    await run.wait()
    return run
