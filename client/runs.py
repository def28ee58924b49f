"""Runs, as a Python caller holds them: start one, find one, ask it, stop it.

What has ended is read from its artifact, so `status`, `cost` and `results` need no worker then
and outlive the server's memory; what is going on is asked of its workflow.
"""

import contextlib
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from client.attaching import with_stored_files
from client.commanding import RunCommands
from client.connection import NoServer, ServerUnreachable
from client.searchability import has_search_attributes
from client.slices import with_slices
from contracts import search
from contracts.artifacts import ArtifactRef, Value
from contracts.base import Json
from contracts.failures import RUN_FAILED
from contracts.plans import Plan, PlanView
from contracts.runs import (
    RUN_WORKFLOW,
    WORKFLOW_QUEUE,
    AttemptRecord,
    RunCost,
    RunRecord,
    RunRequest,
    RunResult,
    RunStatus,
    StepResult,
    StepStatus,
    step_of,
)
from contracts.spools import SpoolRecord
from contracts.teams import AgentStatus, WorkflowStatus
from rules.billing import recorded_cost
from stores.artifacts import ArtifactStore
from stores.exceptions import ArtifactLost
from stores.spooling import Spools
from stores.values import load_value
from workflows.run import RunWorkflow

T = TypeVar("T")

ASK_LIMIT = timedelta(seconds=5)
"""For a question to a worker: longer only when there is none."""

_ENDED = {
    WorkflowExecutionStatus.CANCELED: WorkflowStatus.CANCELLED,
    WorkflowExecutionStatus.TERMINATED: WorkflowStatus.CANCELLED,
    WorkflowExecutionStatus.TIMED_OUT: WorkflowStatus.FAILED,
    WorkflowExecutionStatus.FAILED: WorkflowStatus.FAILED,
}


class UnknownRun(Exception):
    """No run of this id, neither on the server nor in the store."""


class NoWorker(Exception):
    """The run goes on, but no worker answers for it; the text says how to start one."""


class Runs:
    """All runs of one server and store. Without a client, those that have ended can be read."""

    def __init__(self, client: Client | None, store: ArtifactStore, spools: Spools) -> None:
        self._client = client
        self._searchable = False
        self.store = store
        self.spools = spools

    @property
    def client(self) -> Client:
        """The server's client. Raises NoServer."""
        if self._client is None:
            raise NoServer
        return self._client

    @property
    def connected(self) -> bool:
        """Whether there is a server to ask."""
        return self._client is not None

    async def start(
        self,
        plan: Plan,
        inputs: Mapping[str, Value],
        run_id: str | None = None,
        *,
        queue: str = WORKFLOW_QUEUE,
        lost_after: timedelta | None = None,
    ) -> "Run":
        """Start a run of a resolved team; the same `run_id` twice is the same run.

        `queue` is polled by the workers that shall work on it. Where nobody else can, the server
        closes a run that is still open `lost_after` its start.
        """
        team = plan.team
        run_id = run_id or new_run_id(team.name)
        searchable = await self.searchable()
        request = RunRequest(
            run_id=run_id,
            team=team.name,
            plan=await self._store_plan(plan),
            inputs=dict(inputs),
            searchable=searchable,
        )
        with contextlib.suppress(WorkflowAlreadyStartedError):
            await self.client.start_workflow(
                RUN_WORKFLOW,
                request,
                id=run_id,
                task_queue=queue,
                execution_timeout=lost_after,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=_summary(plan),
                static_details=_details(plan),
                search_attributes=_attributes(plan) if searchable else None,
            )
        return self.get(run_id)

    async def searchable(self) -> bool:
        """Return whether the server knows our search attributes. Raises NoServer."""
        # They are never taken away again: once seen, they are there.
        self._searchable = self._searchable or await has_search_attributes(self.client)
        return self._searchable

    async def _store_plan(self, plan: Plan) -> ArtifactRef:
        """Store a plan, those of its teams first."""
        children = {name: await self._store_plan(child) for name, child in plan.children.items()}
        update = {
            "children": {},
            "child_plans": {**plan.child_plans, **children},
            "team": await with_stored_files(plan.team, self.store),
        }
        return await self.store.put_json(plan.model_copy(update=update))

    def get(self, run_id: str) -> "Run":
        """Return the run of an id, which need not exist."""
        return Run(self, run_id)

    async def latest(self, limit: int = 20, where: str = "") -> list[RunStatus]:
        """Return the most recent runs, newest first, without their steps.

        `where` narrows the search, in the server's query language. Raises NoServer.
        """
        found = []
        query = f"WorkflowType = '{RUN_WORKFLOW}'" + (f" AND {where}" if where else "")
        async for execution in self.client.list_workflows(query, limit=limit):
            attributes = execution.typed_search_attributes
            status = attributes.get(SearchAttributeKey.for_keyword(search.STATUS))
            ended = _ENDED.get(execution.status) if execution.status else None
            found.append(
                RunStatus(
                    run_id=execution.id,
                    team=attributes.get(SearchAttributeKey.for_keyword(search.TEAM)) or "",
                    status=ended or WorkflowStatus(status or "running"),
                    cost=_decimal(attributes.get(SearchAttributeKey.for_float(search.COST))),
                    budget=_decimal(None),
                    tokens=attributes.get(SearchAttributeKey.for_int(search.TOKENS)) or 0,
                    started_at=execution.start_time,
                    completed_at=execution.close_time,
                )
            )
        return found


