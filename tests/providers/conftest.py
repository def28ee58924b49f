"""For the tests of ClaudeAgentClient: a program as told, places that are seen, quiet logs."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.providers.fake_claude import KEY, PROMPT, FakeClaude, Make


@pytest.fixture
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files, so that a test sees what is left of them."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def discreet_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No log line, of ours or of the SDK's, holds a key or a prompt."""
    with caplog.at_level(logging.DEBUG):
        yield
    said = "\n".join(record.getMessage() for record in caplog.get_records("call"))
    assert KEY not in said
    assert PROMPT not in said


@pytest.fixture
def fake(tmp_path: Path) -> Make:
    """Makes the program that does as it is told."""

    def make(*acts: Any, **options: Any) -> FakeClaude:
        folder = tmp_path / "program"
        folder.mkdir()
        return FakeClaude(folder, list(acts) if acts else None, **options)

    return make
