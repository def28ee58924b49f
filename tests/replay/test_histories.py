"""Every exported history replays on today's workflow code: determinism, branch by branch.

The files in `tests/histories/` were exported from real runs (`starter.py export-history`) and
are never edited. A change that breaks one goes behind `workflow.patched`.
"""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from worker import WORKFLOWS, workflow_runner

pytestmark = pytest.mark.unit

HISTORIES = sorted((Path(__file__).parent.parent / "histories").glob("*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_the_history_replays(path: Path) -> None:
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    replayer = Replayer(
        workflows=WORKFLOWS,
        data_converter=pydantic_data_converter,
        workflow_runner=workflow_runner(),
        debug_mode=True,  # commands are judged here; a busy machine's pace is not
    )
    await replayer.replay_workflow(history)


def test_there_are_histories() -> None:
    assert HISTORIES