class Run(RunCommands):
    """One run."""

    def __init__(self, runs: Runs, run_id: str) -> None:
        self._runs = runs
        self.run_id = run_id

    @property
    def runs(self) -> Runs:
        """Where it was found: the server and the store."""
        return self._runs

    @property
    def handle(self) -> WorkflowHandle[RunWorkflow, RunResult]:
        """The Temporal handle behind it."""
        return self._runs.client.get_workflow_handle_for(RunWorkflow.run, self.run_id)

    async def record(self) -> RunRecord | None:
        """Return the run artifact, or None while the run goes on or was lost."""
        with self._needing():
            ref = await self._runs.store.lookup(f"runs/{self.run_id}")
            return await self._runs.store.get_model(ref, RunRecord) if ref else None

    @contextlib.contextmanager
    def _needing(self) -> Iterator[None]:
        """Let errors about artifacts that the store has lost name this run."""
        try:
            yield
        except ArtifactLost as error:
            error.needed_by(f"run {self.run_id}")
            raise

    async def status(self) -> RunStatus:
        """Return every step's state. Raises UnknownRun or NoWorker."""
        record = await self.record()
        if record is not None:
            return await self._recorded_status(record)
        return await self.current_status()

    async def current_status(self) -> RunStatus:
        """Return every step's state as its workflow tells it.

        Raises UnknownRun, NoWorker or ServerUnreachable.
        """
        return await self._ask(RunWorkflow.status)

    async def cost(self) -> RunCost:
        """Return the ledger. Raises UnknownRun or NoWorker."""
        record = await self.record()
        cost = await self._ask(RunWorkflow.cost) if record is None else recorded_cost(record)
        runs = self._runs
        return await with_slices(cost, runs.store, runs.client if runs.connected else None)

    async def results(self) -> tuple[StepResult, ...]:
        """Return the results of all steps so far. Raises UnknownRun or NoWorker."""
        record = await self.record()
        if record is None:
            return await self._ask(RunWorkflow.result)
        return record.results

    async def plan(self) -> Plan:
        """Return the resolved team that the run was started with."""
        record = await self.record()
        ref = record.plan if record else (await self._view()).plan
        with self._needing():
            return await self._runs.store.get_model(ref, Plan)

    async def ended(self) -> bool:
        """Tell whether the run has ended, which needs no worker. Raises UnknownRun, RPCError."""
        try:
            status = (await self.handle.describe(rpc_timeout=ASK_LIMIT)).status
        except RPCError as error:
            raise self._unknown(error) from None
        return status is not WorkflowExecutionStatus.RUNNING

    async def _view(self) -> PlanView:
        return await self._ask(RunWorkflow.plan)

    async def wait(self) -> RunResult:
        """Wait for the end and return the result, whatever it is. Raises UnknownRun.

        Without a server, a run that has ended is read from its artifact.
        """
        record = None if self._runs.connected else await self.record()
        if record is not None:
            return self.recorded_result(record)
        try:
            return await self.handle.result()
        except WorkflowFailureError as error:
            return await self._failed(error)
        except RPCError as error:
            raise self._unknown(error) from None

    async def _failed(self, error: WorkflowFailureError) -> RunResult:
        cause = error.cause
        if isinstance(cause, ApplicationError) and cause.type == RUN_FAILED and cause.details:
            return RunResult.model_validate(cause.details[0])
        record = await self.record()
        if record is not None:
            return self.recorded_result(record)
        ended = (await self.handle.describe()).status
        status = _ENDED.get(ended, WorkflowStatus.FAILED) if ended else WorkflowStatus.FAILED
        return RunResult(run_id=self.run_id, team="", status=status, error=str(cause or error))

    def recorded_result(self, record: RunRecord) -> RunResult:
        """Return the result that a run's artifact holds."""
        return RunResult(
            run_id=self.run_id,
            team=record.team,
            status=record.status,
            outputs=record.outputs,
            cost=record.cost,
            tokens=record.tokens,
            error=record.error,
        )

    async def outputs(self, result: RunResult) -> dict[str, Json]:
        """Return the outputs themselves, all of them, loaded from the store."""
        record = await self.record()
        outputs = record.outputs if record else result.outputs
        with self._needing():
            return {name: await load_value(self._runs.store, v) for name, v in outputs.items()}

    async def cancel(self) -> None:
        """Ask the run to end: calls in flight are stopped and settled. Raises UnknownRun."""
        try:
            await self.handle.cancel()
        except RPCError as error:
            raise self._unknown(error) from None

    def follow(self, from_offset: int = 0) -> AsyncGenerator[tuple[SpoolRecord, int], None]:
        """Yield the run's stream from an offset on, for ever: close it when the run ends.

        Raises StoreUnavailable where the stream cannot be read.
        """
        return self._runs.spools.follow(self.run_id, from_offset)

    async def _ask(self, query: Callable[[RunWorkflow], T]) -> T:
        try:
            return await self.handle.query(query, rpc_timeout=ASK_LIMIT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise self._unknown(error) from None
            if error.status is RPCStatusCode.UNAVAILABLE:
                raise ServerUnreachable(f"the Temporal server is away: {error.message}") from None
            raise NoWorker(
                f"run {self.run_id} goes on, but no worker answers: start one with "
                "`python starter.py dev` or `python worker.py`"
            ) from None
        except WorkflowQueryFailedError as error:
            raise NoWorker(f"run {self.run_id} could not be asked: {error}") from None

    def _unknown(self, error: RPCError) -> Exception:
        if error.status is RPCStatusCode.NOT_FOUND:
            return UnknownRun(f"no run {self.run_id} on this server or in this store")
        return error

    async def _recorded_status(self, record: RunRecord) -> RunStatus:
        with self._needing():
            plan = await self._runs.store.get_model(record.plan, Plan)
        kinds = {step.name: step.kind for step in plan.team.agents}
        return RunStatus(
            run_id=self.run_id,
            team=record.team,
            status=record.status,
            steps=tuple(
                _step_status(result, kinds.get(result.agent_id, "model"), record.attempts)
                for result in record.results
            ),
            cost=record.cost,
            budget=record.budget,
            tokens=record.tokens,
            started_at=record.started_at,
            completed_at=record.completed_at,
            error=record.error,
        )


def _step_status(result: StepResult, kind: str, attempts: Sequence[AttemptRecord]) -> StepStatus:
    own = [attempt for attempt in attempts if step_of(attempt.step) == result.agent_id]
    last = own[-1] if own else None
    reason = result.metadata.get("reason")
    return StepStatus(
        name=result.agent_id,
        status=AgentStatus(result.status),
        kind=kind,
        provider=last.provider if last else None,
        model=last.model if last else None,
        attempt=last.number if last else 0,
        tokens=result.tokens_used,
        cost=result.cost,
        started_at=result.started_at,
        completed_at=result.completed_at,
        note=result.error or (reason if isinstance(reason, str) else None),
    )


def new_run_id(team: str) -> str:
    """Return a fresh run id: the team's name, the time (UTC) and four random characters."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", team).strip("-")[:80] or "run"
    return f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _summary(plan: Plan) -> str:
    team = plan.team
    return f"{team.name}: {len(team.agents)} agents, at most ${team.cost_budget:.2f}"


def _details(plan: Plan) -> str:
    lines = [plan.team.description or plan.team.name, ""]
    lines += [f"- {note}" for note in plan.notes[:20]]
    return "\n".join(lines)


def _attributes(plan: Plan) -> TypedSearchAttributes:
    personas = sorted(plan.personas)[:20]
    return TypedSearchAttributes(
        [
            SearchAttributePair(SearchAttributeKey.for_keyword(search.TEAM), plan.team.name[:200]),
            SearchAttributePair(
                SearchAttributeKey.for_keyword(search.STATUS), WorkflowStatus.RUNNING.value
            ),
            SearchAttributePair(SearchAttributeKey.for_keyword_list(search.PERSONAS), personas),
            SearchAttributePair(SearchAttributeKey.for_float(search.COST), 0.0),
            SearchAttributePair(SearchAttributeKey.for_int(search.TOKENS), 0),
            SearchAttributePair(SearchAttributeKey.for_int(search.BUDGET_USED), 0),
        ]
    )


def _decimal(value: float | None) -> Decimal:
    return Decimal(str(value or 0))
