"""Plans of one call, and handling them in one process, for the tests of the handler."""

from pathlib import Path
from typing import Any

from client.execution import (
    APICall,
    APIHandler,
    CachePlan,
    ExecutionPlan,
    Failure,
    FilePlaceholder,
    FinalizedCommand,
    PlannedCommand,
    TextPart,
    UploadTask,
    describe_file,
)
from providers.exceptions import RateLimited

TEXT = TextPart(text="Analyze")


def plan(*parts: Any, model: str = "m", **more: Any) -> ExecutionPlan:
    """A plan of one call."""
    return ExecutionPlan(calls=(APICall(model=model, parts=parts or (TEXT,)),), **more)


def shared_plan(**more: Any) -> ExecutionPlan:
    """A plan with shared parts that are cached."""
    more.setdefault("cache", CachePlan())
    return plan(shared_parts=(TextPart(text="The book"),), **more)


async def execute(client: Any, made: ExecutionPlan, **more: Any) -> FinalizedCommand:
    done = await APIHandler(client, **more).handle(PlannedCommand(plan=made))
    assert isinstance(done, FinalizedCommand), done
    return done


async def fail(client: Any, made: ExecutionPlan, **more: Any) -> Failure:
    done = await APIHandler(client, **more).handle(made)
    assert isinstance(done, Failure), done
    return done


def with_file(paper: Path, *tasks: UploadTask, **more: Any) -> ExecutionPlan:
    parts = (TEXT, FilePlaceholder(index=0))
    return plan(*parts, files=(describe_file(paper),), upload_tasks=tasks, **more)


def slow_down(**more: Any) -> RateLimited:
    """What a busy vendor says."""
    return RateLimited("slow down", status=429, **more)
