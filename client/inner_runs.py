"""Teams within a team, seen from the run around them.

Each is a run of its own, with questions and a gate of its own. A person knows only the outer run:
so what an inner one asks stands among the outer one's questions, as "sub/step", and is answered
there; a pause holds for all of them. Nothing of it is in a workflow: each inner run that goes on is
asked, those within it too, and one that has not begun or has just ended is passed over.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from client.absence import NoWorker, UnknownRun
from contracts.runs import Question, RunStatus, child_run_id
from contracts.teams import AgentStatus
from contracts.updates import PauseRequest

if TYPE_CHECKING:
    from client.run import Run

SEPARATOR = "/"


def under_way(run: "Run", status: RunStatus) -> "dict[str, Run]":
    """Return, by step, the runs that a run waits for."""
    return {
        step.name: run.runs.get(child_run_id(run.run_id, step.name, step.attempt))
        for step in status.steps
        if step.kind == "team" and step.status is AgentStatus.RUNNING and step.attempt
    }


async def with_inner(run: "Run", status: RunStatus) -> RunStatus:
    """Return a status with what the runs within ask and wait for."""
    questions: list[Question] = list(status.questions)
    waits = status.paused_for
    async for name, inner in _statuses(run, status):
        questions += [
            one.model_copy(update={"step": f"{name}{SEPARATOR}{one.step}"})
            for one in inner.questions
        ]
        waits = waits or (f"{name}{SEPARATOR}{inner.paused_for}" if inner.paused_for else None)
    return status.model_copy(update={"questions": tuple(questions), "paused_for": waits})


async def calls_under_way(run: "Run", status: RunStatus) -> bool:
    """Tell whether an agent of the run, or of one within, holds money for its call.

    A team within holds its grant, and so does a slice of a long list: each is asked itself.
    """
    if status.reserved <= 0:
        return False
    held = [one for one in (await run.cost()).attempts if one.state == "reserved"]
    if any(one.provider != "team" and one.part is None for one in held):
        return True
    for part in (one.part for one in held if one.part is not None):
        with contextlib.suppress(UnknownRun, NoWorker):
            if (await run.runs.get(part.run_id).cost()).reserved > 0:
                return True
    inner = under_way(run, status)
    async for name, one in _statuses(run, status):
        if await calls_under_way(inner[name], one):
            return True
    return False


async def pause_inner(run: "Run", status: RunStatus, request: PauseRequest) -> None:
    """Pause the runs within, or let them go on."""
    for inner in under_way(run, status).values():
        with contextlib.suppress(UnknownRun, WorkflowUpdateFailedError, RPCError):
            await inner.pause(request)


async def _statuses(run: "Run", status: RunStatus) -> AsyncIterator[tuple[str, RunStatus]]:
    for name, inner in under_way(run, status).items():
        with contextlib.suppress(UnknownRun, NoWorker):
            yield name, await inner.current_status()
