"""The graph as one would write it in bare Temporal, with the same provider client.

The same: adapter, pydantic's converter, one activity per agent, each as soon as its own
dependencies have ended, a heartbeat before the request and one a second, the same timeouts. All is
on one queue, so that up to three activities of a workflow task start eagerly, as the SDK has it.
It is run in Temporal's sandbox, the SDK's default, and without, as Callboard's workers are.

Left out, beside Callboard: no ledger and no reservations, no artifacts (texts travel through
history), no spool (nobody can watch), no plan, templates or conditions (Python's `format_map`), no
fallback, no rules for failures (Temporal retries a paid call up to three times), no limits, no
check of a prompt's size, no settling of a cancelled call, no queries, no search attributes, no live
table, no record of the run, no outputs beside the last answer.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy

from benchmarks._beating import heartbeats

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from benchmarks.engine.graph import MAX_TOKENS, Agent
    from contracts.messages import ChatRequest, Message
    from providers.spi import LLMClient, Timeouts

QUEUE = "bare"
FREE_QUEUE = "bare-without-sandbox"


class Graph(BaseModel):
    """The input of a run: agents in the order of their layers."""

    agents: tuple[Agent, ...]
    model: str


class Question(BaseModel):
    """One call."""

    agent: str
    model: str
    prompt: str


class Answer(BaseModel):
    """What came of it."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str


class Asking:
    """The activity, with its clients by model."""

    def __init__(self, client_of: Callable[[str], LLMClient]) -> None:
        self._client_of = client_of

    @activity.defn(name="bare_ask")
    async def ask(self, question: Question) -> Answer:
        """Stream one answer to its end."""
        request = ChatRequest(
            [Message("user", question.prompt)],
            max_tokens=MAX_TOKENS,
            metadata={"agent": question.agent},
        )
        stream = self._client_of(question.model).open(request, Timeouts.of(300))
        activity.heartbeat()
        async with heartbeats(), stream:
            reply = await stream.collect()
        usage = reply.usage
        return Answer(
            text=reply.text,
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
            finish_reason=reply.finish_reason,
        )


@workflow.defn(name="BareGraph")
class BareGraph:
    """Runs a graph."""

    @workflow.run
    async def run(self, graph: Graph) -> str:
        """Return the last agent's answer."""
        tasks: dict[str, asyncio.Task[str]] = {}
        for agent in graph.agents:
            needs = {name: tasks[name] for name in agent.needs}
            tasks[agent.name] = asyncio.create_task(self._one(agent, needs, graph.model))
        return (await asyncio.gather(*tasks.values()))[-1]

    async def _one(self, agent: Agent, needs: dict[str, "asyncio.Task[str]"], model: str) -> str:
        answers = {name: await task for name, task in needs.items()}
        answer = await workflow.execute_activity_method(
            Asking.ask,
            Question(agent=agent.name, model=model, prompt=agent.asked(answers)),
            start_to_close_timeout=timedelta(seconds=360),
            heartbeat_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(maximum_attempts=3),
            summary=agent.name,
        )
        return answer.text
