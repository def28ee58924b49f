"""What the store and the server are told of a run before it starts."""

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from client.agents import store_header
from client.attaching import with_stored_files
from contracts import search
from contracts.artifacts import ArtifactRef
from contracts.plans import Plan
from contracts.teams import WorkflowStatus
from stores.artifacts import ArtifactStore


async def stored_plan(plan: Plan, store: ArtifactStore) -> tuple[ArtifactRef, Plan]:
    """Store a plan, those of its teams and its agents first; return it as it is stored."""
    stored = {name: await stored_plan(child, store) for name, child in plan.children.items()}
    children = {name: ref for name, (ref, _) in stored.items()}
    for name, draft in plan.agents.items():
        children[name] = await store_header(store, draft)
    update = {
        "children": {},
        "agents": {},
        "child_plans": {**plan.child_plans, **children},
        "team": await with_stored_files(plan.team, store),
    }
    whole = plan.model_copy(update=update)
    return await store.put_json(whole), whole


def summary(plan: Plan) -> str:
    """Return a run's line in the server's list."""
    team = plan.team
    return f"{team.name}: {len(team.agents)} agents, at most ${team.cost_budget:.2f}"


def summarised_team(line: str) -> str:
    """Return the team that a `summary` names, or ""."""
    return line.rpartition(": ")[0]


def details(plan: Plan) -> str:
    """Return what its page says above the history, in Markdown."""
    lines = [plan.team.description or plan.team.name, ""]
    lines += [f"- {note}" for note in plan.notes[:20]]
    return "\n".join(lines)


def attributes(plan: Plan) -> TypedSearchAttributes:
    """Return what a run can be found by before it has done anything."""
    personas = sorted(plan.personas)[:20]
    return TypedSearchAttributes(
        [
            SearchAttributePair(SearchAttributeKey.for_keyword(search.TEAM), plan.team.name[:200]),
            SearchAttributePair(
                SearchAttributeKey.for_keyword(search.STATUS), WorkflowStatus.RUNNING.value
            ),
            SearchAttributePair(SearchAttributeKey.for_keyword_list(search.PERSONAS), personas),
            SearchAttributePair(SearchAttributeKey.for_float(search.COST), 0.0),
            SearchAttributePair(SearchAttributeKey.for_int(search.TOKENS), 0),
            SearchAttributePair(SearchAttributeKey.for_int(search.BUDGET_USED), 0),
        ]
    )
