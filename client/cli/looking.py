"""Commands about runs that exist: status, watch, list, cancel, bill, budget, export-history."""

import asyncio
import json
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from client.cli.console import (
    DONE,
    FAILED,
    WAITING,
    Refusal,
    clean,
    run_async,
    say,
    stdout,
)
from client.cli.preparing import dollars
from client.cli.running import Manner, follow_detachable, ui_link
from client.cli.session import open_session, recent
from client.cli.spelling import cap, elapsed, money
from client.cli.tables import (
    bill_table,
    prices_table,
    runs_table,
    state,
    status_table,
    total,
    used_prices,
)
from client.cli.waiting import waiting
from client.runs import NoWorker, Run
from contracts.runs import RunStatus
from contracts.teams import WorkflowStatus
from contracts.updates import Answer, BudgetRaise, PauseRequest

T = TypeVar("T")

CANCEL_S = 15.0
ENDED = (
    WorkflowStatus.COMPLETED,
    WorkflowStatus.PARTIALLY_COMPLETED,
    WorkflowStatus.FAILED,
    WorkflowStatus.CANCELLED,
)


def show_status(name: str, *, as_json: bool) -> int:
    """Show a run's agents as they are."""
    session = open_session()

    async def main() -> int:
        status = await (await session.find(name)).status()
        if as_json:
            print(status.model_dump_json(indent=2))
            return _code(status)
        console = stdout()
        console.print(state(status.status.value), status.run_id)
        console.print(status_table(status))
        took = elapsed(status.started_at, status.completed_at)
        spent = f"{money(status.cost)} of {cap(status.budget)}"
        console.print(f"{spent}, {status.tokens:,} tokens, {took}")
        wants = waiting(status)
        if wants:
            console.print(clean(wants.what))
            console.print(f"go on with: {wants.how}", soft_wrap=True)
        elif status.error:
            console.print(f"error: {status.error}")
        return _code(status)

    return run_async(main)


def _code(status: RunStatus) -> int:
    if waiting(status):
        return WAITING
    return FAILED if status.status in (WorkflowStatus.FAILED, WorkflowStatus.CANCELLED) else DONE


def watch(name: str, agent: str | None, *, as_json: bool) -> int:
    """Follow a run, from its beginning, to its end."""
    session = open_session()

    async def main() -> int:
        run = await session.find(name)
        record = await run.record()
        link = ui_link(session.place.ui_url, run.run_id) if session.place else None
        manner = Manner(as_json=as_json)
        if record is None:
            run = await session.find_on_server(run.run_id)
            return await follow_detachable(run, agent, manner, link)
        from client.cli.ending import tell_end

        return await tell_end(run, run.recorded_result(record), link, as_json=as_json)

    return run_async(main)


def list_runs(limit: int, *, as_json: bool) -> int:
    """List the latest runs of server and store."""
    session = open_session()

    async def main() -> int:
        found = await recent(await session.runs(), limit)
        if as_json:
            print(json.dumps([_listed(status) for status in found], indent=2))
        elif found:
            stdout().print(runs_table(found))
        else:
            say("there are no runs yet; `python starter.py demo` makes one")
        if session.address is None:
            say("no server is running: only runs that have ended are listed")
        return DONE

    return run_async(main)


def _listed(status: RunStatus) -> dict[str, Any]:
    data: dict[str, Any] = status.model_dump(mode="json")
    wanted = ("run_id", "team", "status", "cost", "tokens", "started_at", "completed_at")
    return {key: data[key] for key in wanted}


def cancel(name: str) -> int:
    """Ask a run to end, and wait a little until it has."""
    session = open_session()

    async def main() -> int:
        run = await session.find(name)
        record = await run.record()
        if record is not None:
            say(f"run {run.run_id} has ended already: {record.status.value.replace('_', ' ')}")
            return DONE
        run = await session.find_on_server(run.run_id)
        await run.cancel()
        if await _ends(run):
            status = await run.status()
            say(f"run {run.run_id} {status.status.value}: {money(status.cost)} was spent")
        else:
            say(f"run {run.run_id} was asked to end; a worker has to settle its calls first")
        return DONE

    return run_async(main)


