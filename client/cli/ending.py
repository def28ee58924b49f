"""The end of a run as its user gets it: the answer on stdout, what it took on stderr."""

import json
import sys
from typing import Any

from client.cli.console import DONE, FAILED, on_screen, say, stderr
from client.cli.tables import BAD, left_out, reasons, results_table, total, why
from client.runs import NoWorker, Run
from contracts.base import Json
from contracts.runs import RunCost, RunResult, StepResult
from contracts.teams import WorkflowStatus
from rules import step_notes

DETAILS_SHOWN = 10


async def tell_end(run: Run, result: RunResult, link: str | None, *, as_json: bool) -> int:
    """Write answer and table; return the exit code."""
    outputs = await run.outputs(result)
    results: tuple[StepResult, ...] = ()
    cost: RunCost | None = None
    try:
        results, cost = await run.results(), await run.cost()
    except NoWorker as error:
        say(f"what each agent did is not known: {error}")
    if as_json:
        print(json.dumps(_data(result, outputs, results, cost, link), ensure_ascii=False, indent=2))
    else:
        _write_answer(outputs)
    sys.stdout.flush()
    if cost is not None:
        console = stderr()
        console.print(results_table(results, cost.attempts))
        say(total(cost))
    await _noted(run)
    return _judge(result, results)


async def _noted(run: Run) -> None:
    """Send the run's spans, where the environment wants any."""
    from client.cli.telemetry import exporter_wanted, note_run

    if exporter_wanted() and (record := await run.record()) is not None:
        await note_run(record)


def _judge(result: RunResult, results: tuple[StepResult, ...]) -> int:
    """Say how it ended, where that was not as it should, and what is missing of it, and why.

    Returns the exit code.
    """
    good = (WorkflowStatus.COMPLETED, WorkflowStatus.PARTIALLY_COMPLETED)
    if result.status is WorkflowStatus.PARTIALLY_COMPLETED:
        missing = ", ".join(r.agent_id for r in results if r.status in BAD) or "see above"
        say(f"warning: completed in part; failed: {missing}")
    elif result.status is not WorkflowStatus.COMPLETED:
        say(f"the run {'was cancelled' if _cancelled(result) else 'failed'}" + _why(result))
    elif (ended := _ended_early(results)) is not None:
        because = " ".join(str(ended.metadata.get("because") or "").split())
        say(f"{ended.agent_id} ended the run" + (f": {because}" if because else ""))
    for line in left_out(results)[:DETAILS_SHOWN]:
        say(f"warning: {line}")
    for line in reasons(results)[:DETAILS_SHOWN]:
        say(f"  {line}")
    return DONE if result.status in good else FAILED


def _ended_early(results: tuple[StepResult, ...]) -> StepResult | None:
    """Return the `end` step that ended the run, if one did."""
    return next((step for step in results if step.metadata.get("ended")), None)


def _cancelled(result: RunResult) -> bool:
    return result.status is WorkflowStatus.CANCELLED


def _why(result: RunResult) -> str:
    return f": {' '.join(result.error.split())}" if result.error else ""


def _write_answer(outputs: dict[str, Json]) -> None:
    """Write one output as it is, several under their names."""
    several = len(outputs) > 1
    for name in (name for name, value in outputs.items() if value is None):
        say(f"note: output {name} is empty: what it reads is null or did not complete")
    known = {name: value for name, value in outputs.items() if value is not None}
    for number, (name, value) in enumerate(known.items()):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
        if several:
            print(f"{chr(10) if number else ''}# {name}\n")
        print(on_screen(text.rstrip("\n")))


def _reason(step: StepResult) -> Json:
    because = step.metadata.get("because") or None
    return why(step) or because or step_notes.left_out(step)


def _data(
    result: RunResult,
    outputs: dict[str, Json],
    results: tuple[StepResult, ...],
    cost: RunCost | None,
    link: str | None,
) -> dict[str, Any]:
    """Return the run as JSON; dollars are exact decimals in strings."""
    early = result.status is WorkflowStatus.COMPLETED and _ended_early(results) is not None
    return {
        "run_id": result.run_id,
        "team": result.team,
        "status": result.status.value,
        "outputs": outputs,
        "error": None if early else result.error,
        "cost": str(result.cost),
        "uncertain": str(cost.uncertain) if cost else None,
        "budget": str(cost.budget) if cost else None,
        "tokens": result.tokens,
        "agents": [
            {
                "name": step.agent_id,
                "status": step.status.value,
                "error": step.error,
                "reason": _reason(step),
                "items": step_notes.item_count(step),
                "failed_items": step_notes.failed_items(step),
                "cost": str(step.cost),
                "tokens": step.tokens_used,
                "seconds": round(step.execution_time, 3),
            }
            for step in results
        ],
        "ui": link,
    }
