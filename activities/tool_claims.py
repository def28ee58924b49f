"""An unsafe call is made once: who begins it leaves a note in the store that only one can leave.

Heartbeats tell the server that a worker was lost, not how far it came. The note does: where it is
not there nothing was begun, where it has an outcome the call was done and only its report was
lost, and where it has none nobody knows. It stands for one call, or for one word of a person that
allowed it to be made again.
"""

from datetime import UTC, datetime

from contracts.base import Frozen
from contracts.tools import TOOL_CALLS, ToolOutcome, ToolRequest
from stores.artifacts import ArtifactStore


class _Claim(Frozen):
    began_at: datetime
    outcome: ToolOutcome | None = None


class ToolClaims:
    """The notes of one store."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def begin(self, request: ToolRequest) -> bool:
        """Say whether the call is ours to make: False where somebody began it before."""
        ref = await self._store.put_json(_Claim(began_at=datetime.now(UTC)))
        return await self._store.note_new(_name(request), ref)

    async def outcome(self, request: ToolRequest) -> ToolOutcome | None:
        """Return what came of a call that was begun before, if that is known."""
        ref = await self._store.lookup(_name(request))
        if ref is None:
            return None
        return (await self._store.get_model(ref, _Claim)).outcome

    async def end(self, request: ToolRequest, outcome: ToolOutcome) -> None:
        """Note what came of it."""
        ref = await self._store.put_json(_Claim(began_at=outcome.started_at, outcome=outcome))
        await self._store.note(_name(request), ref)


def _name(request: ToolRequest) -> str:
    again = f"/{request.attempt}" if request.confirmed else ""
    return f"{TOOL_CALLS}{request.run_id}/{request.idempotency_key}{again}"
