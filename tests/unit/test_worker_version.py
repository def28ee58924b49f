"""What a worker says it is."""

import tomllib
from pathlib import Path

import pytest

from contracts.version import VERSION
from worker import BUILD_ID

pytestmark = pytest.mark.unit

PROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"


def test_the_version_is_the_projects() -> None:
    assert tomllib.loads(PROJECT.read_text())["project"]["version"] == VERSION
    assert VERSION in BUILD_ID
