"""The histories of a run or a conversation: one, and those before it that have gone on in it.

A history names the one that it goes on from, so the chain is read from the newest backwards and
needs no search. The server forgets old ones first: the chain ends where it has.
"""

from collections.abc import AsyncGenerator

from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from client.connection import ServerUnreachable


class NoHistory(Exception):
    """The server has no history of this id (any more)."""


async def histories(client: Client, workflow_id: str) -> AsyncGenerator[WorkflowHistory, None]:
    """Yield the histories of an id, newest first. Raises NoHistory, ServerUnreachable."""
    run_id: str | None = None
    while True:
        try:
            found = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                told = f"the Temporal server is away: {error.message}"
                raise ServerUnreachable(told) from None
            if run_id is None:
                told = f"the server has no history of {workflow_id}: {error.message}"
                raise NoHistory(told) from None
            return
        yield found
        run_id = goes_on_from(found)
        if run_id is None:
            return


def goes_on_from(history: WorkflowHistory) -> str | None:
    """Return the Temporal run id of the history before; None where it is the first."""
    if not history.events:
        return None
    began = history.events[0].workflow_execution_started_event_attributes
    return began.continued_execution_run_id or None
