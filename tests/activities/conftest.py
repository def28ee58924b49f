"""For the tests of tools: a bench with the tools that a test names."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.toolbench import Bench, Make, function


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Bench] = []

    def _make(name: str = "count", *more: dict[str, Any], **settings: Any) -> Bench:
        env = settings.pop("env", {})
        tools = [function(name, tmp_path, **settings), *more]
        made.append(Bench(tmp_path, tools, env))
        return made[-1]

    yield _make
    for bench in made:
        await bench.work.aclose()
