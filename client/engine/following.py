"""A run as its workflow's agents live through it: state, costs, events, failures.

The process that follows a run asks for its state every now and then, and once more when it has
ended. Whatever it sees for the first time it tells, once: an agent that starts or ends and a
failed attempt to the monitor, a finished attempt's cost to the tracker, a failure to the failure
handler. What was over between two questions is told at the next one.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from temporalio.service import RPCError, RPCStatusCode

from client.absence import ServerUnreachable
from client.engine import monitoring
from client.engine.agents import Agent, AgentResult
from client.engine.costs import CostEntry, CostTracker
from client.engine.failures import FailureHandler
from client.engine.monitoring import Monitor
from client.engine.translating import agent_result, attempt_entry, output_of
from client.engine.waiting import BudgetWaits
from client.engine.workflows import Workflow
from client.runs import NoWorker, Run
from contracts.failures import FailureKind
from contracts.runs import AttemptRecord, RunResult, RunStatus, StepResult
from contracts.teams import AgentStatus, WorkflowStatus
from rules.attempts import THROTTLING
from rules.graph import FAILURES
from stores.artifacts import ArtifactStore
from stores.values import load_value

FIRST_LOOK_S = 0.2
USUAL_LOOK_S = 2.0
LONGEST_LOOK_S = 15.0
PATIENCE = 20
"""So many times as long as an answer takes is waited before the next question."""

LOOKS_PER_S = 4
"""Questions that all runs of an engine together ask: each costs as much time as a call."""

SETTLE_LIMIT_S = 5.0
"""For a run that was cancelled: its server may be gone as well."""

AWAY_LIMIT_S = 60.0
"""For a server that does not answer; one that is started again is back in less."""

LOADED_AT_ONCE = 50
"""Outputs that are read from the store at the same time."""

_WORKFLOW_EVENTS = {
    WorkflowStatus.COMPLETED: monitoring.WORKFLOW_COMPLETED,
    WorkflowStatus.PARTIALLY_COMPLETED: monitoring.WORKFLOW_PARTIALLY_COMPLETED,
    WorkflowStatus.CANCELLED: monitoring.WORKFLOW_CANCELLED,
}
_NOT_FAILED = frozenset(
    {"running", "completed", FailureKind.STOPPED, FailureKind.WORKER_STOPPING, None}
)


@dataclass(frozen=True)
class Observers:
    """Who is told."""

    monitor: Monitor
    costs: CostTracker
    failures: FailureHandler
    waits: BudgetWaits


class Follower:
    """Follows one run. `agents` are the agents' names by those of their steps.

    `crowd` tells how many runs are followed at the moment.
    """

    def __init__(
        self,
        workflow: Workflow,
        run: Run,
        store: ArtifactStore,
        agents: dict[str, str],
        observers: Observers,
        crowd: Callable[[], int],
    ) -> None:
        self.run = run
        self._workflow, self._store = workflow, store
        self._observers, self._crowd = observers, crowd
        by_name = {agent.name: agent for agent in workflow.agents}
        self._agents = {step: by_name[name] for step, name in agents.items()}
        self._started: set[str] = set()
        self._told: set[str] = set()
        self._seen: Counter[str] = Counter()

    async def to_end(self) -> None:
        """Follow the run to its end and write its results into the workflow.

        Cancelled, or where following fails, it cancels the run and still waits for its end,
        SETTLE_LIMIT_S at most: what is in flight is settled, and nothing goes on unseen. Raises
        ServerUnreachable where the server is away for longer than AWAY_LIMIT_S: the run may go on
        then, and can be followed again.
        """
        ending = asyncio.create_task(self._ended())
        try:
            await self._finish(await self._watch(ending))
        except (RPCError, ServerUnreachable):
            raise
        except BaseException:
            await self._stop(ending)
            raise
        finally:
            ending.cancel()
            await self._observers.waits.close()

    async def abandon(self) -> None:
        """Cancel a run that nobody will follow any more, if its server is there."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(SETTLE_LIMIT_S):
                await self.run.cancel()

    async def _stop(self, ending: "asyncio.Task[RunResult]") -> None:
        """Cancel the run and write what it left behind, as far as that still goes."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(SETTLE_LIMIT_S):
                await self.run.cancel()
                await self._finish(await ending)

    async def _ended(self) -> RunResult:
        """Wait for the run's end; again where the server was away, for AWAY_LIMIT_S at most."""
        gone_at: float | None = None
        while True:
            began = time.monotonic()
            try:
                return await self.run.wait()
            except RPCError as error:
                if error.status is not RPCStatusCode.UNAVAILABLE:
                    raise
                now = time.monotonic()
                if gone_at is None or now - began > AWAY_LIMIT_S:  # else it was there meanwhile
                    gone_at = now
                if now - gone_at >= AWAY_LIMIT_S:
                    raise ServerUnreachable(
                        f"the Temporal server is away: {error.message}; run {self.run.run_id} may "
                        "go on when it is back: execute the workflow again to follow it"
                    ) from None
            await asyncio.sleep(FIRST_LOOK_S)

    async def _watch(self, ending: "asyncio.Task[RunResult]") -> RunResult:
        """Ask for the state until the run has ended: often at first, and when that is cheap."""
        pause, took = FIRST_LOOK_S, 0.0
        while True:
            bearable = min(LONGEST_LOOK_S, max(PATIENCE * took, self._crowd() / LOOKS_PER_S))
            await asyncio.wait({ending}, timeout=max(pause, bearable))
            if ending.done():
                return ending.result()
            began = time.monotonic()
            with contextlib.suppress(NoWorker, ServerUnreachable):
                await self._look()
            took = time.monotonic() - began
            pause = min(USUAL_LOOK_S, pause * 1.5)

    async def _look(self) -> None:
        """Ask for the state and tell what is new; for the attempts only where there are more."""
        status = await self.run.current_status()
        if self._take_status(status):
            await self._take_attempts((await self.run.cost()).attempts)

    def _take_status(self, status: RunStatus) -> bool:
        """Take over the agents' states. Returns whether an attempt may have ended."""
        workflow = self._workflow
        workflow.started_at = status.started_at or workflow.started_at
        workflow.total_cost, workflow.total_tokens = float(status.cost), status.tokens
        self._observers.waits.see(status.paused_for)
        for step in status.steps:
            agent = self._agents[step.name]
            agent.status, agent.retry_count = step.status, max(0, step.attempt - 1)
            if step.started_at is not None:
                self._tell_started(agent)
        seen, self._seen = (
            self._seen,
            Counter(
                {step.name: step.attempt + (step.completed_at is not None) for step in status.steps}
            ),
        )
        return seen != self._seen

    def _tell_started(self, agent: Agent) -> None:
        if agent.name not in self._started:
            self._started.add(agent.name)
            self._event(monitoring.AGENT_STARTED, agent, {})

    async def _take_attempts(self, attempts: Iterable[AttemptRecord]) -> None:
        """Tell of the attempts that have ended, each once."""
        for attempt in attempts:
            if attempt.state == "reserved" or attempt.id in self._told:
                continue
            self._told.add(attempt.id)
            agent = self._agents[attempt.step]
            self._record_cost(agent, attempt)
            if attempt.outcome not in _NOT_FAILED:
                self._event(monitoring.ATTEMPT_FAILED, agent, _failure_data(attempt))
                failed = _failed_attempt(agent, attempt)
                await self._observers.failures.note_failure(agent, failed)

    def _record_cost(self, agent: Agent, attempt: AttemptRecord) -> None:
        if attempt.state == "released":
            return
        usage, costs = attempt.usage, self._observers.costs
        costs.record(
            CostEntry(
                agent_id=f"{self.run.run_id}/{agent.name}",
                agent_name=agent.name,
                workflow_id=self.run.run_id,
                model=attempt.model,
                input_tokens=usage.prompt_tokens if usage else 0,
                output_tokens=usage.completion_tokens if usage else 0,
                cost=attempt.cost,
                default_price=costs.price(attempt.model).is_default,
                at=attempt.ended_at,
                metadata={"attempt": attempt.number, "at_most": attempt.state == "uncertain"},
            )
        )

    async def _finish(self, result: RunResult) -> None:
        """Write what the run left behind, and tell what was not told yet."""
        record = await self.run.record()
        if record is None:
            results: Sequence[StepResult] = await self.run.results()
            attempts = (await self.run.cost()).attempts
            started, completed = self._workflow.started_at, None
        else:
            results, attempts = record.results, record.attempts
            started, completed = record.started_at, record.completed_at
        workflow = self._workflow
        workflow.total_cost, workflow.total_tokens = float(result.cost), result.tokens
        workflow.started_at, workflow.completed_at = started, completed
        workflow.error = result.error
        self._observers.waits.ended(result.status)
        await self._take_attempts(attempts)
        await self._take_results(results, attempts)
        workflow.status = result.status
        self._tell_ended()

    async def _take_results(
        self, results: Sequence[StepResult], attempts: Sequence[AttemptRecord]
    ) -> None:
        by_step: dict[str, list[AttemptRecord]] = {}
        for attempt in attempts:
            by_step.setdefault(attempt.step, []).append(attempt)
        for start in range(0, len(results), LOADED_AT_ONCE):
            part = results[start : start + LOADED_AT_ONCE]
            outputs = await asyncio.gather(*(self._output(result) for result in part))
            for result, output in zip(part, outputs, strict=True):
                await self._take_result(result, output, by_step.get(result.agent_id, []))

    async def _output(self, result: StepResult) -> dict[str, Any] | None:
        if result.output is None:
            return None
        return output_of(await load_value(self._store, result.output))

    async def _take_result(
        self, step: StepResult, output: dict[str, Any] | None, attempts: list[AttemptRecord]
    ) -> None:
        agent = self._agents[step.agent_id]
        result = agent_result(agent.name, step, output, attempts)
        agent.status, agent.result, agent.retry_count = step.status, result, step.retry_count
        if step.started_at is not None:
            self._tell_started(agent)
        data = {
            "cost": result.cost,
            "tokens": result.tokens_used,
            "execution_time": result.execution_time,
        }
        if step.status is AgentStatus.COMPLETED:
            self._event(monitoring.AGENT_COMPLETED, agent, data)
        elif step.status in FAILURES:
            self._event(monitoring.AGENT_FAILED, agent, {**data, "error": result.error})
            if not attempts or attempts[-1].outcome in _NOT_FAILED:  # it was never asked
                await self._observers.failures.note_failure(agent, result)
        else:
            self._event(monitoring.AGENT_CANCELLED, agent, {**data, "reason": result.error})

    def _tell_ended(self) -> None:
        workflow = self._workflow
        data: dict[str, Any] = {"cost": workflow.total_cost, "error": workflow.error}
        if workflow.started_at and workflow.completed_at:
            seconds = (workflow.completed_at - workflow.started_at).total_seconds()
            data["execution_time"] = seconds
        event = _WORKFLOW_EVENTS.get(workflow.status, monitoring.WORKFLOW_FAILED)
        self._observers.monitor.record_event(event, workflow_id=self.run.run_id, data=data)

    def _event(self, event: str, agent: Agent, data: dict[str, Any]) -> None:
        self._observers.monitor.record_event(event, agent.name, self.run.run_id, data)


def _failure_data(attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "kind": attempt.outcome,
        "error": attempt.error,
        "next": attempt.decision,
    }


def _failed_attempt(agent: Agent, attempt: AttemptRecord) -> AgentResult:
    """Return a failed attempt as the callback is shown it."""
    throttled = attempt.outcome in THROTTLING
    seconds = 0.0
    if attempt.started_at and attempt.ended_at:
        seconds = (attempt.ended_at - attempt.started_at).total_seconds()
    return AgentResult(
        agent_id=agent.name,
        status=AgentStatus.RATE_LIMITED if throttled else AgentStatus.FAILED,
        error=f"{attempt.outcome}: {attempt.error}",
        tokens_used=attempt.usage.total_tokens if attempt.usage else 0,
        cost=float(attempt.cost),
        execution_time=seconds,
        started_at=attempt.started_at,
        completed_at=attempt.ended_at,
        retry_count=attempt.number - 1,
        metadata={"attempt": attempt_entry(attempt)},
    )
