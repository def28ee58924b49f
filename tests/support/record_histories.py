"""Records histories for the replay tests: real runs on a real server, one per branch.

    python -m tests.support.record_histories VERSION [NAME …]

Writes `tests/histories/VERSION-NAME.json`, and never over a file that exists: what was recorded
stays as it is, and a new shape of the workflow gets a new file.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

from client.chats import Chat
from client.devserver import find_server
from client.runs import Run
from contracts.plans import Plan
from contracts.retry import RetryRule
from contracts.teams import (
    AgentStatus,
    ApprovalStep,
    EndStep,
    ForEachSpec,
    GateStep,
    OutputSpec,
    RepeatSpec,
    SetStep,
    TeamSpec,
    TeamStep,
    WaitStep,
)
from contracts.updates import (
    Answer,
    BudgetRaise,
    PauseRequest,
    PromptEdit,
    RetryRequest,
    SkipRequest,
)
from providers.exceptions import AuthenticationFailed, Overloaded, StreamInterrupted
from tests.support.agent_scenes import agent_steps, asking_tools
from tests.support.chat_scenes import SLOW, chat, chat_tools
from tests.support.compaction_scenes import compacted, summed_up
from tests.support.file_scenes import chat_files
from tests.support.found_scenes import chat_found
from tests.support.harness import Harness, harness
from tests.support.money_scenes import held_back, held_between, left_out, rounds, topped_up
from tests.support.quick_scenes import quick_tools, unsafe_tools
from tests.support.scripted import Say, Script
from tests.support.server import local_server
from tests.support.single_scenes import single, single_hands_over
from tests.support.slice_scenes import slice_again, slices_again
from tests.support.teams import agent, candidate, plan, team
from workflows.run import RunWorkflow

HISTORIES = Path(__file__).parent.parent / "histories"
Scene = Callable[[Harness], Awaitable[Run | Chat]]


async def graph(h: Harness) -> Run:
    """A fan-out, a join, a condition that holds and one that does not, a value, a gate."""
    spec = team(
        *(agent(f"read{n}", "Read {text}") for n in range(4)),
        SetStep(name="count", expression="size(inputs.numbers)"),
        agent("no", dependencies=("count",), when="agents.count.output > 9"),
        agent("yes", dependencies=("count",), when="agents.count.output == 3"),
        agent(
            "join",
            "".join(f"{{read{n}}}" for n in range(4)) + "{no?}{yes}",
            dependencies=("read0", "read1", "read2", "read3", "yes"),
            optional_dependencies=("no",),
        ),
        GateStep(name="gate", dependencies=("join",), expression="agents.join.attempts == 1"),
        inputs={"text": {"type": "text"}, "numbers": {"type": "list"}},
        outputs={"all": "{join}", "count": "{count}"},
        max_parallel_agents=3,
    )
    return await done(h, plan(spec), {"text": "some text", "numbers": [1, 2, 3]})


async def begun_at_once(h: Harness) -> Run:
    """A run whose plan comes with its start, and a team within it, whose plan is read."""
    inner = team(agent("inner"), name="sub", outputs={"answer": "{inner}"})
    sub = TeamStep(name="sub", file="sub.yaml", inputs={}, dependencies=("first",))
    spec = team(agent("first"), sub, agent("last", "{sub.answer}", dependencies=("sub",)))
    run = await h.start(plan(spec, children={"sub": plan(inner)}))
    await run.wait()
    return run


async def failover(h: Harness) -> Run:
    """Retries with a wait, the next candidate, an answer that is continued, a repair."""
    schema = {"type": "object", "required": ["score"]}
    spec = team(
        agent("retried"),
        agent("continued", on_interrupt="continue"),
        agent("repaired", output=OutputSpec(kind="json", schema_=schema)),
        agent("refused"),
        agent("needs", "{refused}", dependencies=("refused",)),
    )
    rule = RetryRule(max_retries=1, base_delay=0.2)
    return await done(h, plan(spec, candidate(), candidate("second"), retry=rule), {})


async def forms(h: Harness) -> Run:
    """A list, rounds, a handler, a wait, a team in the team, a person."""
    inner = plan(team(agent("inner", "{topic}"), inputs={"topic": {}}, outputs={"a": "{inner}"}))
    child = await h.store.put_json(inner)
    spec = team(
        agent("each", "{x.n}", for_each=ForEachSpec(item="x", in_="inputs.items", max_parallel=2)),
        agent(
            "memo",
            "Write. {judge?}",
            repeat=RepeatSpec(until="agents.judge.output == 'good'", max=3, with_=("judge",)),
        ),
        agent("judge", "{memo}", dependencies=("memo",)),
        agent("broken", catch="handler"),
        agent("handler"),
        WaitStep(name="wait", seconds=0.2),
        TeamStep(name="sub", file="sub.yaml", inputs={"topic": "{memo}"}, dependencies=("memo",)),
        ApprovalStep(name="ok", ask="{sub.a}?", choices=("go", "stop"), dependencies=("sub",)),
        EndStep(name="end", dependencies=("ok",), because="all was seen"),
        inputs={"items": {"type": "list"}},
    )
    items = [{"n": n} for n in range(4)]
    run = await h.start(plan(spec, child_plans={"sub": child}), {"items": items})
    while not (await run.status()).questions:
        await asyncio.sleep(0.05)
    await run.handle.execute_update(RunWorkflow.answer, Answer(step="ok", choice="go"))
    await run.wait()
    return run


async def control(h: Harness) -> Run:
    """A budget that is raised, a pause, an agent skipped by request."""
    spec = team(
        agent("slow"),
        agent("next", dependencies=("slow",)),
        agent("skipped", dependencies=("slow",)),
        cost_budget=Decimal("0.001"),
        on_budget="pause",
    )
    run = await h.start(plan(spec))
    while not (await run.status()).paused_for:
        await asyncio.sleep(0.05)
    await run.raise_budget(BudgetRaise(to=Decimal(1)))
    while h.script.count("slow") == 0:
        await asyncio.sleep(0.05)
    await run.handle.execute_update(RunWorkflow.pause, PauseRequest(paused=True))
    await run.handle.execute_update(RunWorkflow.skip, SkipRequest(step="skipped"))
    await asyncio.sleep(2)
    await run.handle.execute_update(RunWorkflow.pause, PauseRequest(paused=False))
    await run.wait()
    return run


async def cancelled(h: Harness) -> Run:
    """A run that is cancelled with calls in flight."""
    run = await h.start(plan(team(agent("quick"), agent("slow"), agent("after", "{slow}"))))
    while h.script.count("slow") == 0:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    await run.cancel()
    await run.wait()
    return run


async def never_sent(h: Harness) -> Run:
    """A run that is cancelled while one call is in flight and one waits for its provider."""
    chain = plan(team(agent("slow"), agent("waits")), candidate(), candidate("absent"))
    chain = chain.model_copy(update={"step_candidates": {"slow": (0,), "waits": (1,)}})
    run = await h.start(chain)
    while len((await run.cost()).attempts) < 2 or h.script.count("slow") == 0:
        await asyncio.sleep(0.05)
    await run.cancel()
    await run.wait()
    return run


async def timed_out(h: Harness) -> Run:
    """A run whose time is over: failed."""
    return await done(h, plan(team(agent("slow"), timeout=0.5)), {})


async def many(h: Harness) -> Run:
    """A team whose plan has several pages, and a join over all of it."""
    names = [f"agent_{n:03}" for n in range(120)]
    join = agent("join", "".join(f"{{{n}}}" for n in names), dependencies=tuple(names))
    return await done(h, plan(team(*map(agent, names), join, max_parallel_agents=40)), {})


async def slices(h: Harness) -> Run:
    """A list in slices, with money for some of its items: asks, grants and refusals."""
    return await done(h, long_list(), {"items": [{"n": n} for n in range(501)]})


async def slice_of_items(h: Harness) -> Run:
    """The child run of such a slice."""
    return await first_child(h, await slices(h))


async def slices_stopped(h: Harness) -> Run:
    """A list in slices that waits for money, is paused and resumed, given some, and cancelled."""
    made = long_list(cost_budget=Decimal("0.06"), on_budget="pause")
    run = await h.start(made, {"items": [{"n": n} for n in range(501)]})
    while not (await run.status()).paused_for:
        await asyncio.sleep(0.05)
    await run.handle.execute_update(RunWorkflow.pause, PauseRequest(paused=True))
    await run.raise_budget(BudgetRaise(to=Decimal("0.12")))
    await asyncio.sleep(0.5)
    await run.handle.execute_update(RunWorkflow.pause, PauseRequest(paused=False))
    await asyncio.sleep(0.5)
    while not (await run.status()).paused_for:
        await asyncio.sleep(0.05)
    await run.cancel()
    await run.wait()
    return run


async def slice_stopped(h: Harness) -> Run:
    """The child run of such a slice."""
    return await first_child(h, await slices_stopped(h))


def long_list(**more: object) -> Plan:
    """Return a team with a `for_each` that reads an agent's answer beside the item."""
    each = ForEachSpec(item="x", in_="inputs.items", max_parallel=4, min_success=0)
    spec = team(
        agent("intro"),
        agent(
            "each",
            "{intro} Then, with as many words as an answer has that costs as much: " * 2 + "{x.n}",
            dependencies=("intro",),
            for_each=each,
            max_retries=1,
        ),
        inputs={"items": {"type": "list"}},
        **{"cost_budget": Decimal("0.15"), **more},
    )
    return plan(spec, retry=RetryRule(max_retries=1, base_delay=0))


