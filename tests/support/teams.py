"""Small teams and their plans for tests, priced as gpt-4: 0.006 dollars for 100 in and 50 out."""

from decimal import Decimal
from typing import Any

from contracts.plans import Candidate, Plan
from contracts.prices import Price, Rate
from contracts.queues import provider_queue
from contracts.retry import RetryRule
from contracts.teams import ModelStep, StepSpec, TeamSpec

GPT4 = Price(
    model="gpt-4",
    input=Rate(base=Decimal(30)),
    output=Rate(base=Decimal(60)),
    source="tests",
    version="1",
)
AT_ONCE = RetryRule(max_retries=3, base_delay=0, jitter=False)


def candidate(provider: str = "scripted", model: str = "gpt-4", **more: Any) -> Candidate:
    """Return a candidate served on the provider's queue."""
    return Candidate(
        provider=provider, model=model, queue=provider_queue(provider), price=GPT4, **more
    )


def agent(name: str, prompt: str = "Say something.", **more: Any) -> ModelStep:
    """Return a model step that asks for at most 50 tokens."""
    more.setdefault("llm_config", {"max_tokens": 50})
    return ModelStep(name=name, prompt_template=prompt, **more)


def team(*steps: StepSpec, **more: Any) -> TeamSpec:
    """Return a team of steps."""
    return TeamSpec(name=more.pop("name", "tested"), agents=steps, **more)


def plan(spec: TeamSpec, *candidates: Candidate, retry: RetryRule = AT_ONCE, **more: Any) -> Plan:
    """Return the plan in which every model step may use all the candidates in order."""
    used = candidates or (candidate(),)
    return Plan(
        team=spec,
        candidates=used,
        step_candidates={
            step.name: tuple(range(len(used)))
            for step in spec.agents
            if isinstance(step, ModelStep)
        },
        retry=retry,
        **more,
    )
