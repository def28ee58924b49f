"""What tests of executions are given."""

from pathlib import Path

import pytest


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    file = tmp_path / "paper.pdf"
    file.write_bytes(b"%PDF the paper")
    return file