async def told(h: Harness) -> Run:
    """An agent that failed and runs again, one that runs again with another prompt."""
    spec = team(
        agent("slow"),
        agent("again"),
        agent("edited", "Old."),
        agent("after", "{again}{edited}", dependencies=("again", "edited")),
    )
    run = await h.start(plan(spec))
    while sum(step.status is AgentStatus.FAILED for step in (await run.status()).steps) < 2:
        await asyncio.sleep(0.05)
    await run.retry(RetryRequest(step="again"))
    await run.edit_prompt(PromptEdit(step="edited", prompt="New."))
    await run.wait()
    return run


async def moved(h: Harness) -> Run:
    """The last history of a run that had several: agents, a question and a wait carried over."""
    run = await h.start(plan(long_chain()))
    while not (await run.status()).questions:
        await asyncio.sleep(0.05)
    while (await run.status()).steps[-1].status is not AgentStatus.COMPLETED:
        await asyncio.sleep(0.05)
    await run.answer(Answer(step="ok", choice="go"))
    await run.wait()
    return run


def long_chain() -> TeamSpec:
    """Return a team that outgrows a history on a hasty server."""
    chain = (agent(f"a{n}", dependencies=(f"a{n - 1}",) if n else ()) for n in range(12))
    return team(
        ApprovalStep(name="ok", ask="Go on?", choices=("go", "stop"), timeout=600),
        WaitStep(name="wait", seconds=3),
        *chain,
    )


