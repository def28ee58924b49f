"""The orchestration engine of seed 004: a face over durable runs, for a caller's own client.

A workflow is translated to a plan, run like any other team, and followed; its agents and totals
are written as the run tells them. The server and the worker are started with the first execution
(`client.engine.serving`) and stopped by `shutdown`, or at the latest with the event loop.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from types import TracebackType
from typing import Any

from pydantic import ValidationError
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from client.absence import ServerUnreachable
from client.engine import monitoring
from client.engine.agents import Agent
from client.engine.configuring import EngineConfig
from client.engine.costs import CostTracker
from client.engine.failures import FailureHandler, in_callback
from client.engine.following import Follower, Observers
from client.engine.limiting import RateLimiter
from client.engine.monitoring import Monitor
from client.engine.place import Serving
from client.engine.serving import Host
from client.engine.translating import Asked, Translation, translate
from client.engine.waiting import BudgetWaits, OnBudgetWait, budget_of
from client.engine.workflows import Workflow
from client.runs import Run, Runs, new_run_id
from contracts.queues import OWN_CLIENT, provider_queue
from contracts.teams import WorkflowStatus
from contracts.updates import BudgetRaise
from providers.spi import LLMClient
from stores.values import store_value

OPEN_CALLS = 100
"""Calls at once where no limit of requests is set."""

LOST_AFTER = timedelta(hours=1)
"""Beyond a workflow's own timeout: by then a run whose process is gone is closed by the server."""


