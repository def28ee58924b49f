"""Commands to a run: each sent until the run takes or refuses it, and carried out once."""

import asyncio
import contextlib
import secrets
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import TypeVar

from temporalio.client import (
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.workflow import UpdateMethodMultiParam

from contracts.runs import RunResult
from contracts.updates import (
    RUN_NOT_READY,
    Accepted,
    Answer,
    BudgetRaise,
    BudgetView,
    Command,
    PauseRequest,
    PromptEdit,
    RetryRequest,
    SkipRequest,
)
from workflows.run import RunWorkflow

C = TypeVar("C", bound=Command)
A = TypeVar("A")

KNOWN_WITHIN = timedelta(seconds=5)
"""How long a worker may take to read a run's history before a command is sent all the same."""

NOT_READY_PAUSE_S = 0.2
"""Between two tries of a command to a run that is being loaded."""


class RunCommands(ABC):
    """What a run can be told. A refused command raises WorkflowUpdateFailedError with the reason.

    A command without a `request_id` is given one.
    """

    @property
    @abstractmethod
    def handle(self) -> WorkflowHandle[RunWorkflow, RunResult]:
        """The Temporal handle of the run."""

    async def raise_budget(self, raised: BudgetRaise) -> BudgetView:
        """Raise the run's budget."""
        return await self._command(RunWorkflow.raise_budget, raised)

    async def answer(self, answer: Answer) -> Accepted:
        """Answer a question of the run."""
        return await self._command(RunWorkflow.answer, answer)

    async def pause(self, request: PauseRequest) -> Accepted:
        """Start no further model call, or go on."""
        return await self._command(RunWorkflow.pause, request)

    async def skip(self, request: SkipRequest) -> Accepted:
        """Leave out an agent that has not started, and what needs it."""
        return await self._command(RunWorkflow.skip, request)

    async def retry(self, request: RetryRequest) -> Accepted:
        """Run a failed agent again, and what was skipped because of it."""
        return await self._command(RunWorkflow.retry, request)

    async def edit_prompt(self, edit: PromptEdit) -> Accepted:
        """Give an agent another prompt; one that has failed runs again with it."""
        return await self._command(RunWorkflow.edit_prompt, edit)

    async def _command(self, update: UpdateMethodMultiParam[[RunWorkflow, C], A], command: C) -> A:
        """Send a command until the run takes or refuses it."""
        await self._made_known()
        request_id = command.request_id or secrets.token_hex(8)
        command = command.model_copy(update={"request_id": request_id})
        while True:
            try:
                return await self.handle.execute_update(update, command)
            except WorkflowUpdateFailedError as error:
                cause = error.cause
                if not (isinstance(cause, ApplicationError) and cause.type == RUN_NOT_READY):
                    raise
            await asyncio.sleep(NOT_READY_PAUSE_S)

    async def _made_known(self) -> None:
        """Let a worker that does not know the run read its history, before it is told anything.

        Where a command brings the history along, the SDK's core joins the tasks at the end of it
        that gave no commands to the command's own: the workflow is told of the command before what
        had happened by then, and cannot be replayed later (temporalio/sdk-rust #1146, #1606).
        """
        with contextlib.suppress(RPCError, WorkflowQueryFailedError):
            await self.handle.query(RunWorkflow.status, rpc_timeout=KNOWN_WITHIN)
