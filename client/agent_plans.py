"""From an agent as written to one that can be asked: candidates, prices, and the bounds of a turn.

An agent's calls are planned as those of a team with one step, by the same planner, so that
personas, capabilities, prices and keys are judged alike wherever the agent is used.
"""

from collections.abc import Callable
from dataclasses import replace

from client.agents import store_agent
from client.planning import SIMULATED, PlanError, Planner
from config.agentfile import LoadedAgent
from contracts.agents import AgentModel, AgentSpec
from contracts.chats import TURN, AgentHeader, AgentPlan
from contracts.plans import Candidate, Plan, StepNode
from contracts.retry import RetryRule
from contracts.teams import FallbackSpec, ModelStep, OutputSpec, TeamSpec
from providers.exceptions import RouterError
from rules import planning
from stores.artifacts import ArtifactStore


class PlannedAgent:
    """An agent with its candidates, ready to be stored. `notes` are for its author."""

    def __init__(self, loaded: LoadedAgent, plan: Plan, notes: tuple[str, ...] = ()) -> None:
        agent = loaded.agent
        _refuse(agent)
        self._loaded, self.agent, self.notes = loaded, agent, notes
        self._retry = plan.retry
        self.node: StepNode = planning.nodes(plan)[0]
        profile = plan.personas.get(agent.model.persona or "")
        self.plan = AgentPlan(
            agent=agent,
            candidates=plan.candidates,
            system=agent.instructions or (profile.system if profile else None) or "",
            temperature=profile.temperature if profile else None,
        )

    async def stored(self, store: ArtifactStore) -> AgentHeader:
        """Store the agent; return what a workflow needs of it. Raises StoreUnavailable."""
        agent, execution = self.agent, self.agent.execution
        return AgentHeader(
            name=agent.name,
            plan=await store.put_json(self.plan),
            agent=await store_agent(store, self._loaded),
            candidates=tuple(c.model_copy(update={"options": {}}) for c in self.plan.candidates),
            retry=self._retry,
            node=self.node,
            budget=agent.budget.session,
            on_budget=agent.budget.on_budget,
            max_calls=execution.max_turns,
            turn_timeout=execution.turn_timeout,
            argument_repairs=execution.argument_repairs,
            max_parallel_tools=execution.max_parallel_tools,
            approval_timeout=execution.approval_timeout,
            queues=tuple(dict.fromkeys(tool.queue for tool in agent.tools)),
        )


NOT_YET = ("prompt", "agent")
"""Kinds of tools that are checked like all others, and then refused: turns cannot call them yet."""


def _refuse(agent: AgentSpec) -> None:
    """Raise PlanError for tools that could be offered to a model, but not be called."""
    found = [tool for tool in agent.tools if tool.kind in NOT_YET]
    if found:
        raise PlanError(
            f"tool {tool.name}: a tool of type {tool.kind} cannot be called yet" for tool in found
        )


def plan_agent(loaded: LoadedAgent, planner: Planner) -> PlannedAgent:
    """Resolve an agent's model. Raises PlanError: nobody fits, no price, a budget too small."""
    agent, model = loaded.agent, loaded.agent.model
    own = model.provider if planner.provider is None else planner.provider
    first = replace(planner, provider=own)
    if own in (None, SIMULATED) or not model.fallback:
        plan = _planned(agent, first, model)
        return PlannedAgent(loaded, plan, plan.notes)
    # A planner that keeps to one provider leaves fallbacks of others out: each has its own.
    plan = _planned(agent, first, model.model_copy(update={"fallback": ()}))
    found, notes = list(plan.candidates), list(plan.notes)
    for fallback in model.fallback:
        try:
            further = _planned(agent, *_of_fallback(planner, model, fallback))
        except (PlanError, RouterError) as error:
            notes.append(f"a fallback is left out: {error}")
            continue
        found += [one for one in further.candidates if one not in found]
        notes += further.notes
    every = {TURN: tuple(range(len(found)))}
    plan = plan.model_copy(update={"candidates": tuple(found), "step_candidates": every})
    return PlannedAgent(loaded, plan, tuple(notes))


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
    return PlannedAgent(loaded, plan)


def _of_fallback(
    planner: Planner, model: AgentModel, fallback: FallbackSpec
) -> tuple[Planner, AgentModel]:
    params = model.params.model_copy(update={"model": fallback.model})
    provider = fallback.provider or (None if fallback.persona else model.provider)
    wanted = AgentModel(persona=fallback.persona or model.persona, params=params)
    return replace(planner, provider=provider), wanted


def _planned(agent: AgentSpec, planner: Planner, model: AgentModel) -> Plan:
    try:
        return planner.plan(_team(agent, model), {})
    except PlanError as error:
        raise PlanError(_respelled(line, agent) for line in error.problems) from None


def _respelled(line: str, agent: AgentSpec) -> str:
    """Return a team's problem in the words of an agent's file."""
    said = line.replace(f"agent {TURN}:", f"agent {agent.name}:")
    said = said.replace(f"agents.{TURN}.cost_limit", "budget.turn")
    return said.replace("cost_budget", "budget.session")


def _team(agent: AgentSpec, model: AgentModel) -> TeamSpec:
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
    )
    return TeamSpec(
        name=agent.name,
        agents=(step,),
        cost_budget=agent.budget.session,
        on_budget=agent.budget.on_budget,
    )
