"""Queries to a conversation: what keeps them from being answered, in our own words."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from client.chat_values import UnknownChat
from client.connection import ServerUnreachable
from client.runs import NoWorker

T = TypeVar("T")


async def asked(chat_id: str, query: Callable[[], Awaitable[T]]) -> T:
    """Return the answer to a query. Raises UnknownChat, NoWorker, ServerUnreachable."""
    try:
        return await query()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise UnknownChat(f"there is no conversation {chat_id}") from None
        if error.status is RPCStatusCode.UNAVAILABLE:
            raise ServerUnreachable(f"the Temporal server is away: {error.message}") from None
        raise NoWorker(f"conversation {chat_id}: no worker answers") from None
    except WorkflowQueryFailedError as error:
        raise NoWorker(f"conversation {chat_id} could not be asked: {error}") from None
