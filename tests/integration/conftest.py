"""What the engine's tests on a real server share."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.server import LocalServer

if TYPE_CHECKING:
    from client.engine import EngineConfig, LLMClient
    from tests.support.engines import MakeEngine


@pytest.fixture
async def make_engine(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> "AsyncIterator[MakeEngine]":
    """Make engines on the session's server; all are shut down at the end."""
    from client.engine import OrchestrationEngine
    from tests.support.engines import quick

    monkeypatch.setenv("CALLBOARD_TEMPORAL_ADDRESS", server.address)
    monkeypatch.setenv("CALLBOARD_HOME", str(tmp_path / "home"))
    made: list[OrchestrationEngine] = []

    def engine(
        client: "LLMClient", config: "EngineConfig | None" = None, **more: Any
    ) -> OrchestrationEngine:
        made.append(OrchestrationEngine(client, config or quick(), **more))
        return made[-1]

    yield engine
    for one in made:
        await one.shutdown()
