"""A bill: every call of a run with its price, and whether all of it can be computed again.

A line's cost follows from what the vendor reported and the price in the run's plan; where the
usage was never reported in full it is the whole reservation, "at most". The line of a team's run
holds that run's bill, and is its sum. `differences` computes each line and each sum anew and names
those that are booked otherwise; what stands for calls that are not known here is taken as booked.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from contracts.messages import Usage
from contracts.plans import Candidate, Plan
from contracts.runs import AttemptRecord, RunCost, RunRecord, step_of
from contracts.sharing import SHARED_UNIT
from contracts.teams import TeamStep
from rules import prices
from rules.prices import Charge

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Line:
    """One attempt. `name` is its id, behind that of the team it belongs to: "sub/draft#1".

    `candidate` is whom the plan names for it, with its price (None: no call, or not in the plan);
    `inner` the bill of the calls that it stands for, where that is known. `is_sum` says that it
    stands for others.
    """

    run_id: str
    name: str
    attempt: AttemptRecord
    candidate: Candidate | None = None
    is_sum: bool = False
    inner: "Bill | None" = None

    @property
    def charged(self) -> tuple[Charge, ...]:
        """What the reported usage is charged for."""
        usage = self.attempt.usage
        if usage is None or self.candidate is None:
            return ()
        price = self.candidate.price
        stored = prices.storage(price, self.attempt.stored_token_hours)
        return (*prices.charges(price, usage), *stored)

    @property
    def held(self) -> tuple[Charge, ...]:
        """What its reservation was made for: the dearest call within its bounds."""
        if self.candidate is None:
            return ()
        price = self.candidate.price
        prompt = self.attempt.input_bound + self.candidate.overhead_tokens
        stored = prices.storage(price, self.attempt.held_token_hours)
        return (*prices.worst_charges(price, prompt, self.attempt.max_tokens), *stored)

    @property
    def computed(self) -> Decimal | None:
        """What it costs by its usage or reservation and the plan; None where that cannot be told.

        A request that was answered without any usage costs nothing.
        """
        attempt = self.attempt
        if attempt.part is not None:
            return attempt.cost
        if attempt.state in ("released", "reserved"):
            return ZERO
        if self.is_sum:
            return self._sum
        if self.candidate is None:
            return None
        return self.reserved if attempt.state == "uncertain" else self.served

    @property
    def _sum(self) -> Decimal:
        """What it stands for adds up to; where nobody knows that, what was booked."""
        attempt = self.attempt
        if attempt.state == "uncertain":
            return attempt.reserved
        return attempt.cost if self.inner is None else self.inner.computed

    @property
    def served(self) -> Decimal:
        """The price of the usage that was seen."""
        usage = self.attempt.usage or Usage()
        if self.candidate is None or not usage.total_tokens:
            return ZERO
        return prices.dollars(self.candidate.price, self.charged)

    @property
    def reserved(self) -> Decimal:
        """The price of the reservation; what was booked, where its bounds are not recorded."""
        if self.candidate is None or not self.attempt.input_bound:
            return self.attempt.reserved
        return prices.dollars(self.candidate.price, self.held)


@dataclass(frozen=True, slots=True)
class Bill:
    """All lines of a run in the order of their calls, and the ledger's own sums."""

    run_id: str
    cost: RunCost
    lines: tuple[Line, ...]

    @property
    def computed(self) -> Decimal:
        """The sum of the lines, each computed again; as booked where that cannot be told."""
        told = [(line.computed, line.attempt.cost) for line in self.lines]
        return sum((booked if new is None else new for new, booked in told), ZERO)


def recorded_cost(record: RunRecord) -> RunCost:
    """Return the ledger that a run's artifact holds: nothing is in flight any more."""
    return RunCost(
        run_id=record.run_id,
        budget=record.budget,
        cost=record.cost,
        served=record.served,
        uncertain=record.uncertain,
        reserved=ZERO,
        by_step=by_step(record.attempts),
        attempts=record.attempts,
    )


def by_step(attempts: Iterable[AttemptRecord]) -> dict[str, Decimal]:
    """Return what attempts cost, added up by the step that they belong to."""
    added: dict[str, Decimal] = {}
    for attempt in attempts:
        name = step_of(attempt.step)
        added[name] = added.get(name, ZERO) + attempt.cost
    return added


