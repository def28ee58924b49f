"""What a team's earlier runs used, as a guess at the next one.

Means over the runs that gave an answer, by step: how often it was called and for how many items,
how long its answers were, how long it took, what it cost. Steps that a run had skipped count as
not called. Means are those of the lists of then: `of_items` gives those of another number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from contracts.runs import AttemptRecord, RunRecord, step_of
from contracts.teams import WorkflowStatus

ANSWERED = (WorkflowStatus.COMPLETED, WorkflowStatus.PARTIALLY_COMPLETED)


@dataclass(frozen=True, slots=True)
class UsualStep:
    """Means per run: calls that were billed, seconds, dollars, items that were asked.

    `answer_tokens` is per call. A step without `for_each` has one item in each run that asked it.
    """

    calls: Decimal
    answer_tokens: int
    seconds: float
    cost: Decimal
    items: Decimal

    def of_items(self, count: int) -> "UsualStep":
        """Return the means for so many items. Some `items` must have been asked."""
        return replace(
            self,
            calls=round(self.calls * count / self.items, 3),
            seconds=self.seconds * float(count / self.items),
            cost=round(self.cost * count / self.items, 12),
            items=Decimal(count),
        )


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
        items=round(Decimal(sum(_items(name, r) for r in records)) / len(records), 3),
    )


def _billed(attempt: AttemptRecord) -> bool:
    """Whether an attempt was a call that counts, one of a model that is free among them."""
    if attempt.state not in ("settled", "uncertain"):
        return False
    used = attempt.usage is not None and attempt.usage.total_tokens > 0
    return attempt.cost > 0 or (used and not attempt.reused_from)


def _items(name: str, record: RunRecord) -> int:
    """Return of how many items a run has answers; of a long list's slices, how many calls."""
    asked = [a for a in record.attempts if step_of(a.step) == name]
    asked = [a for a in asked if _billed(a) or a.reused_from]
    single = {_item_of(a.step) for a in asked if a.part is None}
    return len(single) + sum(a.calls for a in asked if a.part is not None)


def _item_of(unit: str) -> str:
    """Return the item that a unit of work belongs to: "look[3]" of "look[3].2.1"."""
    item, bracket, _ = unit.partition("]")
    return item + bracket if bracket else step_of(unit)