async def first_child(h: Harness, run: Run) -> Run:
    """Return the first child run of a run."""
    started = "child_workflow_execution_started_event_attributes"
    events = (await run.handle.fetch_history()).events
    first = next(getattr(event, started) for event in events if event.HasField(started))
    return h.runs.get(first.workflow_execution.workflow_id)


async def done(h: Harness, made: Plan, inputs: dict[str, object]) -> Run:
    """Run a team to its end."""
    run = await h.start(made, inputs)
    await run.wait()
    return run


SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in (
        *(graph, begun_at_once, failover, forms, control, cancelled, never_sent, timed_out, many),
        *(slices, slice_of_items, slices_stopped, slice_stopped, slices_again, slice_again),
        *(told, moved, held_back, held_between, left_out, rounds, topped_up),
        *(chat, chat_tools, asking_tools, agent_steps),
        *(single, single_hands_over, compacted, summed_up, chat_found, chat_files),
        quick_tools,
        unsafe_tools,
    )
}

HASTY = {"moved": "limit.historyCount.suggestContinueAsNew=40"}
"""Scenes on a server of their own, and its setting. Their first history is recorded, too."""


def script() -> Script:
    """Return what the agents of all scenes are answered."""
    cut = StreamInterrupted("cut")
    return Script(
        {
            "retried": [Overloaded("busy"), Say("at last")],
            "continued": [Say("one two three", fails=cut), Say("one two three four")],
            "repaired": [Say('{"points": 1}'), Say('{"score": 1}')],
            "refused": [AuthenticationFailed("no such key")],
            "broken": [AuthenticationFailed("no such key")],
            "judge": [Say("bad"), Say("good")],
            "slow": [SLOW],
            "paused": [Say("cut off in the midst", held=1, fails=cut), Say("whole")],
            "again": [AuthenticationFailed("no such key"), Say("at last")],
            "edited": [AuthenticationFailed("no such key"), Say("at last")],
            "each[2]": [Overloaded("busy"), Say("at last")],
            "each[3]": [AuthenticationFailed("no such key")],
        }
    )


async def record(version: str, names: list[str]) -> None:
    """Run the scenes and write their histories."""
    binary = await asyncio.to_thread(find_server, print)
    with (
        tempfile.TemporaryDirectory() as folder,
        local_server(binary.path, Path(folder)) as server,
    ):
        for name in names or list(SCENES):
            path = HISTORIES / f"{version}-{name}.json"
            if path.exists():
                print(f"{path.name} exists: left as it is")
                continue
            if name not in HASTY:
                await _record(server.address, Path(folder) / name, name, path)
                continue
            (Path(folder) / "hasty").mkdir(exist_ok=True)
            with local_server(binary.path, Path(folder) / "hasty", HASTY[name]) as hasty:
                await _record(hasty.address, Path(folder) / name, name, path)
    await asyncio.sleep(0.05)


async def _record(address: str, folder: Path, name: str, path: Path) -> None:
    queues = ("scripted", "second")
    async with harness(
        address, folder, script(), queues, cached_workflows=100, tools=True
    ) as running:
        run = await asyncio.wait_for(SCENES[name](running), 300)
        history = await run.handle.fetch_history()
        path.write_text(history.to_json())
        started = history.events[0].workflow_execution_started_event_attributes
        if started.first_execution_run_id != started.original_execution_run_id:
            first = running.client.get_workflow_handle(
                run.run_id, run_id=started.first_execution_run_id
            )
            before = path.with_name(f"{path.stem}_before.json")
            before.write_text((await first.fetch_history()).to_json())
        print(path.name, (await run.handle.describe()).status)


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1], sys.argv[2:]))
