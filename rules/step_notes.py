"""What is said of a step beside its state: why it ended so, how far it is, what it left out. Pure.

The same for a run under way and for its record, so that nothing is lost with the end of a run.
"""

from contracts.runs import StepResult
from contracts.teams import AgentStatus


def note(result: StepResult, *, at_work: bool = False) -> str | None:
    """Return a line about a step, or None; of one that is `at_work` only how far it is.

    A step that is repeated is at work while it has the result of a round that has ended.
    """
    progress = _text(result, "progress")
    if at_work:
        return progress
    return (
        result.error
        or _text(result, "reason")
        or progress
        or left_out(result)
        or _text(result, "comment")
    )


def left_out(result: StepResult) -> str | None:
    """Return what a completed `for_each` did without: "185 of 600 items; 415 failed: why"."""
    failed, items = failed_items(result), item_count(result)
    if not failed or result.status is not AgentStatus.COMPLETED:
        return None
    first = _first_error(result)
    told = f"{items - failed:,} of {items:,} items; {failed:,} failed"
    return f"{told}: {first}" if first else told


def item_count(result: StepResult) -> int:
    """Return how many items the list of an ended `for_each` had; 0 for another step."""
    return _count(result, "items")


def failed_items(result: StepResult) -> int:
    """Return how many of them failed.

    Only the first are listed; steps that ended in early runs of 0.1.0 have no count beside them.
    """
    listed = result.metadata.get("failed_items")
    return _count(result, "failed") or (len(listed) if isinstance(listed, list) else 0)


def _first_error(result: StepResult) -> str:
    listed = result.metadata.get("failed_items")
    first = listed[0] if isinstance(listed, list) and listed else None
    error = first.get("error") if isinstance(first, dict) else None
    return " ".join(error.split()) if isinstance(error, str) else ""


def _count(result: StepResult, key: str) -> int:
    value = result.metadata.get(key)
    return value if isinstance(value, int) else 0


def _text(result: StepResult, key: str) -> str | None:
    value = result.metadata.get(key)
    return value if value and isinstance(value, str) else None
