"""One run, as a Python caller holds it: ask it, follow it, stop it.

What has ended is read from its artifact, so `status`, `cost` and `results` need no worker then
and outlive the server's memory; what is going on is asked of its workflow.
"""

from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from client import inner_runs
from client.absence import NoWorker, ServerUnreachable, UnknownRun
from client.commanding import RunCommands
from client.recorded import needed_by, recorded_result, recorded_status, run_record
from client.slices import with_slices
from contracts.base import Json
from contracts.failures import RUN_FAILED
from contracts.plans import Plan, PlanView
from contracts.runs import RunCost, RunRecord, RunResult, RunStatus, StepResult
from contracts.spools import SpoolRecord
from contracts.teams import WorkflowStatus
from contracts.updates import Accepted, Answer, PauseRequest
from rules.billing import recorded_cost
from stores.values import load_value
from workflows.run import RunWorkflow

if TYPE_CHECKING:
    from client.runs import Runs

T = TypeVar("T")

ASK_LIMIT = timedelta(seconds=5)
"""For a question to a worker: longer only when there is none."""

ENDED = {
    WorkflowExecutionStatus.CANCELED: WorkflowStatus.CANCELLED,
    WorkflowExecutionStatus.TERMINATED: WorkflowStatus.CANCELLED,
    WorkflowExecutionStatus.TIMED_OUT: WorkflowStatus.FAILED,
    WorkflowExecutionStatus.FAILED: WorkflowStatus.FAILED,
}
"""How the server says that a run has ended otherwise than by its own word."""


class Run(RunCommands):
    """One run."""

    def __init__(self, runs: "Runs", run_id: str) -> None:
        self._runs = runs
        self.run_id = run_id

    @property
    def runs(self) -> "Runs":
        """Where it was found: the server and the store."""
        return self._runs

    @property
    def handle(self) -> WorkflowHandle[RunWorkflow, RunResult]:
        """The Temporal handle behind it."""
        return self._runs.client.get_workflow_handle_for(RunWorkflow.run, self.run_id)

    async def record(self) -> RunRecord | None:
        """Return the run artifact, or None while the run goes on or was lost."""
        return await run_record(self._runs.store, self.run_id)

    async def status(self) -> RunStatus:
        """Return every step's state. Raises UnknownRun or NoWorker."""
        record = await self.record()
        if record is not None:
            return await recorded_status(self._runs.store, self.run_id, record)
        return await self.current_status()

    async def current_status(self) -> RunStatus:
        """Return every step's state as its workflow tells it, and what runs within it ask.

        Raises UnknownRun, NoWorker or ServerUnreachable.
        """
        return await inner_runs.with_inner(self, await self._ask(RunWorkflow.status))

    async def answer(self, answer: Answer) -> Accepted:
        """Answer a question of the run, or of one within it: "sub/step"."""
        name, _, rest = answer.step.partition(inner_runs.SEPARATOR)
        if rest:
            inner = inner_runs.under_way(self, await self._ask(RunWorkflow.status)).get(name)
            if inner is not None:
                return await inner.answer(answer.model_copy(update={"step": rest}))
        return await super().answer(answer)

    async def pause(self, request: PauseRequest) -> Accepted:
        """Start no further model call, here and in the runs within; or go on."""
        accepted = await super().pause(request)
        await inner_runs.pause_inner(self, await self._ask(RunWorkflow.status), request)
        return accepted

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
        with needed_by(self.run_id):
            return await self._runs.store.get_model(ref, Plan)

    async def ended(self) -> bool:
        """Tell whether the run has ended, which needs no worker. Raises UnknownRun, RPCError."""
        try:
            status = (await self.handle.describe(rpc_timeout=self._runs.ask_limit)).status
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
        status = ENDED.get(ended, WorkflowStatus.FAILED) if ended else WorkflowStatus.FAILED
        return RunResult(run_id=self.run_id, team="", status=status, error=str(cause or error))

    def recorded_result(self, record: RunRecord) -> RunResult:
        """Return the result that a run's artifact holds."""
        return recorded_result(self.run_id, record)

    async def outputs(self, result: RunResult) -> dict[str, Json]:
        """Return the outputs themselves, all of them, loaded from the store."""
        record = await self.record()
        outputs = record.outputs if record else result.outputs
        with needed_by(self.run_id):
            return {name: await load_value(self._runs.store, v) for name, v in outputs.items()}

    async def cancel(self) -> None:
        """Ask the run to end: calls in flight are stopped and settled. Raises UnknownRun."""
        await self._made_known()
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
            return await self.handle.query(query, rpc_timeout=self._runs.ask_limit)
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
