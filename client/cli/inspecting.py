"""`personas`: who would answer, and why."""

import json
from typing import Any

from client.cli.console import DONE, Refusal, say, stdout
from client.cli.session import open_session
from client.cli.tables import new_table, plain
from config.problems import did_you_mean
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
