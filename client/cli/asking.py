"""`ask`: questions about files, answered by one execution: one upload, one cache, many prompts.

Strategy: the files, the provider and the money are checked first (`client.cli.asked`), then the
execution is a workflow on the configured server, else on the embedded one. stderr tells each of
its steps as its history does; the answers are written to stdout at the end.
"""

import asyncio
import contextlib
import json
import re
import secrets
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from client.cli.asked import Asked, Described, Question, describe, prepare_question
from client.cli.console import DONE, FAILED, Refusal, on_screen, run_async, say
from client.cli.preparing import SIMULATED
from client.cli.running import Manner, offer
from client.cli.spelling import at_most, cap, duration, money
from client.execution.building import ExecutionResult, ResultBuilder
from client.execution.handler import APIHandler
from client.execution.sources import SourceError
from contracts.execution import Failure, FinalizedCommand, PlannedCommand

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle

    from client.cli.session import Session
    from client.embedded import Embedded
    from client.runs import Runs

CLEAN_UP_S = 10.0
"""After Ctrl-C, how long an execution may take to delete what it has uploaded."""

_QUIET = "capabilities"
_CALL = re.compile(r"^call (\d+)")


def ask_question(question: Question, manner: Manner) -> int:
    """Ask; return the exit code."""
    from client.cli.session import open_session

    session = open_session()
    described = describe(question)
    for note in described.notes:
        say(f"note: {note}")
    if session.address is not None:
        return run_async(lambda: _on_server(session, question, described, manner))
    asked = prepare_question(session.settings, question, described)
    return _on_embedded(session, asked, question, manner)


async def _on_server(
    session: "Session", question: Question, described: Described, manner: Manner
) -> int:
    from client.cli.polling import served_providers

    runs = await session.server_runs()
    served = await served_providers(runs.client, wait_s=30 if session.place else 0)
    asked = prepare_question(session.settings, question, described, served)
    return await answer(runs, asked, question, manner)


def _on_embedded(session: "Session", asked: Asked, question: Question, manner: Manner) -> int:
    offer(manner)
    from client.embedded import Embedded

    embedded = Embedded(
        session.storage.data,
        say,
        grace_s=session.settings.graceful_shutdown,
        providers=(asked.provider,),
    )
    embedded.hatch()
    try:
        embedded.find()
    except BaseException:
        embedded.abandon()
        raise
    return run_async(lambda: _embedded(session, embedded, asked, question, manner))


async def _embedded(
    session: "Session", embedded: "Embedded", asked: Asked, question: Question, manner: Manner
) -> int:
    async with embedded:
        from client.connection import connect
        from client.runs import Runs

        client = await connect(embedded.place.address)
        runs = Runs(client, session.storage.store, session.storage.spools)
        return await answer(runs, asked, question, manner, embedded.failed)


async def answer(
    runs: "Runs",
    asked: Asked,
    question: Question,
    manner: Manner,
    failed: "asyncio.Future[None] | None" = None,
) -> int:
    """Execute, tell the steps, write the answers; return the exit code."""
    name = f"ask-{secrets.token_hex(6)}"
    stands_in = f" as {asked.candidate.provider}" if asked.provider == SIMULATED else ""
    say(f"{name}: {asked.provider}{stands_in} {asked.candidate.model}, at most "
        f"{at_most(asked.worst)}")  # fmt: skip
    if asked.caching:
        say(asked.caching)
    handler = APIHandler(
        asked.provider, runs=runs, budget=asked.budget, price=lambda *_: asked.candidate.price
    )
    planned = PlannedCommand(plan=asked.plan, name="ask")
    work = asyncio.ensure_future(handler.handle(planned, name))
    async with _telling(runs, name):
        try:
            waited: set[asyncio.Future[Any]] = {work, *([failed] if failed else [])}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if failed is not None and failed.done() and not work.done():
                work.cancel()
                failed.result()
            finalized = await work
        except asyncio.CancelledError:
            say("stopping: what was uploaded is deleted first; Ctrl-C again ends at once")
            await _stopped(runs, work, name)
            raise
        except SourceError as error:
            raise Refusal(str(error)) from None
    return _told(asked, question, finalized, name, manner)


async def _stopped(
    runs: "Runs", work: "asyncio.Future[FinalizedCommand | Failure]", name: str
) -> None:
    """Stop an execution, and let it clean up."""
    work.cancel()
    with contextlib.suppress(Exception, asyncio.CancelledError):
        await work
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLEAN_UP_S):
            await runs.client.get_workflow_handle(name).result()


# while it goes on


