"""`plan`: whom each agent would ask, what the run is likely to cost, and what it can cost.

The numbers are those of `rules.estimates`, with its assumptions said beside them. `--max-cost`
turns the bound into an answer: exit code 2 where the run could cost more.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from rich.table import Table

from client.cli.console import DONE, USAGE, run_async, say, stdout
from client.cli.earlier import earlier
from client.cli.planned_sharing import shared_data, shared_lines
from client.cli.preparing import Prepared, Wanted, dollars, make_plan, prepare
from client.cli.spelling import about, at_most, cap, duration, plural
from client.cli.tables import new_table, plain
from client.storage import open_storage
from config.settings import Settings, load_settings
from contracts.plans import Candidate, Plan
from rules.estimates import FIRST_TOKEN_S, TOKENS_PER_S, Estimate, StepEstimate, estimate
from rules.usual import Usual

MOST_NAMED = 5
"""Agents named as what a limit is passed by."""


def show_plan(wanted: Wanted, *, as_json: bool, max_cost: str | None = None) -> int:
    """Show whom each agent would ask and what a run could cost; refuse one over `max_cost`."""
    limit = dollars(max_cost, "--max-cost") if max_cost is not None else None
    settings = load_settings()
    prepared = prepare(settings, wanted, need_inputs=False)
    plan = make_plan(settings, prepared)
    guess = estimate(plan, prepared.given, _usual(settings, plan.team.name))
    if as_json:
        print(json.dumps(_data(plan, guess, limit), indent=2))
    else:
        _show(prepared, plan, guess)
    if limit is not None and guess.most > limit:
        say(f"error: {_over(guess, limit)}")
        return USAGE
    return DONE


def _usual(settings: Settings, team: str) -> Usual:
    """Return what the team's earlier runs used, from the store alone."""
    store, found = open_storage(settings).store, Usual()

    async def main() -> int:
        nonlocal found
        found = await earlier(store, team)
        return DONE

    run_async(main)
    return found


def _show(prepared: Prepared, plan: Plan, guess: Estimate) -> None:
    console = stdout()
    console.print(_table(guess))
    for line in (*_candidates(guess), *_loops(guess), *shared_lines(plan, guess.shared)):
        console.print(line, soft_wrap=True)
    console.print(f"expected {about(guess.expected)}: {_assumed(guess)}", soft_wrap=True)
    console.print(_bound(guess), soft_wrap=True)
    prompts, answers = _tokens(guess)
    console.print(f"tokens: about {prompts:,} of prompts and {answers:,} of answers")
    if guess.path:
        console.print(
            f"longest chain: {' → '.join(guess.path)}, about {duration(guess.path_seconds)}"
            f" ({_pace(guess)})",
            soft_wrap=True,
        )
    absent = [name for name in prepared.team.inputs if name not in prepared.given]
    if absent:
        say(f"note: without {', '.join(absent)}: give --input to count what they add")
    for note in (*prepared.notes, *plan.notes):
        say(f"note: {note}")


def _table(guess: Estimate) -> Table:
    right = ("calls", "prompt", "answer", "expected", "at most")
    table = new_table("agent", "asks first", *right, right=right)
    for name, step in _all_steps(guess):
        is_team = step.kind == "team"
        asked = "".join(_name(candidate) for candidate in step.candidates[:1])
        table.add_row(
            plain(name),
            plain(f"team, at most {cap(step.cost_limit)}" if is_team else asked),
            _calls(step),
            "" if is_team else f"{step.tokens.prompt:,}",
            "" if is_team else f"{step.tokens.answer:,}",
            about(step.expected),
            _most(step),
            style="dim" if "/" in name else None,
        )
    return table


def _all_steps(guess: Estimate, before: str = "") -> Iterator[tuple[str, StepEstimate]]:
    """Yield every step by its name, those of teams after their own."""
    for step in guess.steps:
        yield f"{before}{step.name}", step
        if step.team is not None:
            yield from _all_steps(step.team, f"{before}{step.name}/")


def _name(candidate: Candidate) -> str:
    return f"{candidate.provider} {candidate.model}"


def _calls(step: StepEstimate) -> str:
    """Spell the likely number of calls and how many there can be: "1 ≤ 12"."""
    likely = f"{step.calls.normalize():f}"
    most = step.attempts * step.rounds
    if step.kind == "team":
        return likely
    return f"{likely} ≤ {most} each" if step.items is None else f"{likely} ≤ {most * step.items}"


def _most(step: StepEstimate) -> str:
    if step.most is None:
        return f"{at_most(step.item_most)} each"
    return at_most(step.most)


def _candidates(guess: Estimate) -> Iterator[str]:
    """Say who is asked after whom, once for all agents that have the same candidates."""
    lists: dict[tuple[str, ...], list[str]] = {}
    for name, step in _all_steps(guess):
        if len(step.candidates) > 1:
            lists.setdefault(tuple(map(_name, step.candidates)), []).append(name)
    for names, agents in lists.items():
        yield f"candidates of {', '.join(agents)}: {', then '.join(names)}"


