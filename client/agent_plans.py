"""From an agent as written to one that can be asked: candidates, prices, and the bounds of a turn.

An agent's calls are planned as those of a team with one step, by the same planner, so that
personas, capabilities, prices and keys are judged alike wherever the agent is used.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from client.agents import store_draft
from client.planning import SIMULATED, PlanError, Planner
from config.agentfile import LoadedAgent
from contracts.agents import AgentModel, AgentSpec
from contracts.chats import TURN
from contracts.plans import (
    AgentDraft,
    AgentForm,
    AgentHeader,
    AgentPlan,
    Candidate,
    Plan,
    StepNode,
)
from contracts.retry import RetryRule
from contracts.teams import FallbackSpec, ModelStep, OutputSpec, SharedContext, TeamSpec
from contracts.tools import AgentTool, PromptTool
from providers.exceptions import RouterError
from rules import planning
from rules.step_files import prefix_digest
from stores.artifacts import ArtifactStore


class PlannedAgent:
    """An agent with its candidates, ready to be stored. `notes` are for its author.

    `children` are the agents that its `prompt` and `agent` tools stand for.
    """

    def __init__(
        self,
        loaded: LoadedAgent,
        plan: Plan,
        notes: tuple[str, ...] = (),
        children: Mapping[str, "PlannedAgent"] | None = None,
    ) -> None:
        agent = loaded.agent
        self.agent, self.notes, self.children = agent, notes, dict(children or {})
        self._retry = plan.retry
        (node,) = planning.nodes(plan)
        alone = {"uploads": (), "needs_uploads": False, "shared": ""}
        self.node: StepNode = node.model_copy(update=alone)
        profile = plan.personas.get(agent.model.persona or "")
        self.plan = AgentPlan(
            agent=agent,
            candidates=plan.candidates,
            system=agent.instructions or (profile.system if profile else None) or "",
            temperature=profile.temperature if profile else None,
        )

    @property
    def form(self) -> AgentForm:
        """What stands before a team's shared context in its requests."""
        agent = self.agent
        tools = [tool.model_dump(mode="json") for tool in agent.tools]
        form = agent.response_format
        kind, schema = ("text", None) if form is None else ("json", form.schema_)
        before = prefix_digest(tools, kind, schema)
        return AgentForm(before=before, tools=bool(tools))

    def draft(self) -> AgentDraft:
        """Return it as data."""
        children = {name: child.draft() for name, child in self.children.items()}
        return AgentDraft(plan=self.plan, node=self.node, retry=self._retry, children=children)

    async def stored(self, store: ArtifactStore) -> AgentHeader:
        """Store the agent; return what a workflow needs of it. Raises StoreUnavailable."""
        return await store_draft(store, self.draft())


def plan_agent(
    loaded: LoadedAgent, planner: Planner, shared: SharedContext | None = None
) -> PlannedAgent:
    """Resolve an agent's model, and those of its tools.

    `shared` is what its conversation begins with, where it is a team's step that shares it.
    Raises PlanError: nobody fits, no price, a budget too small.
    """
    children, problems = {}, list[str]()
    for name, child in tools_that_ask(loaded).items():
        try:
            children[name] = plan_agent(child, planner)
        except PlanError as error:
            problems += [f"tool {name}: {line}" for line in error.problems]
        except RouterError as error:
            problems.append(f"tool {name}: {error}")
    if problems:
        raise PlanError(problems)
    plan, notes = _plan_of(loaded.agent, planner, shared)
    notes += tuple(
        f"tool {name}: {note}" for name, child in children.items() for note in child.notes
    )
    return PlannedAgent(loaded, plan, notes, children)


def _plan_of(
    agent: AgentSpec, planner: Planner, shared: SharedContext | None
) -> tuple[Plan, tuple[str, ...]]:
    """Plan the calls of an agent's own model."""
    model = agent.model
    own = model.provider if planner.provider is None else planner.provider
    first = replace(planner, provider=own)
    if own in (None, SIMULATED) or not model.fallback:
        plan = _planned(agent, first, model, shared)
        return plan, plan.notes
    # A planner that keeps to one provider leaves fallbacks of others out: each has its own.
    plan = _planned(agent, first, model.model_copy(update={"fallback": ()}), shared)
    found, notes = list(plan.candidates), list(plan.notes)
    sizes = [plan.file_tokens.get(TURN, 0)]
    for fallback in model.fallback:
        try:
            further = _planned(agent, *_of_fallback(planner, model, fallback), shared)
        except (PlanError, RouterError) as error:
            notes.append(f"a fallback is left out: {error}")
            continue
        found += [one for one in further.candidates if one not in found]
        notes += further.notes
        sizes.append(further.file_tokens.get(TURN, 0))
    update = {
        "candidates": tuple(found),
        "step_candidates": {TURN: tuple(range(len(found)))},
        "file_tokens": {TURN: max(sizes)} if any(sizes) else {},
    }
    plan = plan.model_copy(update=update)
    return plan, tuple(notes)


