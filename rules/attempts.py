"""What follows a failed attempt: again after a while, the next candidate, or the end.

One pure function, `decide`, over the policy, the candidates and all attempts so far. Attempts
per candidate are 1 + the smaller of the policy's and the step's `max_retries`; stops of our own
worker do not count as the candidate's. A provider's Retry-After outranks a shorter back-off, and
a wait longer than the policy's `max_delay` is spent better on the next candidate. Every decision
has a reason, for the bill.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contracts.failures import FINAL_KINDS, FailureKind
from contracts.retry import RetryRule, RetryStrategy
from contracts.teams import AgentStatus

THROTTLES = frozenset({FailureKind.RATE_LIMITED, FailureKind.THROTTLED, FailureKind.SATURATED})
AT_ONCE = frozenset({FailureKind.WORKER_STOPPING, FailureKind.WORKER_LOST})
NEVER_TWICE = FINAL_KINDS | {
    FailureKind.INTERNAL,
    FailureKind.INVALID_OUTPUT,
    FailureKind.THROTTLED,
    FailureKind.SATURATED,
}
"""Not tried again on the same candidate: it would end the same way, or be paid for again."""

MOST_HANDBACKS = 20
"""Attempts that may end with a stopping worker before a step is given up: none runs for ever."""


@dataclass(frozen=True)
class Attempted:
    """One attempt that ended without an answer. `retry_after` is in seconds."""

    candidate: int
    kind: str
    retryable: bool
    retry_after: float | None = None
    counts: bool = True


@dataclass(frozen=True)
class Retry:
    """Try `candidate` after `delay` seconds."""

    candidate: int
    delay: float
    reason: str


@dataclass(frozen=True)
class GiveUp:
    """The step ends with this status."""

    status: AgentStatus
    reason: str


def delay(rule: RetryRule, attempt: int, random: float) -> float:
    """Return the seconds to wait after the `attempt`-th failure (from 1).

    `random`, from [0, 1), places the jitter within the rule's range.
    """
    match rule.strategy:
        case RetryStrategy.IMMEDIATE:
            return 0.0
        case RetryStrategy.CONSTANT_DELAY:
            wait = rule.base_delay
        case RetryStrategy.LINEAR_BACKOFF:
            wait = rule.base_delay * attempt
        case RetryStrategy.EXPONENTIAL_BACKOFF:
            # 64 doublings are beyond any cap; a larger exponent would overflow.
            wait = rule.base_delay * rule.exponential_base ** min(attempt - 1, 64)
    wait = min(wait, rule.max_delay)
    if rule.jitter:
        low, high = rule.jitter_range
        wait *= low + random * (high - low)
    return wait


def decide(
    rule: RetryRule,
    max_retries: int,
    candidates: int,
    history: Sequence[Attempted],
    random: float,
    open_circuits: frozenset[int] = frozenset(),
) -> Retry | GiveUp:
    """Return what follows the last attempt of `history`.

    `open_circuits` are candidates to be passed over while another remains.
    """
    last = history[-1]
    if last.kind == FailureKind.STOPPED:
        return GiveUp(AgentStatus.CANCELLED, "cancelled")
    handbacks = sum(not attempted.counts for attempted in history)
    if not last.counts and handbacks <= MOST_HANDBACKS:
        return Retry(last.candidate, 0.0, f"{_said(last)}: again, it does not count")
    further = _next(last.candidate, candidates, open_circuits)
    used = sum(a.counts and a.candidate == last.candidate for a in history)
    allowed = 1 + min(rule.max_retries, max_retries)
    if last.kind in NEVER_TWICE or not last.retryable or used >= allowed:
        return _move_on(last, used, further, history)
    wait = 0.0 if last.kind in AT_ONCE else delay(rule, used, random)
    asked = last.retry_after or 0.0
    if asked > rule.max_delay:
        return _too_long(last, asked, rule.max_delay, further, history)
    if asked > wait:
        return Retry(last.candidate, asked, f"{_said(last)}: again after the {asked:g} s it asked")
    return Retry(last.candidate, wait, f"{_said(last)}: again after {wait:.3g} s")


def _next(candidate: int, candidates: int, open_circuits: frozenset[int]) -> int | None:
    """Return the next candidate: the first one that works, else the first one at all."""
    rest = range(candidate + 1, candidates)
    closed = (number for number in rest if number not in open_circuits)
    return next(closed, rest[0] if rest else None)


def _move_on(
    last: Attempted, used: int, further: int | None, history: Sequence[Attempted]
) -> Retry | GiveUp:
    times = f" {used} times" if used > 1 else ""
    if further is not None:
        return Retry(further, 0.0, f"next candidate: {_said(last)}{times}")
    return GiveUp(_status(history), f"gave up: {_said(last)}{times}, and no candidate is left")


def _too_long(
    last: Attempted, asked: float, most: float, further: int | None, history: Sequence[Attempted]
) -> Retry | GiveUp:
    why = f"{_said(last)}, and it asked for {asked:g} s, more than max_delay ({most:g} s)"
    if further is not None:
        return Retry(further, 0.0, f"next candidate: {why}")
    return GiveUp(_status(history), f"gave up: {why}")


def _status(history: Sequence[Attempted]) -> AgentStatus:
    """RATE_LIMITED where throttling ended every attempt, else FAILED."""
    throttled = all(attempted.kind in THROTTLES for attempted in history)
    return AgentStatus.RATE_LIMITED if throttled else AgentStatus.FAILED


def _said(attempted: Attempted) -> str:
    """Return a failure's kind in words: "RateLimited" as "rate limited"."""
    words = "".join(f" {char.lower()}" if char.isupper() else char for char in attempted.kind)
    return words.strip()


def retry_count(attempts: int) -> int:
    """Return how many of a step's attempts were retries, over all candidates."""
    return max(attempts - 1, 0)


def open_circuits(
    failures_in_a_row: Mapping[int, int],
    last_failure_at: Mapping[int, float],
    now: float,
    threshold: int = 5,
    cooldown_s: float = 30.0,
) -> frozenset[int]:
    """Return the candidates whose circuit is open: many failures in a row, the last just now."""
    return frozenset(
        candidate
        for candidate, count in failures_in_a_row.items()
        if count >= threshold and now - last_failure_at.get(candidate, now) < cooldown_s
    )
