"""An engine on the session's server, and a client as seed 004 writes one."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from client.engine import (
    Agent,
    AgentResult,
    EngineConfig,
    LLMClient,
    LLMResponse,
    OrchestrationEngine,
    RateLimitConfig,
    RetryPolicy,
    Workflow,
)

MakeEngine = Callable[..., OrchestrationEngine]
"""What the fixture `make_engine` gives: a client, perhaps a configuration, to an engine."""

Answer = str | Exception | Callable[[str], str]


class FakeClient(LLMClient):
    """Only completes. 100 tokens in, 50 out; answers after `seconds`, or raises."""

    def __init__(self, answer: Answer = "An answer.", seconds: float = 0.0) -> None:
        self.answer, self.seconds = answer, seconds
        self.prompts: list[str] = []
        self.threads: set[int] = set()
        self.in_flight = 0
        self.most_in_flight = 0

    async def complete(
        self,
        prompt: str,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        self.prompts.append(prompt)
        self.threads.add(threading.get_ident())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.in_flight -= 1
        answer = self.answer(prompt) if callable(self.answer) else self.answer
        if isinstance(answer, Exception):
            raise answer
        return LLMResponse(answer, model or "", 100, 50)


class OpenAIClient(FakeClient):
    """Stands in for the vendor's client where the seed's printed program makes one."""

    def __init__(self, api_key: str) -> None:
        super().__init__()


def agent(name: str = "a", prompt: str = "Say something.", **more: Any) -> Agent:
    """Return an agent that asks gpt-4 for at most 50 tokens."""
    config = more.pop("llm_config", {"model": "gpt-4", "max_tokens": 50})
    return Agent(name, "General", "", config, prompt, **more)


def workflow(*agents: Agent, **more: Any) -> Workflow:
    """Return a workflow of these agents."""
    return Workflow(more.pop("name", "tested"), "", list(agents), **more)


def quick(**more: Any) -> EngineConfig:
    """Return a configuration without limits, and without waits between attempts."""
    more.setdefault("rate_limit_config", RateLimitConfig.unlimited())
    more.setdefault("default_retry_policy", RetryPolicy(base_delay=0.0, jitter=False))
    return EngineConfig(**more)


async def run(engine: OrchestrationEngine, flow: Workflow) -> Workflow:
    """Run a workflow to its end."""
    return await engine.execute_workflow(await engine.register_workflow(flow))


def result_of(flow: Workflow, name: str = "a") -> AgentResult:
    """Return an agent's result, which there has to be."""
    found = flow.get_agent_by_name(name)
    assert found is not None
    assert found.result is not None
    return found.result


def states(flow: Workflow) -> dict[str, str]:
    """Return the agents' states by name."""
    return {a.name: a.status.value for a in flow.agents}
