"""What the store keeps of unsafe tool calls is collected with the runs of its age."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from client.retention import Held, find_leftovers
from client.storage import Storage
from contracts.tools import TOOL_CALLS
from stores.artifacts import ArtifactStore
from stores.locations import DataDir
from stores.sealing import PLAIN
from stores.spools import FileSpools

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("days", "gone"), [(1, False), (40, True)])
async def test_old_notes_of_calls_go_and_young_ones_stay(
    tmp_path: Path, days: int, gone: bool
) -> None:
    store = ArtifactStore.open(str(tmp_path / "artifacts"))
    await store.note(f"{TOOL_CALLS}chat-1/k", await store.put_json({"began": 1}))
    then = time.time() - days * 86_400
    for path in (tmp_path / "artifacts").rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))
    storage = Storage(DataDir(tmp_path), store, FileSpools(tmp_path / "spools"), PLAIN)
    since = datetime.now(UTC) - timedelta(days=30)
    leftovers = await find_leftovers(storage, Held(), since, [])
    assert (len(leftovers.garbage.names), len(leftovers.garbage.artifacts)) == (gone, gone)
