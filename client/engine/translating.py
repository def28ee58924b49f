"""From the seed's workflow to a plan that a run can follow, and from its results back.

A run's steps have names that prompts can spell; an agent's name may be any text, so each agent
has a step's name beside its own. All that can be known to be wrong is found here, before the run:
every message says which agent and which field.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from client.engine.agents import Agent, AgentResult, isoformat
from client.engine.workflows import Workflow
from config.problems import did_you_mean, explain, spell_path
from contracts.base import Json
from contracts.plans import Candidate, Plan
from contracts.prices import Price
from contracts.retry import RetryRule
from contracts.runs import AttemptRecord, StepResult
from contracts.teams import InputSpec, ModelParams, ModelStep, TeamSpec
from providers.toolspecs import tool_definition
from rules import planning, teamcheck, templates

STEP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

UNNAMED_MODEL = "default"
"""Shown, and priced by default, where neither agent nor client names a model."""


@dataclass(frozen=True)
class Asked:
    """Who is asked: the provider's name, its own model if it has one, its queue, its prices."""

    provider: str
    model: str | None
    queue: str
    price: Callable[[str], Price]

    def candidate(self, model: str | None) -> Candidate:
        """Return the candidate that serves a model; None: the client's own."""
        named = model or self.model or UNNAMED_MODEL
        price = self.price(named)
        return Candidate(
            provider=self.provider,
            model=named,
            queue=self.queue,
            price=price,
            options={} if model else {"unnamed": True},
            why="the caller's client" + (", at the default price" if price.is_default else ""),
        )


@dataclass(frozen=True)
class Translation:
    """A plan, its inputs, and the agents' names by those of their steps."""

    plan: Plan
    inputs: dict[str, Json]
    agents: dict[str, str]


def translate(workflow: Workflow, asked: Asked, retry: RetryRule) -> Translation:
    """Return what a run of the workflow needs. Raises ValueError, which names the field."""
    workflow.validate()
    steps = step_names([agent.name for agent in workflow.agents])
    team = _team(workflow, steps)
    models = dict.fromkeys(step.llm_config.model for step in _model_steps(team))
    candidates = [asked.candidate(model) for model in models]
    numbers = {model: number for number, model in enumerate(models)}
    plan = Plan(
        team=team,
        candidates=tuple(candidates),
        step_candidates={
            step.name: (numbers[step.llm_config.model],) for step in _model_steps(team)
        },
        retry=retry,
        notes=tuple(_price_notes(candidates)),
    )
    try:
        planning.pages(plan)
    except planning.PlanTooLarge as error:
        raise ValueError(f"agent {workflow.agents[error.step].name!r}: {error}") from None
    inputs = {name: _input(workflow, name) for name in workflow.inputs}
    return Translation(plan, inputs, {step: name for name, step in steps.items()})


def _model_steps(team: TeamSpec) -> list[ModelStep]:
    return [step for step in team.agents if isinstance(step, ModelStep)]


def _price_notes(candidates: Sequence[Candidate]) -> list[str]:
    return [
        f"{c.model}: no price is known; the default price is used"
        for c in candidates
        if c.price.is_default
    ]


def step_names(names: Sequence[str]) -> dict[str, str]:
    """Return a step's name for each agent's: its own where prompts can spell it."""
    steps = {name: name for name in names if STEP_NAME.fullmatch(name)}
    for name in names:
        if name in steps:
            continue
        base = "agent_" + re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:40]
        number, step = 1, base
        while step in steps.values() or step in names:
            number += 1
            step = f"{base}_{number}"
        steps[name] = step
    return steps


def _team(workflow: Workflow, steps: Mapping[str, str]) -> TeamSpec:
    try:
        team = TeamSpec(
            name=workflow.name,
            description=workflow.description,
            inputs={name: _input_spec(value) for name, value in workflow.inputs.items()},
            agents=tuple(_step(agent, steps) for agent in workflow.agents),
            max_parallel_agents=workflow.max_parallel_agents,
            cost_budget=Decimal(str(workflow.cost_budget)),
            timeout=workflow.timeout,
            allow_partial_completion=workflow.allow_partial_completion,
            on_budget=workflow.on_budget,
        )
    except ValidationError as error:
        path, message = explain(error, TeamSpec)[0]
        raise ValueError(f"workflow {workflow.name!r}: {spell_path(path)}: {message}") from None
    findings = teamcheck.check_team(team)
    if findings:
        raise ValueError("\n".join(_spelled(finding, workflow) for finding in findings))
    return team


def _spelled(finding: teamcheck.Finding, workflow: Workflow) -> str:
    if len(finding.path) > 2 and finding.path[0] == "agents":
        agent = workflow.agents[int(finding.path[1])]
        return f"agent {agent.name!r}: {spell_path(finding.path[2:])}: {finding.message}"
    return f"workflow {workflow.name!r}: {spell_path(finding.path)}: {finding.message}"


