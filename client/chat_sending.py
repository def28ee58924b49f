"""Sending to a conversation: again and again, with the same request id, until it is taken.

A lost connection, a worker that is being replaced or a history that is being continued neither
lose nor double what is said; only a refusal, or PATIENCE_S without anybody, ends it.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.workflow import UpdateMethodMultiParam

from client.chat_values import ChatBusy, ChatError, ChatOver, UnknownChat
from client.runs import ASK_LIMIT, NoWorker
from contracts.chats import CHAT_BUSY, CHAT_ENDED, CHAT_MOVING
from contracts.updates import Command
from workflows.chat import ChatWorkflow

T = TypeVar("T")
C = TypeVar("C", bound=Command)

PATIENCE_S = 60.0
"""How long a message is sent again and again, and an answer waited for without a sign of life."""

HANDLE_S = 0.1

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 1.0

_AGAIN = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.NOT_FOUND,
        # A task of the workflow has failed, and is tried again: its worker was too busy, or new.
        RPCStatusCode.FAILED_PRECONDITION,
    }
)


ChatHandle = WorkflowHandle[ChatWorkflow, Any]
"""The Temporal handle of a conversation."""


async def send(handle: ChatHandle, update: UpdateMethodMultiParam[[Any, C], T], command: C) -> T:
    """Send an update until the conversation takes it; return its answer.

    Raises ChatBusy, ChatOver, ChatError where it is refused, UnknownChat, NoWorker.
    """
    return await _until_taken(
        handle,
        lambda: handle.execute_update(
            update, command, id=command.request_id or None, rpc_timeout=ASK_LIMIT
        ),
    )


async def send_with_start(
    handle: ChatHandle,
    execute: Callable[..., Awaitable[T]],
    start: Callable[[], WithStartWorkflowOperation[ChatWorkflow, Any]],
    update: Any,
    command: Command,
) -> T:
    """Send an update as `send` does, and begin the conversation with it where there is none.

    `execute` is the client's `execute_update_with_start_workflow`, `start` makes a fresh operation
    for each try: one can be used once only.
    """

    async def once() -> T:
        operation = start()
        try:
            return await execute(
                update,
                command,
                start_workflow_operation=operation,
                id=command.request_id,
                rpc_timeout=ASK_LIMIT,
            )
        except Exception:
            # The operation has the error as well; untaken, asyncio would print it.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(HANDLE_S):
                    await operation.workflow_handle()
            raise

    return await _until_taken(handle, once)


def over(chat_id: str) -> ChatOver:
    """Return what is raised for a conversation that has ended."""
    return ChatOver(f"conversation {chat_id} has ended: begin another")


async def _until_taken(handle: ChatHandle, send: Callable[[], Awaitable[T]]) -> T:
    """Send until it was taken or refused: the request id makes it one, however often."""
    until, wait = time.monotonic() + PATIENCE_S, FIRST_PAUSE_S
    while True:
        try:
            return await send()
        except WorkflowUpdateFailedError as error:
            if (refusal := _refusal(error)) is not None:
                raise refusal from None
            last: Exception = error
        except WorkflowAlreadyStartedError:
            raise over(handle.id) from None
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            last = error
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and await _is_over(handle):
                raise over(handle.id) from None
            if error.status not in _AGAIN:
                raise ChatError(f"the server refuses: {error.message}") from None
            last = error
        if time.monotonic() > until:
            raise NoWorker(
                f"conversation {handle.id}: nobody takes the message "
                f"({type(last).__name__}); start a worker with `python starter.py dev`"
            ) from None
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_PAUSE_S)


async def _is_over(handle: ChatHandle) -> bool:
    """Whether it has ended. Raises UnknownChat where there is none."""
    try:
        status = (await handle.describe(rpc_timeout=ASK_LIMIT)).status
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise UnknownChat(f"there is no conversation {handle.id}") from None
        return False
    return status not in (
        WorkflowExecutionStatus.RUNNING,
        WorkflowExecutionStatus.CONTINUED_AS_NEW,
    )


def _refusal(error: WorkflowUpdateFailedError) -> ChatError | None:
    """Return what a refused update is to its sender; None where it is to be sent again."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        if cause.type == CHAT_MOVING:
            return None
        kind = {CHAT_BUSY: ChatBusy, CHAT_ENDED: ChatOver}.get(cause.type or "", ChatError)
        if cause.type == "AcceptedUpdateCompletedWorkflow":
            return None
        return kind(cause.message)
    return ChatError(str(cause or error))


def new_id() -> str:
    """Return a fresh request id."""
    return uuid.uuid4().hex
