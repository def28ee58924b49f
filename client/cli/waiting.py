"""What a run waits for a person to do, and the command that does it."""

import shlex
from dataclasses import dataclass

from client.cli.invocation import pasteable
from contracts.runs import RunStatus, outermost


@dataclass(frozen=True)
class Waiting:
    """`what` the run waits for; `how` is a command that can be pasted."""

    what: str
    how: str

    @classmethod
    def until(cls, what: str, command: str) -> "Waiting":
        """Return what waits until somebody gives this command of starter.py."""
        return cls(what, pasteable(f"python starter.py {command}"))


def waiting(status: RunStatus) -> Waiting | None:
    """Return what the run waits for, or None while it goes on by itself."""
    run = status.run_id
    if status.questions:
        question = status.questions[0]
        choices = "|".join(map(shlex.quote, question.choices))
        if any(choice.startswith("-") for choice in question.choices):
            choices = f"-- {choices}"  # else it would be taken for an option
        what = f"{question.step} asks: {' '.join(question.ask.split())}"
        return Waiting.until(what, f"approve {run} {question.step} {choices}")
    if status.paused_for and "cost_budget" in status.paused_for:
        return Waiting.until(
            f"paused: {status.paused_for}", f"budget {outermost(run)} --raise DOLLARS"
        )
    if status.paused_for:
        return Waiting.until(status.paused_for.removesuffix("; resume it"), f"resume {run}")
    return None
