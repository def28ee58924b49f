"""What a run waits for a person to do, and the command that does it."""

import shlex
from dataclasses import dataclass

from client.cli.invocation import pasteable
from contracts.runs import Question, RunStatus, outermost

MOST_QUESTIONS = 5
"""That are shown at once, the first of a run that asks more."""

PAUSED, RESUMED = "paused", "; resume it"
"""How a run begins and ends what it says of a pause."""


@dataclass(frozen=True)
class Waiting:
    """`what` the run waits for; `how` is a command that can be pasted."""

    what: str
    how: str

    def __str__(self) -> str:
        return f"{self.what}\ngo on with: {self.how}"

    @classmethod
    def until(cls, what: str, command: str) -> "Waiting":
        """Return what waits until somebody gives this command of starter.py."""
        return cls(what, pasteable(f"python starter.py {command}"))


def waiting(status: RunStatus) -> tuple[Waiting, ...]:
    """Return what the run waits for; nothing while it goes on by itself."""
    found = [_answered(status.run_id, question) for question in status.questions[:MOST_QUESTIONS]]
    why = status.paused_for or ""
    if any(why.startswith(f"{question.step} asks: ") for question in status.questions):
        why = ""
    if why.endswith(RESUMED):
        what = why.removesuffix(RESUMED)
        inner = what.partition(PAUSED)[0]  # "team/" of a run within
        found.append(Waiting.until(what, f"resume {status.run_id}/{inner}".rstrip("/")))
    elif why:
        raising = f"budget {outermost(status.run_id)} --raise DOLLARS"
        found.append(Waiting.until(f"paused: {why}", raising))
    return tuple(found)


def _answered(run: str, question: Question) -> Waiting:
    choices = "|".join(map(shlex.quote, question.choices))
    if any(choice.startswith("-") for choice in question.choices):
        choices = f"-- {choices}"  # else it would be taken for an option
    what = f"{question.step} asks: {' '.join(question.ask.split())}"
    return Waiting.until(what, f"approve {run} {question.step} {choices}")
