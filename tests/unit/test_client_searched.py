"""Runs on a server that nobody searches are started without attributes, and nobody is asked."""

from pathlib import Path

import pytest

from client.absence import NoServer
from client.runs import Runs
from stores.artifacts import ArtifactStore
from stores.spools import FileSpools

pytestmark = pytest.mark.unit


def runs(folder: Path, *, searched: bool) -> Runs:
    store = ArtifactStore.open(str(folder / "artifacts"))
    return Runs(None, store, FileSpools(folder / "spools"), searched=searched)


async def test_a_server_that_is_not_searched_is_not_asked(tmp_path: Path) -> None:
    assert await runs(tmp_path, searched=False).searchable() is False


async def test_any_other_is(tmp_path: Path) -> None:
    with pytest.raises(NoServer):
        await runs(tmp_path, searched=True).searchable()
