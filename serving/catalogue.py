"""What is served: agents of files and personas of the policy, each under a model's name.

Every request is planned anew by the planner that runs and chats use, with what the request wants
put over what the agent says, so that capabilities, prices and keys are judged as everywhere; plans
of the same wishes are remembered. A level says how well a capability is had: "native" where the
vendor does it, "limited" where the adapter makes up for it, "simulated" where nothing real stands
behind it.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import orjson

from client.agent_plans import PlannedAgent, plan_agent
from client.enclosing import narrowed, refusal, takes
from client.planning import SIMULATED, PlanError, Planner
from config.agentfile import LoadedAgent
from config.problems import did_you_mean
from contracts.agents import AgentExecution, AgentModel, AgentSpec, ResponseFormat
from contracts.parts import FileInlinePart
from contracts.plans import Candidate
from providers import media
from providers.capabilities import CAPABILITIES
from rules import prices
from serving.asking import Wishes
from serving.errors import ApiError, invalid

LEVELS: Mapping[str, int] = {"simulated": 1, "limited": 2, "native": 3}
REMEMBERED_PLANS = 256

ATTEMPTS_PAID = 3
"""Attempts at one answer that a request without tools is given money for."""


@dataclass(frozen=True)
class Served:
    """Who answers to a model's name. `created` is in seconds since the epoch."""

    name: str
    kind: str
    loaded: LoadedAgent
    created: int = 0

    @property
    def agent(self) -> AgentSpec:
        """The agent as it was written."""
        return self.loaded.agent


@dataclass(frozen=True)
class Ready:
    """A plan for one request. `least` and `most` are dollars: of one call, and of the turn.

    `picture_tokens` is what the request's pictures take of a prompt at most.
    """

    planned: PlannedAgent
    least: Decimal
    most: Decimal
    picture_tokens: int = 0


def of_agent(loaded: LoadedAgent, created: int = 0) -> Served:
    """Serve an agent of a file, under its own name."""
    return Served(loaded.agent.name, "agent", loaded, created)


def of_persona(name: str, created: int = 0, description: str = "") -> Served:
    """Serve a persona: an agent without tools, which says what the policy says."""
    agent = AgentSpec(
        name=name,
        description=description,
        model=AgentModel(persona=name),
        instructions="",
        execution=AgentExecution(on_interrupt="continue"),
    )
    return Served(name, "persona", LoadedAgent(agent, Path(), {}), created)


