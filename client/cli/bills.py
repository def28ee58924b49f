"""`bill`: every call of a run, how its cost came about, and whether it can be computed again.

The bill holds those of the teams within the team. In the table and in JSON they stand below the
line that is their sum; in CSV in its place, so that its column of costs adds up to the run's.
"""

import csv
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from client.chat_bills import chat_bill
from client.chats import Chats
from client.cli.bill_tables import (
    bill_table,
    details,
    outcome,
    prices_table,
    reused,
    used_prices,
)
from client.cli.chats_found import found_chat
from client.cli.console import DONE, FAILED, Refusal, clean, run_async, say, stdout
from client.cli.formulas import formula
from client.cli.session import Session, open_session
from client.cli.spelling import exact, money, plural
from client.cli.tables import total
from client.connection import ServerUnreachable
from client.runs import NoWorker, Run, UnknownRun
from config.problems import did_you_mean
from contracts.messages import Usage
from contracts.runs import AttemptRecord, child_run_id, step_of
from rules.billing import Bill, Difference, Line, all_lines, calls, differences, make_bill


def show_bill(
    name: str,
    agent: str | None = None,
    *,
    as_json: bool = False,
    as_csv: bool = False,
    formulas: bool = False,
    recompute: bool = False,
) -> int:
    """Show a run's bill, or one agent's lines in detail; with `recompute` compute it again."""
    if as_json and as_csv:
        raise Refusal("--json and --csv: one of them")
    if agent is not None and (as_json or as_csv):
        raise Refusal("AGENT with --json or --csv: they have all lines, in all detail")
    session = open_session()

    async def main() -> int:
        bill = await _bill(session, name)
        found = differences(bill) if recompute else None
        if as_csv:
            _write_csv(bill)
        elif as_json:
            print(json.dumps(_bill_data(bill, found), indent=2))
        elif agent is not None:
            _show_details(bill, agent)
        else:
            _show(bill, formulas)
        return DONE if found is None else _judge(bill, found, quiet=as_json or as_csv)

    return run_async(main)


# loading


async def _bill(session: Session, name: str) -> Bill:
    """Return the bill of a run, or of a conversation."""
    async with found_chat(session, name) as chat:
        if chat is not None:
            return await chat_bill(Chats(chat.runs), chat.chat_id)
    return await load_bill(await session.find(name))


async def load_bill(run: Run, before: str = "") -> Bill:
    """Return a run's bill with those of its teams, as far as they are known.

    Raises UnknownRun, NoWorker, ServerUnreachable, StoreError, for this run itself.
    """
    cost, plan = await run.cost(), await run.plan()
    teams = {step.name for step in plan.team.agents if step.kind == "team"}
    inner: dict[str, Bill] = {}
    for attempt in cost.attempts:
        if attempt.step in teams and (found := await _team_bill(run, attempt, before)):
            inner[attempt.id] = found
    return make_bill(cost, plan, inner, before)


async def _team_bill(run: Run, attempt: AttemptRecord, before: str) -> Bill | None:
    """Return the bill of a team's run, or None where nobody knows it any more."""
    child = run.runs.get(child_run_id(run.run_id, attempt.step, attempt.number))
    again = f"-{attempt.number}" if attempt.number > 1 else ""
    try:
        return await load_bill(child, f"{before}{attempt.step}{again}/")
    except (UnknownRun, NoWorker, ServerUnreachable):
        return None


# showing


def _show(bill: Bill, formulas: bool) -> None:
    console = stdout()
    console.print(bill_table(bill))
    for text in reused(bill):
        console.print(clean(text), soft_wrap=True)
    if formulas:
        for line in all_lines(bill):
            console.print(clean(f"{line.name}: {formula(line)}"), soft_wrap=True)
        console.print()
    prices = used_prices(bill)
    if prices:
        console.print("dollars per million tokens (+: another rate for long prompts):")
        console.print(prices_table(prices))
    console.print(total(bill.cost))
    if bill.cost.reserved:
        console.print(f"{money(bill.cost.reserved)} is held for calls under way")