@contextlib.asynccontextmanager
async def _telling(runs: "Runs", name: str) -> AsyncIterator[None]:
    """Say each step of an execution while the context lasts."""
    task = asyncio.create_task(_tell(runs, name))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _tell(runs: "Runs", name: str) -> None:
    """Follow the history; whatever is wrong with that is no reason not to answer."""
    from temporalio.service import RPCError, RPCStatusCode

    handle = runs.client.get_workflow_handle(name)
    while True:
        try:
            return await _tell_events(runs, handle)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                return say(f"its steps cannot be shown: {error.message}")
            await asyncio.sleep(0.1)  # it is being started: files are stored before


async def _tell_events(runs: "Runs", handle: "WorkflowHandle[Any, Any]") -> None:
    open_steps: dict[int, tuple[str, float]] = {}
    async for event in handle.fetch_history_events(wait_new_event=True):
        at = event.event_time.ToMicroseconds() / 1e6
        if event.HasField("activity_task_scheduled_event_attributes"):
            summary = await _summary(runs, event)
            open_steps[event.event_id] = (summary, at)
            if summary != _QUIET:
                say(f"  {summary}")
        for attributes, ending in (
            (event.activity_task_completed_event_attributes, "done"),
            (event.activity_task_failed_event_attributes, "failed"),
            (event.activity_task_timed_out_event_attributes, "timed out"),
        ):
            summary, since = open_steps.pop(attributes.scheduled_event_id, (_QUIET, at))
            if summary != _QUIET:
                say(f"  {summary}: {ending}, {duration(at - since)}")


async def _summary(runs: "Runs", event: Any) -> str:
    """Return what the workflow says that an activity is for; sealed where values are."""
    payload = event.user_metadata.summary
    (text,) = await runs.client.data_converter.decode([payload], [str])
    return _CALL.sub(lambda call: f"question {int(call[1]) + 1}", str(text))


# its end


def _told(
    asked: Asked,
    question: Question,
    finalized: FinalizedCommand | Failure,
    name: str,
    manner: Manner,
) -> int:
    """Write answers to stdout, notes and cost to stderr; return the exit code."""
    result = ResultBuilder(price=lambda _provider, _model: asked.candidate.price).handle(finalized)
    if manner.as_json:
        print(json.dumps(_data(asked, question, result, name), ensure_ascii=False, indent=2))
    else:
        _write(question, result)
    sys.stdout.flush()
    for note in result.diagnostics:
        say(f"note: {note}")
    if isinstance(finalized, FinalizedCommand):
        for answered in finalized.results:
            for note in answered.notes:
                say(f"note: answer {answered.index + 1}: {note}")
    for index, why in result.failures.items():
        say(f"no answer to question {index + 1}: {why}")
    if result.error and not result.failures:
        say(f"error: {result.error}")
    metrics = result.metrics
    if metrics.calls:
        cached = f", {metrics.cached_tokens:,} of them cached" if metrics.cached_tokens else ""
        say(
            f"{_spent(result)}: {metrics.prompt_tokens:,} tokens asked{cached}, "
            f"{metrics.completion_tokens:,} answered"
        )
    return DONE if result.ok else FAILED


def _spent(result: ExecutionResult) -> str:
    """Spell what counts against the budget, with what nobody reported as "at most"."""
    spent = result.spent
    if spent is None:
        cost = result.metrics.cost_usd
        return f"{'unknown' if cost is None else money(cost)} spent"
    at_worst = f", {at_most(spent.uncertain)} of it at most" if spent.uncertain else ""
    return f"{money(spent.cost)} spent of {cap(spent.budget)}{at_worst}"


def _write(question: Question, result: ExecutionResult) -> None:
    """Write one answer as it is, several under their questions."""
    several = len(question.prompts) > 1
    for index, answer in enumerate(result.answers):
        if index in result.failures:
            continue
        if several:
            print(f"{chr(10) if index else ''}# {' '.join(question.prompts[index].split())}\n")
        print(on_screen(answer.rstrip("\n")))


def _data(asked: Asked, question: Question, result: ExecutionResult, name: str) -> dict[str, Any]:
    """Return the result as JSON; dollars are exact decimals in strings."""
    metrics = result.metrics
    answers = [
        {
            "prompt": prompt,
            "answer": result.answers[index] if index < len(result.answers) else "",
            "error": result.failures.get(index) or (None if result.answers else result.error),
        }
        for index, prompt in enumerate(question.prompts)
    ]
    return {
        "execution_id": name,
        "ok": result.ok,
        "provider": asked.provider,
        "model": asked.candidate.model,
        "answers": answers,
        "cost": str(metrics.cost_usd) if metrics.cost_usd is not None else None,
        "spent": None if result.spent is None else result.spent.model_dump(mode="json"),
        "prompt_tokens": metrics.prompt_tokens,
        "cached_tokens": metrics.cached_tokens,
        "completion_tokens": metrics.completion_tokens,
        "notes": list(result.diagnostics),
    }