def plan_own(
    loaded: LoadedAgent, candidate: Callable[[str | None], Candidate], retry: RetryRule
) -> PlannedAgent:
    """Plan an agent that a caller's own client answers for: `candidate` by the model's name."""
    agent = loaded.agent
    plan = Plan(
        team=_team(agent, agent.model),
        candidates=(candidate(agent.model.params.model),),
        step_candidates={TURN: (0,)},
        retry=retry,
    )
    asked = tools_that_ask(loaded).items()
    children = {name: plan_own(child, candidate, retry) for name, child in asked}
    return PlannedAgent(loaded, plan, children=children)


def tools_that_ask(loaded: LoadedAgent) -> dict[str, LoadedAgent]:
    """Return the agents that an agent's `prompt` and `agent` tools stand for, by the tool's name.

    What a tool may cost is the cap of their turn; a prompt is an agent without tools, whose one
    call it is.
    """
    found = {}
    for tool in loaded.agent.tools:
        if isinstance(tool, PromptTool):
            found[tool.name] = replace(loaded, agent=_prompt(loaded.agent, tool), children={})
        elif isinstance(tool, AgentTool) and tool.name in loaded.children:
            child = loaded.children[tool.name]
            found[tool.name] = replace(child, agent=_within(child.agent, tool))
    return found


def _within(agent: AgentSpec, tool: AgentTool) -> AgentSpec:
    """Return an agent with the bounds of the tool that it is."""
    budget, execution = agent.budget, agent.execution
    if tool.cost_limit is not None:
        budget = budget.model_copy(update={"turn": tool.cost_limit})
    limit = min(tool.timeout, execution.turn_timeout)
    execution = execution.model_copy(update={"turn_timeout": limit})
    return agent.model_copy(update={"budget": budget, "execution": execution})


def _prompt(agent: AgentSpec, tool: PromptTool) -> AgentSpec:
    """Return a prompt as an agent; without a persona or a model it has those of its owner."""
    named = tool.persona or tool.provider or tool.params.model
    own = {k: v for k, v in tool.params.model_dump().items() if v is not None}
    if named:
        model = AgentModel(persona=tool.persona, provider=tool.provider, params=tool.params)
        if tool.persona is None and tool.provider is None:
            owner = {"persona": agent.model.persona, "provider": agent.model.provider}
            model = model.model_copy(update=owner)
    else:
        params = agent.model.params.model_copy(update=own)
        model = agent.model.model_copy(update={"params": params})
    budget = agent.budget
    if tool.cost_limit is not None:
        budget = budget.model_copy(update={"turn": tool.cost_limit})
    return AgentSpec(
        name=tool.name,
        model=model,
        instructions="",
        execution=agent.execution.model_copy(update={"max_turns": 1, "turn_timeout": tool.timeout}),
        budget=budget,
    )


def _of_fallback(
    planner: Planner, model: AgentModel, fallback: FallbackSpec
) -> tuple[Planner, AgentModel]:
    params = model.params.model_copy(update={"model": fallback.model})
    provider = fallback.provider or (None if fallback.persona else model.provider)
    wanted = AgentModel(persona=fallback.persona or model.persona, params=params)
    return replace(planner, provider=provider), wanted


def _planned(
    agent: AgentSpec, planner: Planner, model: AgentModel, shared: SharedContext | None
) -> Plan:
    try:
        return planner.plan(_team(agent, model, shared), {})
    except PlanError as error:
        raise PlanError(_respelled(line, agent) for line in error.problems) from None


def _respelled(line: str, agent: AgentSpec) -> str:
    """Return a team's problem in the words of an agent's file."""
    said = line.replace(f"agent {TURN}:", f"agent {agent.name}:")
    said = said.replace(f"agents.{TURN}.cost_limit", "budget.turn")
    return said.replace("cost_budget", "budget.session")


def _team(agent: AgentSpec, model: AgentModel, shared: SharedContext | None = None) -> TeamSpec:
    """Return a team whose one step is a call of the agent's model."""
    execution, form = agent.execution, agent.response_format
    step = ModelStep(
        name=TURN,
        persona=model.persona,
        llm_config=model.params.model_copy(
            update={"system": agent.instructions or model.params.system}
        ),
        prompt_template=".",
        tools=({"name": "tools"},) if agent.tools else (),
        max_retries=execution.max_retries,
        timeout=execution.timeout,
        first_token_timeout=execution.first_token_timeout,
        idle_timeout=execution.idle_timeout,
        cost_limit=agent.budget.turn,
        min_output_tokens=execution.min_output_tokens,
        on_interrupt=execution.on_interrupt,
        output=OutputSpec(kind="json", schema_=form.schema_, repairs=form.repairs)
        if form
        else OutputSpec(),
        fallback=model.fallback,
        shared_context=shared is not None,
    )
    return TeamSpec(
        name=agent.name,
        agents=(step,),
        cost_budget=agent.budget.session,
        on_budget=agent.budget.on_budget,
        shared_context=shared,
    )
