"""What several unit tests begin with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from providers import registry
from providers.simulated import SimulatedClient
from stores.spools import FileSpools


@pytest.fixture
def spools(tmp_path: Path) -> FileSpools:
    """A folder of spools in which nothing stands yet."""
    return FileSpools(tmp_path / "spools")


@pytest.fixture
def write_policy(tmp_path: Path) -> Callable[..., Path]:
    """Writes the text of a persona policy; gives its path."""

    def write(text: str, name: str = "policy.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def claude_agent() -> Iterator[None]:
    """Claude's agent is a candidate, whether or not its package (an extra) and program are here."""
    registry.register("claude_agent", SimulatedClient)
    yield
    registry.unregister("claude_agent")
