"""What the tests of workflows have in common."""

from pathlib import Path

import pytest

from tests.support.harness import Open, harness
from tests.support.server import LocalServer


@pytest.fixture
def opened(server: LocalServer, tmp_path: Path) -> Open:
    """Open workers of two providers; every task is replayed from its history."""
    return lambda script: harness(server.address, tmp_path, script, ("scripted", "second"))
