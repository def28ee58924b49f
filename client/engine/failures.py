"""Retry policies and failure handling as seed 004 writes them.

The decision and the delays are `rules.attempts`, the same that every run follows. In a run the
workflow decides; `FailureHandler` is then told of each failed attempt once, by the process that
follows the run, and its own decision is for those who drive agents themselves.
"""

import asyncio
import inspect
import logging
import random
import weakref
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from typing import Any

from client.engine.agents import Agent, AgentResult
from contracts.retry import RetryRule, RetryStrategy
from contracts.teams import AgentStatus
from rules import attempts, graph

log = logging.getLogger("callboard.engine")

OnFailure = Callable[[Agent, AgentResult], Any]

_CALLBACKS: "weakref.WeakSet[asyncio.Task[Any]]" = weakref.WeakSet()
"""The tasks in which a caller's own callbacks run, which may not wait for the run's end."""


def in_callback() -> bool:
    """Whether the current task is one of a callback."""
    return asyncio.current_task() in _CALLBACKS


def mark_callback() -> None:
    """Note that the current task is a callback's."""
    task = asyncio.current_task()
    if task is not None:
        _CALLBACKS.add(task)


@dataclass
class RetryPolicy:
    """Retry policy configuration, delays in seconds. Raises ValueError naming the field."""

    max_retries: int = 3
    strategy: RetryStrategy = RetryStrategy.EXPONENTIAL_BACKOFF
    base_delay: float = 1.0
    max_delay: float = 60.0
    exponential_base: float = 2.0
    jitter: bool = True

    def __post_init__(self) -> None:
        self.rule()

    def rule(self) -> RetryRule:
        """Return the policy as a run carries it. Raises ValueError."""
        return RetryRule(
            max_retries=self.max_retries,
            strategy=self.strategy,
            base_delay=self.base_delay,
            max_delay=self.max_delay,
            exponential_base=self.exponential_base,
            jitter=self.jitter,
        )

    def get_delay(self, attempt: int) -> float:
        """Return the seconds to wait after the `attempt`-th failure, counted from 1."""
        return attempts.delay(self.rule(), attempt, random.random())


class Verdict(int):
    """Whether to try again: true or false, and awaitable.

    Awaited, it comes when an asynchronous `on_failure` has ended.
    """

    _told: "asyncio.Future[None] | None" = None

    @classmethod
    def of(cls, again: bool, told: "asyncio.Future[None] | None") -> "Verdict":
        """Make a verdict; `told` is the callback that still runs, if any."""
        verdict = cls(again)
        verdict._told = told
        return verdict

    def __await__(self) -> Generator[Any, None, bool]:
        if self._told is not None:
            yield from asyncio.wait({self._told}).__await__()
        return bool(self)


class FailureHandler:
    """Failure handling and retry logic.

    `on_failure(agent, result)` may be a function or a coroutine function; what it raises is
    logged and changes nothing.
    """

    def __init__(
        self, default_policy: RetryPolicy | None = None, on_failure: OnFailure | None = None
    ) -> None:
        self.default_policy = default_policy or RetryPolicy()
        self.on_failure = on_failure
        self._failures = 0
        self._telling: set[asyncio.Future[None]] = set()

    def handle_failure(
        self, agent: Agent, result: AgentResult, policy: RetryPolicy | None = None
    ) -> Verdict:
        """Tell `on_failure`, and return whether the agent should be tried again.

        It should, where the failure may pass and `result.retry_count` is below the policy's and
        the agent's max_retries. The answer is true or false, and may be awaited.
        """
        policy = policy or self.default_policy
        told = self._tell(agent, result)
        left = result.retry_count < min(policy.max_retries, agent.max_retries)
        return Verdict.of(result.is_retriable() and left, told)

    async def note_failure(self, agent: Agent, result: AgentResult) -> None:
        """Tell `on_failure` of a failure that is decided elsewhere, and wait until it has heard."""
        told = self._tell(agent, result)
        if told is not None:
            await asyncio.wait({told})  # what it ends with is its own matter, cancelled or not

    def _tell(self, agent: Agent, result: AgentResult) -> "asyncio.Future[None] | None":
        self._failures += 1
        if self.on_failure is None:
            return None
        try:
            answer = self.on_failure(agent, result)
        except Exception:
            log.exception("on_failure raised for agent %s", agent.name)
            return None
        if not inspect.isawaitable(answer):
            return None
        return self._finish(agent, answer)

    def _finish(self, agent: Agent, answer: Any) -> "asyncio.Future[None] | None":
        """Run an asynchronous callback to its end: here and now where no loop runs."""

        async def told() -> None:
            mark_callback()
            try:
                await answer
            except Exception:
                log.exception("on_failure raised for agent %s", agent.name)

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(told())
            return None
        task = loop.create_task(told())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        return task

    def should_fail_workflow(
        self,
        failed_agents: Collection[Agent],
        total_agents: int,
        allow_partial: bool = True,
        *,
        allow_partial_completion: bool | None = None,
    ) -> bool:
        """Tell whether a workflow with these failures has failed.

        It has, where partial completion is not allowed, one of priority 8 or more failed, or more
        than half did.
        """
        if allow_partial_completion is not None:
            allow_partial = allow_partial_completion
        results = [(AgentStatus.FAILED, agent.priority, False) for agent in failed_agents]
        others = max(0, total_agents - len(results))
        results += [(AgentStatus.COMPLETED, 1, False)] * others
        status = graph.run_status(results, allow_partial, cancelled=False)
        return status.value == "failed"

    def get_statistics(self) -> dict[str, Any]:
        """Return how many failures were seen."""
        return {"total_failures": self._failures}
