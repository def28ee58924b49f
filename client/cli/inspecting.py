"""Commands that ask without running anything: personas, plan."""

import json
from typing import Any

from client.cli.console import DONE, Refusal, say, stdout
from client.cli.estimate import Estimate, estimate
from client.cli.preparing import Wanted, make_plan, prepare
from client.cli.session import open_session
from client.cli.spelling import money
from client.cli.tables import new_table, plain
from config.problems import did_you_mean
from contracts.plans import Plan
from providers.router import Explanation, PersonaRouter


def show_personas(name: str | None, *, explain: bool, as_json: bool) -> int:
    """Show who would answer for each persona, or for one, and why."""
    settings = open_session().settings
    router = PersonaRouter(
        settings.persona_policy, settings.capabilities, prices=settings.price_overrides()
    )
    known = list(router.policy.personas)
    if name is not None and name not in known:
        hint = did_you_mean(name, known)
        raise Refusal(f"no persona {name} in {router.policy_path}.{hint} Known: {', '.join(known)}")
    found = [router.explain(persona) for persona in ([name] if name else known)]
    if as_json:
        print(json.dumps([one.data() for one in found], indent=2))
    elif explain or name:
        for one in found:
            print("\n  ".join(one.lines()), end="\n\n" if len(found) > 1 else "\n")
    else:
        stdout().print(_personas(router, found))
        say(f"from {router.policy_path}; --explain says why")
    return DONE


def _personas(router: PersonaRouter, found: list[Explanation]) -> Any:
    table = new_table("persona", "answers", "then", "needs")
    for one in found:
        taken = sorted((v for v in one.verdicts if v.rank), key=lambda v: v.rank or 0)
        names = [f"{v.provider} {v.model}" for v in taken]
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        table.add_row(
            plain(one.persona),
            plain(names[0] if names else "nobody"),
            plain("".join(names[1:2]) + more),
            plain(", ".join(one.requires)),
        )
    return table


def show_plan(wanted: Wanted, *, as_json: bool) -> int:
    """Show whom each agent would ask, and what the run could cost at most."""
    session = open_session()
    prepared = prepare(session.settings, wanted, need_inputs=False)
    plan = make_plan(session.settings, prepared)
    guess = estimate(plan, prepared.sizes)
    if as_json:
        print(json.dumps(_plan_data(plan, guess), indent=2))
        return DONE
    console = stdout()
    table = new_table("agent", "asks", "then", "a call", "at most", right=("a call", "at most"))
    for step in guess.steps:
        table.add_row(
            plain(step.name),
            plain("".join(step.candidates[:1])),
            plain(", ".join(step.candidates[1:3]) + ("…" if len(step.candidates) > 3 else "")),
            money(step.call),
            money(step.most),
        )
    console.print(table)
    console.print(f"every agent asked once, at full length: {money(guess.calls)}")
    console.print(f"never more than {money(guess.most)}, whatever fails (cost_budget, cost_limit)")
    absent = [name for name in prepared.team.inputs if name not in prepared.inputs]
    if absent:
        say(f"note: without {', '.join(absent)}: give --input to count what they add")
    for note in (*prepared.notes, *plan.notes):
        say(f"note: {note}")
    return DONE


def _plan_data(plan: Plan, guess: Estimate) -> dict[str, Any]:
    return {
        "team": plan.team.name,
        "agents": [
            {
                "name": step.name,
                "candidates": list(step.candidates),
                "call": str(step.call),
                "most": str(step.most),
            }
            for step in guess.steps
        ],
        "calls": str(guess.calls),
        "most": str(guess.most),
        "notes": list(plan.notes),
    }