@dataclass(frozen=True, slots=True)
class Difference:
    """An amount that is booked otherwise than it is computed; `computed` None: it cannot be."""

    line: str
    what: str
    booked: Decimal
    computed: Decimal | None


def make_bill(
    cost: RunCost, plan: Plan, inner: Mapping[str, Bill] | None = None, before: str = ""
) -> Bill:
    """Return a run's bill. `inner` holds, by attempt id, the bills of what lines stand for.

    `before` is put before each name: "sub/" for the run of the team `sub`.
    """
    known = inner or {}
    teams = {step.name for step in plan.team.agents if isinstance(step, TeamStep)}
    lines = []
    for attempt in cost.attempts:
        is_sum = attempt.step in teams or attempt.part is not None
        lines.append(
            Line(
                run_id=cost.run_id,
                name=before + attempt.id,
                attempt=attempt,
                candidate=None if is_sum else _candidate(plan, attempt),
                is_sum=is_sum,
                inner=known.get(attempt.id),
            )
        )
    return Bill(cost.run_id, cost, tuple(lines))


def _candidate(plan: Plan, attempt: AttemptRecord) -> Candidate | None:
    """Return whom the plan names for an attempt; what is shared is any step's."""
    indexes: Iterable[int] = plan.step_candidates.get(step_of(attempt.step), ())
    if step_of(attempt.step) == SHARED_UNIT:
        indexes = range(len(plan.candidates))
    for candidate in (plan.candidates[index] for index in indexes):
        if (candidate.provider, candidate.model) == (attempt.provider, attempt.model):
            return candidate
    return None


def all_lines(bill: Bill) -> Iterator[Line]:
    """Yield every line, those that it stands for after each."""
    for line in bill.lines:
        yield line
        if line.inner is not None:
            yield from all_lines(line.inner)


def calls(bill: Bill) -> Iterator[Line]:
    """Yield lines that add up to the bill: calls, in place of what stands for them.

    What a line has beyond the calls that are known of it (a grant that was lost with its run)
    follows them as a line of its own.
    """
    for line in bill.lines:
        if line.inner is None:
            yield line
            continue
        yield from calls(line.inner)
        rest = line.attempt.cost - line.inner.cost.cost
        if rest:
            yield Line(
                run_id=line.run_id,
                name=line.name,
                attempt=line.attempt.model_copy(update={"cost": rest, "usage": None}),
                is_sum=True,
            )


def differences(bill: Bill) -> list[Difference]:
    """Return what is booked otherwise than it is computed, line by line and then the sums."""
    found = [one for line in bill.lines for one in _of_line(line)]
    return [*found, *_of_sums(bill)]


def _of_line(line: Line) -> Iterator[Difference]:
    attempt, computed = line.attempt, line.computed
    if line.inner is not None:
        yield from differences(line.inner)
    if computed != attempt.cost:
        yield Difference(line.name, "cost", attempt.cost, computed)
    if line.is_sum or line.candidate is None:
        return
    if line.reserved != attempt.reserved:
        yield Difference(line.name, "reserved", attempt.reserved, line.reserved)
    served = line.served if attempt.state in ("settled", "uncertain") else ZERO
    # An estimate of what was served is never more than what was paid for.
    served = min(served, attempt.reserved) if attempt.state == "uncertain" else served
    if served != attempt.served:
        yield Difference(line.name, "served", attempt.served, served)


def _of_sums(bill: Bill) -> Iterator[Difference]:
    cost, where = bill.cost, f"total of {bill.run_id}"
    attempts = [line.attempt for line in bill.lines]
    booked = sum((attempt.cost for attempt in attempts), ZERO)
    served = sum((attempt.served for attempt in attempts), ZERO)
    if booked != cost.cost:
        yield Difference(where, "cost", cost.cost, booked)
    if served != cost.served:
        yield Difference(where, "served", cost.served, served)
    if cost.cost - cost.served != cost.uncertain:
        yield Difference(where, "uncertain", cost.uncertain, cost.cost - cost.served)
    steps = by_step(attempts)
    for name in steps | cost.by_step:
        booked, added = cost.by_step.get(name, ZERO), steps.get(name, ZERO)
        if booked != added:
            yield Difference(f"total of {name}", "cost", booked, added)