def _loops(guess: Estimate) -> Iterator[str]:
    """Say what is repeated, and what of it is not known before the run."""
    for name, step in _all_steps(guess):
        if step.mapped:
            many = "items" if step.items is None else f"{plural(step.items, 'item')} at most"
            unknown = ", how many is not known before the run" if step.items is None else ""
            yield f"{name}: for each of the {many}{unknown}; an item: {at_most(step.item_most)}"
        if step.rounds > 1:
            yield f"{name}: {step.rounds} rounds at most"
        if step.unknown:
            yield (
                f"{name}: bounded by cost_limit {cap(step.cost_limit)} alone; not known before the "
                f"run: {', '.join(step.unknown)}"
            )
        elif step.binds and step.kind != "team":
            yield f"{name}: its attempts could cost more, cost_limit {cap(step.cost_limit)} binds"


def _assumed(guess: Estimate) -> str:
    first = "each agent's first candidate answers at once, conditions hold"
    if guess.runs:
        return f"{first}; calls and answers as in {plural(guess.runs, 'earlier run')} (mean)"
    return f"{first}; answers of half their max_tokens, half of a loop's rounds"


def _bound(guess: Estimate) -> str:
    every = "if every attempt that may be made is made, and billed in full"
    if guess.most < guess.cap:
        return f"at most {at_most(guess.most)}: {every}; the budget is {cap(guess.cap)}"
    why = "the number of items is not known" if guess.steps_most is None else f"{every}, it binds"
    return f"at most {cap(guess.cap)}: cost_budget ({why})"


def _pace(guess: Estimate) -> str:
    if guess.runs:
        return "as long as in earlier runs"
    return f"{FIRST_TOKEN_S:g} s to a first token, {TOKENS_PER_S} tokens a second; people count 0"


def _tokens(guess: Estimate) -> tuple[int, int]:
    """Return the likely tokens of all prompts and all answers."""
    steps = [step for _, step in _all_steps(guess)]
    prompts = sum((step.calls * step.tokens.prompt for step in steps), Decimal(0))
    return round(prompts), round(sum((s.calls * s.tokens.answer for s in steps), Decimal(0)))


def _over(guess: Estimate, limit: Decimal) -> str:
    """Say what leads over a limit: the agents that can cost most."""
    steps = sorted(guess.steps, key=lambda s: guess.cap if s.most is None else s.most, reverse=True)
    told = [f"{s.name} at most {_most(s)}" for s in steps[:MOST_NAMED] if s.most != 0]
    if len(steps) > MOST_NAMED:
        told.append(f"{len(steps) - MOST_NAMED} more")
    return (
        f"--max-cost {cap(limit)}: the run may cost {at_most(guess.most)} ({', '.join(told)}). "
        f"Lower max_tokens, max_retries, fallbacks or cost_limit, or give --budget {limit:f}: no "
        f"run passes its budget"
    )


def _data(plan: Plan, guess: Estimate, limit: Decimal | None) -> dict[str, Any]:
    """Return the plan as JSON; dollars are exact decimals in strings."""
    over = {} if limit is None else {"max_cost": str(limit), "over": guess.most > limit}
    return {"team": plan.team.name, **_estimate_data(guess), **over, "notes": list(plan.notes)}


def _estimate_data(guess: Estimate) -> dict[str, Any]:
    prompts, answers = _tokens(guess)
    return {
        "agents": [_step_data(step) for step in guess.steps],
        "calls": str(guess.calls),
        "expected": str(guess.expected),
        "most": str(guess.most),
        "steps_most": None if guess.steps_most is None else str(guess.steps_most),
        "budget": str(guess.cap),
        "tokens": {"prompts": prompts, "answers": answers},
        "critical_path": {"steps": list(guess.path), "seconds": round(guess.path_seconds, 1)},
        "shared_context": shared_data(guess.shared),
        "assumed": {"expected": _assumed(guess), "seconds": _pace(guess)},
        "earlier_runs": guess.runs,
    }


def _step_data(step: StepEstimate) -> dict[str, Any]:
    return {
        "name": step.name,
        "kind": step.kind,
        "candidates": [_name(candidate) for candidate in step.candidates],
        "prices": [candidate.price.model_dump(mode="json") for candidate in step.candidates],
        "calls": float(step.calls),
        "attempts": step.attempts,
        "rounds": step.rounds,
        "items": step.items,
        "for_each": step.mapped,
        "tokens": {
            "prompt": step.tokens.prompt,
            "prompt_most": step.tokens.prompt_most,
            "answer": step.tokens.answer,
            "answer_most": step.tokens.answer_most,
        },
        "cost_limit": str(step.cost_limit),
        "call": str(step.call),
        "expected": str(step.expected),
        "item_most": str(step.item_most),
        "most": None if step.most is None else str(step.most),
        "unknown": list(step.unknown),
        "seconds": round(step.seconds, 1),
        "team": _estimate_data(step.team) if step.team is not None else None,
    }