def _step(agent: Agent, steps: Mapping[str, str]) -> ModelStep:
    for number, tool in enumerate(agent.tools):
        try:
            tool_definition(tool)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"agent {agent.name!r}: tools[{number}]: {error}") from None
    params = _params(agent)
    try:
        return ModelStep(
            name=steps[agent.name],
            description=agent.description,
            module=agent.module,  # type: ignore[arg-type]  # validated right here
            llm_config=params,
            prompt_template=_spellable(agent, steps),
            tools=tuple(agent.tools),
            dependencies=tuple(steps[name] for name in dict.fromkeys(agent.dependencies)),
            max_retries=agent.max_retries,
            timeout=agent.timeout,
            cost_limit=Decimal(str(agent.cost_limit)),
            priority=agent.priority,
        )
    except ValidationError as error:
        path, message = explain(error, ModelStep)[0]
        raise ValueError(f"agent {agent.name!r}: {spell_path(path)}: {message}") from None


def _params(agent: Agent) -> ModelParams:
    """Return an agent's `llm_config`, whose keys are the ones that a request has."""
    for key in agent.llm_config:
        if key not in ModelParams.model_fields:
            known = list(ModelParams.model_fields)
            hint = did_you_mean(str(key), known)
            raise ValueError(
                f"agent {agent.name!r}: llm_config has no {key!r} (have: {', '.join(known)}).{hint}"
            )
    try:
        return ModelParams.model_validate(agent.llm_config)
    except ValidationError as error:
        path, message = explain(error, ModelParams)[0]
        raise ValueError(
            f"agent {agent.name!r}: llm_config.{spell_path(path)}: {message}"
        ) from None


def _spellable(agent: Agent, steps: Mapping[str, str]) -> str:
    """Return the prompt with the steps' names for those dependencies that prompts cannot spell."""
    text = agent.prompt_template
    for name in agent.dependencies:
        if steps.get(name, name) != name:
            whole = re.compile(rf"(?<!\{{)\{{{re.escape(name)}(?=[.?}}])")
            text = whole.sub(f"{{{steps[name]}", text)
    return text


def _input_spec(value: Json) -> InputSpec:
    if isinstance(value, bool):
        return InputSpec(type="boolean")
    if isinstance(value, int | float):
        return InputSpec(type="number")
    return InputSpec(type="list" if isinstance(value, list | tuple) else "text")


def _input(workflow: Workflow, name: str) -> Json:
    """Return a value as it travels: what is neither text, number nor list becomes JSON text.

    Raises ValueError for what JSON cannot hold.
    """
    value: Any = workflow.inputs[name]
    try:
        json.dumps(value, allow_nan=False, default=_decimals)
        if isinstance(value, str | bool | int | float):
            return value
        return list(value) if isinstance(value, list | tuple) else templates.text_of(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"workflow {workflow.name!r}: inputs.{name}: {error}") from None


def _decimals(value: object) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


def output_of(value: Json) -> dict[str, Any]:
    """Return an answer as `AgentResult.output`: content, and tool_calls where there are any."""
    if isinstance(value, dict) and "tool_calls" in value:
        return {"content": value.get("text", ""), "tool_calls": value["tool_calls"]}
    return {"content": value}


def agent_result(
    name: str, step: StepResult, output: dict[str, Any] | None, attempts: Sequence[AttemptRecord]
) -> AgentResult:
    """Return what became of an agent, in the seed's words."""
    reason = step.metadata.get("reason")
    return AgentResult(
        agent_id=name,
        status=step.status,
        output=output,
        error=step.error or (reason if isinstance(reason, str) else None),
        tokens_used=step.tokens_used,
        cost=float(step.cost),
        execution_time=step.execution_time,
        started_at=step.started_at,
        completed_at=step.completed_at,
        retry_count=step.retry_count,
        metadata={**step.metadata, "attempts": [attempt_entry(a) for a in attempts]},
    )


def attempt_entry(attempt: AttemptRecord) -> dict[str, Any]:
    """Return an attempt as JSON can hold it: who was asked, when, how it ended, what it cost."""
    usage = attempt.usage
    return {
        "number": attempt.number,
        "provider": attempt.provider,
        "model": attempt.model,
        "queued_at": isoformat(attempt.queued_at),
        "started_at": isoformat(attempt.started_at),
        "first_token_at": isoformat(attempt.first_token_at),
        "ended_at": isoformat(attempt.ended_at),
        "outcome": attempt.outcome,
        "error": attempt.error,
        "next": attempt.decision,
        "input_tokens": usage.prompt_tokens if usage else 0,
        "output_tokens": usage.completion_tokens if usage else 0,
        "cost": float(attempt.cost),
        "cost_is_at_most": attempt.state == "uncertain",
        "max_tokens": attempt.max_tokens,
        "response_id": attempt.response_id,
    }