def _show_details(bill: Bill, agent: str) -> None:
    """Show the lines of an agent, of one of its items, of a team within, or one attempt."""
    lines = [line for line in all_lines(bill) if agent in _names(line)]
    if not lines:
        known = dict.fromkeys(name for line in all_lines(bill) for name in _names(line))
        hint = did_you_mean(agent, list(known)) or f" There are: {', '.join([*known][:20])}."
        raise Refusal(f"{bill.run_id} has no calls of {agent}.{hint}")
    console = stdout()
    for line in lines:
        for text in details(line):
            console.print(clean(text), soft_wrap=True)


def _names(line: Line) -> tuple[str, ...]:
    """Return what a line can be asked for by, the shortest first."""
    before = line.name.removesuffix(line.attempt.id)
    return f"{before}{step_of(line.attempt.step)}", f"{before}{line.attempt.step}", line.name


def _judge(bill: Bill, found: Sequence[Difference], *, quiet: bool) -> int:
    """Say what was computed otherwise than booked; return the exit code."""
    checked = plural(sum(1 for _ in all_lines(bill)), "line")
    if not found:
        told = f"recomputed {checked} and the sums from usage and prices: all as booked"
        say(told) if quiet else stdout().print(told)
        return DONE
    for one in found:
        say(f"error: {_told(one)}")
    say(f"recomputed {checked}: {plural(len(found), 'amount')} not as booked")
    return FAILED


def _told(one: Difference) -> str:
    if one.computed is None:
        return (
            f"{one.line}: {one.what} {exact(one.booked)} cannot be computed: no price in the plan"
        )
    return (
        f"{one.line}: {one.what} is booked as {exact(one.booked)}, computed {exact(one.computed)}"
    )


# as data


def _bill_data(bill: Bill, found: Sequence[Difference] | None) -> dict[str, Any]:
    """Return a bill as JSON; dollars are exact decimals in strings."""
    data: dict[str, Any] = bill.cost.model_dump(mode="json", exclude={"attempts"})
    data["attempts"] = [_line_data(line) for line in bill.lines]
    data["prices"] = {model: p.model_dump(mode="json") for model, p in used_prices(bill).items()}
    if found is not None:
        data["recomputed"] = {
            "as_booked": not found,
            "cost": str(bill.computed),
            "differences": [
                {
                    "line": one.line,
                    "what": one.what,
                    "booked": str(one.booked),
                    "computed": None if one.computed is None else str(one.computed),
                }
                for one in found
            ],
        }
    return data


def _line_data(line: Line) -> dict[str, Any]:
    data: dict[str, Any] = line.attempt.model_dump(mode="json")
    price = line.candidate.price if line.candidate else None
    data |= {
        "name": line.name,
        "formula": formula(line),
        "price_source": price.source if price else None,
        "price_version": price.version if price else None,
    }
    if line.inner is not None:
        data["bill"] = _bill_data(line.inner, None)
    return data


USAGE = (
    *("prompt_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
    *("completion_tokens", "reasoning_tokens", "total_tokens", "estimated"),
)
"""The fields of a usage that have a column: all but the wire's own object."""

COLUMNS = (
    *("run", "attempt", "agent", "provider", "model", "outcome", "state"),
    *USAGE,
    *("stored_token_hours", "price_source", "price_version", "formula"),
    *("cost_usd", "served_usd", "reserved_usd", "queued_at", "started_at", "ended_at"),
)


def _write_csv(bill: Bill) -> None:
    """Write one line per call to stdout; `cost_usd` adds up to the run's cost."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in calls(bill):
        attempt, usage = line.attempt, line.attempt.usage or Usage()
        price = line.candidate.price if line.candidate else None
        writer.writerow(
            (
                *(line.run_id, line.name, _names(line)[0], attempt.provider, attempt.model),
                *(outcome(attempt), attempt.state),
                *(int(getattr(usage, field)) for field in USAGE),
                attempt.stored_token_hours,
                *((price.source, price.version) if price else ("", "")),
                *(formula(line), f"{attempt.cost:f}", f"{attempt.served:f}"),
                f"{attempt.reserved:f}",
                *map(_iso, (attempt.queued_at, attempt.started_at, attempt.ended_at)),
            )
        )


def _iso(when: datetime | None) -> str:
    return when.isoformat() if when else ""
