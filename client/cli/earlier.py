"""Earlier runs of a team, as a guess at its next one: the newest of those named after it."""

from client.recorded import run_record
from client.run_ids import new_run_id
from contracts.runs import RunRecord
from rules.usual import Usual, usual
from stores.artifacts import ArtifactStore
from stores.exceptions import StoreError

MOST_RUNS = 20
"""Looked at, the newest first. Runs whose id their user chose are not found by their team."""


async def earlier(store: ArtifactStore, team: str) -> Usual:
    """Return what the latest runs of a team used. A record that cannot be read is passed over."""
    prefix = new_run_id(team).rsplit("-", 3)[0]  # the rest is date, time and chance
    named = await store.names(f"runs/{prefix}-")
    own = sorted((name for name in named if name.count("/") == 1), reverse=True)
    found: list[RunRecord] = []
    for name in own:
        record = await _record(store, name)
        if record is not None and record.team == team:
            found.append(record)
        if len(found) == MOST_RUNS:
            break
    return usual(found)


async def _record(store: ArtifactStore, name: str) -> RunRecord | None:
    try:
        return await run_record(store, name.removeprefix("runs/"))
    except StoreError:
        return None
