"""The report at the end of a test run tells what did not run, and why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent.parent

UNIT = """
import pytest

def test_passes():
    pass

def test_needs_something():
    pytest.skip("no flux capacitor here")

@pytest.mark.slow
def test_takes_minutes():
    raise AssertionError("must not run")
"""
BROKEN = """
import pytest

pytest.skip("no Go", allow_module_level=True)
"""


def run(folder: Path, *arguments: str) -> str:
    """Run pytest on a tree of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.support.layers", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project with two layers."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    slow\n    live\n")
    for layer, text in {"unit": UNIT, "faults": BROKEN}.items():
        (tmp_path / "tests" / layer).mkdir(parents=True)
        (tmp_path / "tests" / layer / f"test_{layer}.py").write_text(text)
    return tmp_path


def test_skips_and_what_was_left_out_are_told_with_their_reasons(tree: Path) -> None:
    lines = [" ".join(line.split()) for line in run(tree, "-m", "not slow").splitlines()]
    assert "unit 1 passed, 1 skipped" in lines
    assert "1 skipped: no flux capacitor here" in lines
    assert "1 left out: slow (takes minutes: make test-slow)" in lines
    assert "faults 1 skipped" in lines
    assert "1 skipped: no Go" in lines


def test_a_failure_is_counted(tree: Path) -> None:
    lines = [" ".join(line.split()) for line in run(tree).splitlines()]
    assert "unit 1 passed, 1 failed, 1 skipped" in lines
