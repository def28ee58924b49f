"""What a run waits for a person to do, and the command that does it."""

from dataclasses import dataclass

from contracts.runs import RunStatus


@dataclass(frozen=True)
class Waiting:
    """`what` the run waits for; `how` is a command."""

    what: str
    how: str


def waiting(status: RunStatus) -> Waiting | None:
    """Return what the run waits for, or None while it goes on by itself."""
    run = status.run_id
    if status.questions:
        question = status.questions[0]
        choices = "|".join(question.choices)
        what = f"{question.step} asks: {' '.join(question.ask.split())}"
        return Waiting(what, f"python starter.py approve {run} {question.step} {choices}")
    if status.paused_for and "cost_budget" in status.paused_for:
        how = f"python starter.py budget {run} --raise DOLLARS"
        return Waiting(f"paused: {status.paused_for}", how)
    if status.paused_for:
        return Waiting(f"paused: {status.paused_for}", f"python starter.py resume {run}")
    return None