class Catalogue:
    """All that is served. `planner` resolves who answers."""

    def __init__(self, served: Iterable[Served], planner: Planner) -> None:
        self._served = {one.name: one for one in served}
        self._planner = planner
        self._plans: OrderedDict[bytes, PlannedAgent] = OrderedDict()

    @property
    def all(self) -> tuple[Served, ...]:
        """What is served, in the order in which it was given."""
        return tuple(self._served.values())

    def find(self, name: str, param: str = "model") -> Served:
        """Return who answers to a name, which stands in that field. Raises ApiError (404)."""
        found = self._served.get(name)
        if found is None:
            hint = did_you_mean(name, list(self._served))
            raise ApiError(
                404,
                f"the {param} {name!r} is not served here.{hint} GET /v1/models lists them",
                code="model_not_found",
                param=param,
            )
        return found

    def ready(
        self,
        served: Served,
        wishes: Wishes,
        prompt_bytes: int,
        *,
        tools: bool,
        pictures: Sequence[FileInlinePart] = (),
        kinds: Sequence[str] = (),
    ) -> Ready:
        """Plan a request. Raises ApiError (400, 412), PlanError, RouterError.

        `tools`: the request brings tools of its own. `kinds` are those of files that a session
        has shown before.
        """
        planned = self._planned(served, wishes)
        requires = {**({"tool_calling": "simulated"} if tools else {}), **wishes.requires}
        if requires:
            planned = self._fitting(planned, requires, served.name)
        seen = 0
        if pictures or kinds:
            shown = {media.modality(one.mime_type): None for one in pictures}
            planned = self._taking(planned, [*kinds, *shown], served.name)
        if pictures:
            seen = _picture_tokens(planned, pictures)
            prompt_bytes += seen
        node, turn = planned.node, planned.agent.budget.turn
        least = _worst(planned, prompt_bytes, min(node.min_output_tokens, node.max_tokens))
        whole = _worst(planned, prompt_bytes, node.max_tokens) * ATTEMPTS_PAID
        most = turn if planned.agent.tools else min(turn, whole)
        return Ready(planned, min(least, turn), most, seen)

    def _planned(self, served: Served, wishes: Wishes) -> PlannedAgent:
        own = replace(wishes, requires={})
        key = orjson.dumps([served.name, own], option=orjson.OPT_SORT_KEYS)
        found = self._plans.get(key)
        if found is None:
            found = self.plan(_wished(served.loaded, own))
            found.plan = found.plan.model_copy(update={"tool_choice": own.tool_choice})
        self._plans[key] = found
        self._plans.move_to_end(key)
        while len(self._plans) > REMEMBERED_PLANS:
            self._plans.popitem(last=False)
        return found

    def plan(self, loaded: LoadedAgent) -> PlannedAgent:
        """Resolve who answers for an agent. Raises PlanError, RouterError."""
        return plan_agent(loaded, self._planner)

    def _fitting(
        self, planned: PlannedAgent, requires: Mapping[str, str], model: str
    ) -> PlannedAgent:
        """Return the plan with those candidates that have what is required. Raises 400, 412."""
        unknown = sorted(set(requires) - set(CAPABILITIES))
        if unknown:
            known = ", ".join(CAPABILITIES)
            raise invalid(
                f"requires: {unknown[0]} is no capability; there are: {known}", "requires"
            )
        lacks: dict[str, None] = {}
        kept = []
        for candidate in planned.plan.candidates:
            short = [
                f"{name} {self.level(candidate, name) or 'not at all'} (required: {least})"
                for name, least in requires.items()
                if LEVELS.get(self.level(candidate, name) or "", 0) < LEVELS[least]
            ]
            if short:
                lacks[f"{candidate.provider} {candidate.model}: {', '.join(short)}"] = None
            else:
                kept.append(candidate)
        if not kept:
            said = f"nobody who answers for {model} has what is required: {'; '.join(lacks)}"
            raise ApiError(412, said, code="capability_unmet", param="requires")
        return narrowed(planned, kept)

    def _taking(self, planned: PlannedAgent, kinds: Sequence[str], model: str) -> PlannedAgent:
        """Return the plan with those candidates that take such files. Raises ApiError (400)."""
        kept = [one for one in planned.plan.candidates if self.takes(one, kinds)]
        if not kept:
            table = self._planner.router.capabilities
            said = refusal(planned.plan.candidates, table, kinds)
            raise invalid(f"messages: {model}: {said}", "messages", "unsupported_content")
        return narrowed(planned, kept)

    def takes(self, candidate: Candidate, kinds: Sequence[str]) -> bool:
        """Whether a candidate takes files of these kinds."""
        return takes(self._planner.router.capabilities, candidate, kinds)

    def level(self, candidate: Candidate, capability: str) -> str | None:
        """Return how well a candidate has a capability; None for not at all."""
        profile, _ = self._planner.router.capabilities.profile(candidate.provider, candidate.model)
        if profile is None or capability not in profile.capabilities:
            return None
        if candidate.provider == SIMULATED:
            return "simulated"
        if capability == "stop_sequences" and profile.sampling.max_stop == 0:
            return "limited"
        return "native"


def check(catalogue: Catalogue) -> tuple[tuple[Served, ...], list[str]]:
    """Return who can answer now, and why the others cannot."""
    able, notes = [], []
    for served in catalogue.all:
        try:
            catalogue.ready(served, Wishes(), 0, tools=False)
        except (PlanError, ValueError) as error:
            first, *rest = str(error).splitlines()
            why = f"{first} {rest[0].strip(' -')}" if first.endswith(":") and rest else first
            notes.append(f"{served.name} is not served: {why}")
        else:
            able.append(served)
    return tuple(able), notes


def _wished(loaded: LoadedAgent, wishes: Wishes) -> LoadedAgent:
    """Return the agent with what a request wants put over what it says."""
    agent = loaded.agent
    named = ("temperature", "top_p", "max_tokens", "stop", "seed", "reasoning_effort")
    over = {n: getattr(wishes, n) for n in named if getattr(wishes, n) is not None}
    model = agent.model.model_copy(update={"params": agent.model.params.model_copy(update=over)})
    update: dict[str, object] = {"model": model}
    if wishes.json_form:
        update["response_format"] = ResponseFormat(schema_=wishes.json_schema)
    return replace(loaded, agent=agent.model_copy(update=update))


def _picture_tokens(planned: PlannedAgent, pictures: Sequence[FileInlinePart]) -> int:
    """Return how many tokens pictures take of any candidate's prompt at most."""
    return max(
        sum(media.file_tokens(one.model, shown.mime_type, len(shown.data)) for shown in pictures)
        for one in planned.plan.candidates
    )


def _worst(planned: PlannedAgent, prompt_bytes: int, max_tokens: int) -> Decimal:
    """Return the most that one call of the dearest candidate may cost."""
    bound = planned.node.prompt_bytes + prompt_bytes
    return max(
        prices.worst_case(one.price, bound + one.overhead_tokens, max_tokens)
        for one in planned.plan.candidates
    )
