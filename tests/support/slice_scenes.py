"""Scenes of a long list that failed and is asked again only for what it lacks."""

import asyncio

from client.run import Run
from contracts.retry import RetryRule
from contracts.teams import AgentStatus, ForEachSpec
from contracts.updates import RetryRequest
from providers.exceptions import AuthenticationFailed
from tests.support.harness import Harness
from tests.support.scripted import Say
from tests.support.teams import agent, plan, team

ITEMS = 501
"""One more than one history takes."""

FAILS = 480
_STARTED = "child_workflow_execution_started_event_attributes"


async def slices_again(h: Harness) -> Run:
    """A list in slices of which one item failed, retried: children that take up earlier ones."""
    h.script.turns = {
        "slow": [Say("keeps the run open", seconds=600)],
        f"each[{FAILS}]": [AuthenticationFailed("no such key"), Say("at last")],
    }
    each = ForEachSpec(item="x", in_="inputs.items", max_parallel=4)
    spec = team(
        agent("slow"),
        agent("each", "Rate {x.n}.", for_each=each, max_retries=0),
        inputs={"items": {"type": "list"}},
    )
    made = plan(spec, retry=RetryRule(max_retries=0))
    run = await h.start(made, {"items": [{"n": n} for n in range(ITEMS)]})
    await _reaches(run, AgentStatus.FAILED)
    await run.retry(RetryRequest(step="each"))
    await _reaches(run, AgentStatus.COMPLETED)
    await run.cancel()
    await run.wait()
    return run


async def slice_again(h: Harness) -> Run:
    """The last child of such a run: it lacks some items of its slice."""
    run = await slices_again(h)
    events = (await run.handle.fetch_history()).events
    *_, last = (getattr(event, _STARTED) for event in events if event.HasField(_STARTED))
    return h.runs.get(last.workflow_execution.workflow_id)


async def _reaches(run: Run, wanted: AgentStatus) -> None:
    while not any(s.name == "each" and s.status is wanted for s in (await run.status()).steps):
        await asyncio.sleep(0.2)
