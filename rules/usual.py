"""What a team's earlier runs used, as a guess at the next one.

Means over the runs that gave an answer, by step: how often it was called, how long its answers
were, how long it took, what it cost. Steps that a run had skipped count as not called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from contracts.runs import AttemptRecord, RunRecord, step_of
from contracts.teams import WorkflowStatus

ANSWERED = (WorkflowStatus.COMPLETED, WorkflowStatus.PARTIALLY_COMPLETED)


@dataclass(frozen=True, slots=True)
class UsualStep:
    """Means per run: calls that were billed, seconds, dollars; `answer_tokens` is per call."""

    calls: Decimal
    answer_tokens: int
    seconds: float
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Usual:
    """Of so many runs, by step. No runs: nothing is known."""

    runs: int = 0
    steps: Mapping[str, UsualStep] = field(default_factory=dict)


def usual(records: Sequence[RunRecord]) -> Usual:
    """Return the means of those of these runs that gave an answer."""
    counted = [record for record in records if record.status in ANSWERED]
    names = dict.fromkeys(result.agent_id for record in counted for result in record.results)
    return Usual(len(counted), {name: _step(name, counted) for name in names})


def _step(name: str, records: Sequence[RunRecord]) -> UsualStep:
    billed = [a for r in records for a in r.attempts if step_of(a.step) == name and _billed(a)]
    paid = [a for a in billed if a.outcome == "completed" and not a.reused_from]
    answered = [(a.usage, a.calls) for a in paid if a.usage]
    tokens, times = sum(u.completion_tokens for u, _ in answered), sum(n for _, n in answered)
    seconds = [r.execution_time for record in records for r in record.results if r.agent_id == name]
    return UsualStep(
        calls=round(Decimal(sum(a.calls for a in billed)) / len(records), 3),
        answer_tokens=round(tokens / times) if times else 0,
        seconds=sum(seconds) / len(seconds) if seconds else 0.0,
        cost=round(sum((a.cost for a in billed), Decimal(0)) / len(records), 12),
    )


def _billed(attempt: AttemptRecord) -> bool:
    return attempt.state in ("settled", "uncertain") and attempt.cost > 0
