"""What is said of a step beside its state."""

import pytest

from contracts.base import Json
from contracts.runs import StepResult
from contracts.teams import AgentStatus
from rules import step_notes

pytestmark = pytest.mark.unit

DONE, FAILED = AgentStatus.COMPLETED, AgentStatus.FAILED


def result(status: AgentStatus, error: str | None = None, **metadata: Json) -> StepResult:
    return StepResult(agent_id="a", status=status, error=error, metadata=metadata)


def listed(count: int, error: str = "no such key") -> Json:
    return [{"index": number, "error": error} for number in range(count)]


@pytest.mark.parametrize(
    ("step", "note"),
    [
        (result(DONE), None),
        (result(DONE, items=3), None),
        (result(FAILED, "broken", reason="other", progress="1 of 3 items"), "broken"),
        (result(AgentStatus.CANCELLED, reason="skipped: false"), "skipped: false"),
        (result(AgentStatus.RUNNING, progress="1 of 3 items"), "1 of 3 items"),
        (
            result(DONE, items=1600, failed=415, failed_items=listed(50)),
            "1,185 of 1,600 items; 415 failed: no such key",
        ),
        (result(DONE, items=3, failed_items=listed(2)), "1 of 3 items; 2 failed: no such key"),
        (result(DONE, items=3, failed=1, failed_items=listed(1, "")), "2 of 3 items; 1 failed"),
    ],
)
def test_a_step_says_why_how_far_or_what_it_left_out(step: StepResult, note: str | None) -> None:
    assert step_notes.note(step) == note


def test_a_step_between_two_rounds_says_only_how_far_it_is() -> None:
    held = result(DONE, items=3, failed=1, failed_items=listed(1))
    assert step_notes.note(held, at_work=True) is None
    begun = held.model_copy(update={"metadata": {**held.metadata, "progress": "1 of 3 items"}})
    assert step_notes.note(begun, at_work=True) == "1 of 3 items"


def test_a_list_that_failed_as_a_whole_says_so_by_its_error_and_counts_all_the_same() -> None:
    step = result(FAILED, "2 of 3 items failed", items=3, failed=2, failed_items=listed(2))
    assert step_notes.left_out(step) is None
    assert (step_notes.item_count(step), step_notes.failed_items(step)) == (3, 2)