async def _ends(run: Run) -> bool:
    deadline = time.monotonic() + CANCEL_S
    while time.monotonic() < deadline:
        if await run.ended():
            return True
        await asyncio.sleep(0.2)
    return False


def bill(name: str, *, as_json: bool) -> int:
    """Show every attempt with its usage, price and state."""
    session = open_session()

    async def main() -> int:
        run = await session.find(name)
        cost, plan = await run.cost(), await run.plan()
        prices = used_prices(plan, cost.attempts)
        if as_json:
            data: dict[str, Any] = cost.model_dump(mode="json")
            data["prices"] = {model: p.model_dump(mode="json") for model, p in prices.items()}
            print(json.dumps(data, indent=2))
            return DONE
        console = stdout()
        console.print(bill_table(cost))
        if prices:
            console.print("dollars per million tokens:")
            console.print(prices_table(prices))
        console.print(total(cost))
        if cost.reserved:
            console.print(f"{money(cost.reserved)} is held for calls under way")
        return DONE

    return run_async(main)


def approve(name: str, step: str | None, choice: str, comment: str) -> int:
    """Answer a question of a run; the only one, where no step is named."""
    session = open_session()

    async def main() -> int:
        run = await session.find_on_server(name)
        asked = [question.step for question in (await run.status()).questions]
        if step is None and len(asked) != 1:
            raise Refusal(f"{run.run_id} asks {', '.join(asked) or 'nothing'}: name the step")
        answer = Answer(step=step or asked[0], choice=choice, comment=comment)
        await _commanded(run.answer(answer))
        say(f"{answer.step}: {answer.choice}")
        return DONE

    return run_async(main)


def pause(name: str, *, paused: bool) -> int:
    """Let a run start no further call, or go on."""
    session = open_session()

    async def main() -> int:
        run = await session.find_on_server(name)
        await _commanded(run.pause(PauseRequest(paused=paused)))
        say(f"run {run.run_id} {'starts no further call' if paused else 'goes on'}")
        return DONE

    return run_async(main)


async def _commanded(command: Awaitable[T]) -> T:
    """Await a command to a run. Raises Refusal where it is refused, NoWorker."""
    try:
        return await asyncio.wait_for(command, CANCEL_S)
    except WorkflowUpdateFailedError as error:
        raise Refusal(str(error.cause or error)) from None
    except TimeoutError:
        raise NoWorker("no worker answers for the run: start one, see `starter.py dev`") from None
    except RPCError as error:
        raise Refusal(f"the run takes no commands: {error.message}") from None


def raise_budget(name: str, amount: str) -> int:
    """Raise a run's budget to so many dollars in all."""
    to = dollars(amount, "--raise")
    session = open_session()

    async def main() -> int:
        run = await session.find(name)
        if await run.record() is not None:
            raise Refusal(f"run {run.run_id} has ended: nothing is left to pay")
        run = await session.find_on_server(run.run_id)
        view = await _commanded(run.raise_budget(BudgetRaise(to=to)))
        say(f"the budget is {cap(view.budget)} now, of which {money(view.cost)} is spent")
        return DONE

    return run_async(main)


def export_history(name: str, file: Path | None) -> int:
    """Write a run's history as JSON, for replay and for bug reports."""
    session = open_session()

    async def main() -> int:
        run = await session.find_on_server(name)
        try:
            history = (await run.handle.fetch_history()).to_json()
        except RPCError as error:
            raise Refusal(f"the server has no history of {run.run_id}: {error.message}") from None
        if file is None:
            print(history)
            return DONE
        try:
            file.write_text(history + "\n")
        except OSError as error:
            raise Refusal(f"-o {file}: {error.strerror}") from None
        say(f"{file}: {len(history):,} bytes")
        return DONE

    return run_async(main)
