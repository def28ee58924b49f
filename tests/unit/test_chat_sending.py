"""Sending to a conversation: what is sent again, with the same request id, and what is told."""

from typing import Any, cast

import pytest
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from client.chat_sending import send
from client.chat_values import ChatError
from contracts.chats import ClearRequest
from contracts.updates import Accepted
from workflows.chat import ChatWorkflow

pytestmark = pytest.mark.unit

TAKEN = Accepted(status="done")


class ScriptedHandle:
    """Answers an update with an error each, as long as there are some."""

    id = "chat-1"

    def __init__(self, *errors: RPCStatusCode) -> None:
        self._errors = list(errors)
        self.sent: list[str] = []

    async def execute_update(self, update: Any, command: Any, *, id: str, **_: Any) -> Accepted:
        self.sent.append(id)
        if self._errors:
            raise RPCError("it cannot be now", self._errors.pop(0), b"")
        return TAKEN


async def clear(handle: ScriptedHandle) -> Accepted:
    return await send(
        cast(WorkflowHandle[ChatWorkflow, Any], handle),
        ChatWorkflow.clear,
        ClearRequest(request_id="r1"),
    )


@pytest.mark.parametrize(
    "status", [RPCStatusCode.UNAVAILABLE, RPCStatusCode.ABORTED, RPCStatusCode.FAILED_PRECONDITION]
)
async def test_what_passes_is_sent_again_as_the_same_request(status: RPCStatusCode) -> None:
    """FAILED_PRECONDITION is how a server refuses while a task of the workflow has failed."""
    handle = ScriptedHandle(status, status)
    assert await clear(handle) is TAKEN
    assert handle.sent == ["r1"] * 3


async def test_what_does_not_pass_is_told_at_once() -> None:
    handle = ScriptedHandle(RPCStatusCode.PERMISSION_DENIED)
    with pytest.raises(ChatError, match="it cannot be now"):
        await clear(handle)
    assert handle.sent == ["r1"]