class OrchestrationEngine:
    """Main orchestration engine.

    `llm_client` implements `complete` (seed 004), `chat` (seed 000) or `stream`; it stays the
    caller's to close. `failure_handler` is told of every failed attempt, `on_budget_wait(workflow,
    why)` of every wait for money: see `client.engine.waiting`. `serving` replaces how runs are
    worked on, for tests. Belongs to one event loop. Also an asynchronous context
    manager, which shuts down at its end.
    """

    def __init__(
        self,
        llm_client: LLMClient,
        config: EngineConfig | None = None,
        *,
        failure_handler: FailureHandler | None = None,
        on_budget_wait: OnBudgetWait | None = None,
        serving: Serving | None = None,
    ) -> None:
        if not isinstance(llm_client, LLMClient):
            raise TypeError(
                f"llm_client must be a providers.spi.LLMClient, not {type(llm_client).__name__}"
            )
        if not isinstance(config, EngineConfig | None):
            raise TypeError(f"config must be an EngineConfig, not {type(config).__name__}")
        if not isinstance(failure_handler, FailureHandler | None):
            kind = type(failure_handler).__name__
            raise TypeError(f"failure_handler must be a FailureHandler, not {kind}")
        if on_budget_wait is not None and not callable(on_budget_wait):
            raise TypeError(
                f"on_budget_wait must be a function, not {type(on_budget_wait).__name__}"
            )
        self.llm_client = llm_client
        self.config = config or EngineConfig()
        self.rate_limiter = RateLimiter(self.config.limits_for(llm_client))
        self.cost_tracker = CostTracker(self.config.cost_config)
        self.monitor = Monitor(self.config.monitor_config)
        self.failure_handler = failure_handler or FailureHandler(self.config.default_retry_policy)
        self.on_budget_wait = on_budget_wait
        self._name = f"{OWN_CLIENT}{uuid.uuid4()}"
        open_calls = self.rate_limiter.config.concurrent_requests or OPEN_CALLS
        self._host = Host(self._name, llm_client, self.rate_limiter, open_calls, serving)
        self._turns = asyncio.Semaphore(self.config.max_concurrent_workflows)
        self._workflows: dict[str, Workflow] = {}
        self._executions: dict[str, int] = {}
        self._running: dict[str, asyncio.Future[None]] = {}
        self._runs: dict[str, Run] = {}
        self._lost: dict[str, Follower] = {}
        self._publishing: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def ui_url(self) -> str | None:
        """The Temporal web UI of the embedded server, while it runs."""
        return self._host.ui_url

    async def register_workflow(self, workflow: Workflow) -> str:
        """Check a workflow and return its id; the same object keeps the id that it has.

        Raises ValueError for everything that can be known to be wrong: values, the graph,
        `llm_config`, placeholders; the text names agent and field.
        """
        self._refuse_if_closed()
        if not isinstance(workflow, Workflow):
            raise TypeError(f"workflow must be a Workflow, not {type(workflow).__name__}")
        self._translation(workflow)
        for workflow_id, known in self._workflows.items():
            if known is workflow:
                return workflow_id
        workflow_id = new_run_id(workflow.name)
        while workflow_id in self._workflows:
            workflow_id = new_run_id(workflow.name)
        workflow.workflow_id = workflow_id
        self._workflows[workflow_id] = workflow
        return workflow_id

    async def execute_workflow(self, workflow_id: str) -> Workflow:
        """Run a registered workflow to its end, and return it with its results.

        One that has run before runs again, from the start. What fails in the run is the
        workflow's status; cancelling the caller cancels the run. Raises ValueError for an unknown
        id or one that is being executed, RuntimeError after `shutdown`, and what keeps the server
        or the worker from starting. ServerUnreachable where the server went away for longer than a
        minute: executed again, the workflow's run is followed further, and not started twice.
        """
        self._refuse_if_closed()
        workflow = self._registered(workflow_id)
        if workflow_id in self._running:
            raise ValueError(f"workflow {workflow_id!r} is being executed")
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running[workflow_id] = ended
        try:
            workflow.reset()
            async with self._turns:
                await self._execute(workflow_id, workflow)
            return workflow
        finally:
            del self._running[workflow_id]
            ended.set_result(None)

    async def execute_multiple_workflows(self, workflow_ids: Sequence[str]) -> list[Workflow]:
        """Run several workflows at once; return them in the order of the ids.

        At most `max_concurrent_workflows` run at the same time. Raises ValueError before any is
        started where an id is unknown.
        """
        self._refuse_if_closed()
        for workflow_id in workflow_ids:
            self._registered(workflow_id)
        unique = list(dict.fromkeys(workflow_ids))
        ended = await asyncio.gather(
            *(self.execute_workflow(workflow_id) for workflow_id in unique), return_exceptions=True
        )
        for result in ended:
            if isinstance(result, BaseException):
                raise result
        return [self._workflows[workflow_id] for workflow_id in workflow_ids]

    async def raise_budget(self, workflow_id: str, dollars: float | Decimal) -> None:
        """Raise a running workflow's `cost_budget` to so many dollars in all; it goes on at once.

        Raises ValueError for a workflow that does not run, and for less than it has.
        """
        run, workflow = self._run_of(workflow_id), self._workflows[workflow_id]
        to = budget_of(dollars)
        try:
            view = await run.raise_budget(BudgetRaise(to=to, request_id=str(uuid.uuid4())))
        except ValidationError:
            raise ValueError("the budget must be more than 0 dollars") from None
        except WorkflowUpdateFailedError as error:
            said = getattr(error.cause, "message", error.cause)
            raise ValueError(f"workflow {workflow_id!r}: {said}") from None
        workflow.cost_budget, workflow.waits_for = float(view.budget), None
        self.cost_tracker.set_workflow_budget(run.run_id, workflow.cost_budget)
        self.monitor.record_event(
            monitoring.BUDGET_RAISED, workflow_id=run.run_id, data={"to": workflow.cost_budget}
        )

    async def give_up(self, workflow_id: str) -> None:
        """End a running workflow: what is in flight is stopped and settled, the rest cancelled.

        `execute_workflow` returns it then. Raises ValueError for one that does not run.
        """
        await self._run_of(workflow_id).cancel()

    def get_workflow_status(self, workflow_id: str) -> dict[str, Any] | None:
        """Return how far a workflow is, as JSON can hold it; None for an unknown id."""
        workflow = self._workflows.get(workflow_id)
        if workflow is None:
            return None
        state = workflow.to_dict()
        kept = ("workflow_id", "name", "status", "started_at", "completed_at", "error", "waits_for")
        return {
            **{name: state[name] for name in kept},
            **workflow.get_statistics(),
            "agents": {agent.name: _agent_state(agent) for agent in workflow.agents},
        }

    def get_system_status(self) -> dict[str, Any]:
        """Return what monitoring, rate limiting, cost tracking and failure handling have seen."""
        states = [workflow.status for workflow in self._workflows.values()]
        return {
            "monitoring": self.monitor.get_summary(),
            "rate_limiting": self.rate_limiter.get_statistics(),
            "cost_tracking": self.cost_tracker.get_statistics(),
            "failure_handling": self.failure_handler.get_statistics(),
            "workflows": {
                "registered": len(states),
                "executing": len(self._running),
                **{status.value: states.count(status) for status in WorkflowStatus},
            },
        }

    async def shutdown(self) -> None:
        """Wait for running workflows, refuse new ones, and stop worker and server.

        Safe to call twice. Raises RuntimeError within a callback of a workflow that runs, which
        it would wait for.
        """
        if self._running and in_callback():
            raise RuntimeError(
                "shutdown() in a callback would wait for itself: end the workflow with give_up()"
            )
        self._closed = True
        while self._running:
            await asyncio.wait(set(self._running.values()))
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)
            self._publishing = None
        for follower in self._lost.values():
            await follower.abandon()
        self._lost.clear()
        await self._host.stop()

    async def __aenter__(self) -> "OrchestrationEngine":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.shutdown()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("the engine was shut down: make another one")

    def _registered(self, workflow_id: str) -> Workflow:
        workflow = self._workflows.get(workflow_id)
        if workflow is None:
            raise ValueError(f"no workflow {workflow_id!r} is registered")
        return workflow

    def _run_of(self, workflow_id: str) -> Run:
        self._registered(workflow_id)
        run = self._runs.get(workflow_id)
        if run is None:
            raise ValueError(f"workflow {workflow_id!r} is not running")
        return run

    def _observers(self, workflow_id: str, run: Run) -> Observers:
        waits = BudgetWaits(
            self._workflows[workflow_id],
            run.run_id,
            self.monitor,
            self.on_budget_wait,
            partial(self.raise_budget, workflow_id),
            partial(self.give_up, workflow_id),
        )
        return Observers(self.monitor, self.cost_tracker, self.failure_handler, waits)

    def _translation(self, workflow: Workflow) -> Translation:
        client = self.llm_client
        asked = Asked(
            provider=client.provider,
            model=getattr(client, "model", None),
            queue=provider_queue(self._name),
            price=self.cost_tracker.price,
        )
        return translate(workflow, asked, self.config.default_retry_policy.rule())

    async def _execute(self, workflow_id: str, workflow: Workflow) -> None:
        """Start the run and follow it; what breaks on the way is the workflow's error too."""
        translation = self._translation(workflow)
        workflow.status, workflow.started_at = WorkflowStatus.RUNNING, datetime.now(UTC)
        try:
            runs = await self._host.runs()
            self._publish()
            follower = self._lost.pop(workflow_id, None)
            if follower is None:
                run = await self._start(runs, workflow_id, workflow, translation)
                told = self._observers(workflow_id, run), self._running.__len__
                follower = Follower(workflow, run, runs.store, translation.agents, *told)
            self._runs[workflow_id] = follower.run
            try:
                await follower.to_end()
            except (RPCError, ServerUnreachable):
                self._lost[workflow_id] = follower
                raise
        except BaseException as error:
            if workflow.status is WorkflowStatus.RUNNING:
                cancelled = isinstance(error, asyncio.CancelledError)
                workflow.status = WorkflowStatus.CANCELLED if cancelled else WorkflowStatus.FAILED
                workflow.error = str(error) or type(error).__name__
            raise
        finally:
            ended = self._runs.pop(workflow_id, None)
            if ended is not None:
                self.rate_limiter.give_back(ended.run_id)

    async def _start(
        self, runs: Runs, workflow_id: str, workflow: Workflow, translation: Translation
    ) -> Run:
        count = self._executions.get(workflow_id, 0) + 1
        run_id = workflow_id if count == 1 else f"{workflow_id}-{count}"
        costs = self.cost_tracker
        costs.set_workflow_budget(run_id, workflow.cost_budget)
        for agent in workflow.agents:
            costs.set_agent_budget(f"{run_id}/{agent.name}", agent.cost_limit)
        self.monitor.record_event(
            monitoring.WORKFLOW_STARTED, workflow_id=run_id, data={"name": workflow.name}
        )
        inputs = {
            name: await store_value(runs.store, value, want_inline=True)
            for name, value in translation.inputs.items()
        }
        run = await runs.start(
            translation.plan,
            inputs,
            run_id,
            queue=self._name,
            lost_after=timedelta(seconds=workflow.timeout) + LOST_AFTER,
        )
        self._executions[workflow_id] = count  # what failed to start may be there: it is joined
        return run

    def _publish(self) -> None:
        """Write the metrics to the log at their interval, from the first execution on."""
        if self._publishing is None:
            self._publishing = asyncio.create_task(self._publish_often())

    async def _publish_often(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(self.monitor.config.metrics_interval)
                self.monitor.publish()


def _agent_state(agent: Agent) -> dict[str, Any]:
    result = agent.result
    return {
        "status": agent.status.value,
        "retry_count": agent.retry_count,
        "cost": result.cost if result else 0.0,
        "tokens_used": result.tokens_used if result else 0,
        "error": result.error if result else None,
    }
