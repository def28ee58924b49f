"""What follows a failed attempt: again after a wait, the next candidate, or giving up.

One pure function of the policy and of all failures so far, so that every paid attempt is decided
in one place and its reason can be read in the bill. Candidates are tried in order and never
returned to; each gets 1 + min(policy's, step's) attempts at most.

| the attempt ended with | then |
| --- | --- |
| a failure that may pass | the same candidate after the back-off, or later if the provider asked |
| a longer wait asked for than the policy allows | the next candidate, else RATE_LIMITED |
| throttled or saturated on our side | the next candidate at once, else the back-off |
| worker lost | the same candidate at once: the provider did nothing wrong |
| worker stopping | the same, without counting |
| a final failure, a bug, an answer that does not fit | the next candidate, never the same again |
| an answer that the store did not take | nothing: whoever answers next would be paid in vain too |
| a prompt that cannot be filled in | nothing: it is the same prompt for all |
| stopped | CANCELLED |
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from contracts.failures import FINAL_KINDS, FailureKind
from contracts.retry import RetryRule, RetryStrategy
from contracts.teams import AgentStatus

MAX_UNCOUNTED = 20
"""Attempts of one step that workers may end by stopping, before that counts as a failure."""

THROTTLING = frozenset({FailureKind.RATE_LIMITED, FailureKind.THROTTLED, FailureKind.SATURATED})
"""A step whose every attempt ended so is RATE_LIMITED."""

_OUR_LIMITS = frozenset({FailureKind.THROTTLED, FailureKind.SATURATED})
_MAY_PASS = THROTTLING | {FailureKind.TIMEOUT, FailureKind.WORKER_LOST}
_NEVER_AGAIN = FINAL_KINDS | {FailureKind.INTERNAL, FailureKind.INVALID_OUTPUT}
_WHOEVER_IS_ASKED = frozenset({FailureKind.NOT_KEPT, FailureKind.UNRENDERED})

_WORDS: dict[str, str] = {
    FailureKind.AUTHENTICATION_FAILED: "authentication failed",
    FailureKind.INVALID_REQUEST: "invalid request",
    FailureKind.MODEL_NOT_FOUND: "model not found",
    FailureKind.CONTEXT_TOO_LONG: "context too long",
    FailureKind.CONTENT_REFUSED: "content refused",
    FailureKind.RATE_LIMITED: "rate limited",
    FailureKind.OVERLOADED: "overloaded",
    FailureKind.SERVER_FAILED: "server failed",
    FailureKind.UNREACHABLE: "unreachable",
    FailureKind.STREAM_INTERRUPTED: "stream interrupted",
    FailureKind.TIMEOUT: "timed out",
    FailureKind.THROTTLED: "throttled",
    FailureKind.SATURATED: "saturated",
    FailureKind.WORKER_STOPPING: "worker stopping",
    FailureKind.WORKER_LOST: "worker lost",
    FailureKind.STOPPED: "stopped",
    FailureKind.INVALID_OUTPUT: "invalid output",
    FailureKind.UNAVAILABLE: "provider unavailable",
    FailureKind.NOT_KEPT: "the store took no answer",
    FailureKind.UNRENDERED: "the prompt cannot be filled in",
    FailureKind.INTERNAL: "internal error",
}


@dataclass(frozen=True, slots=True)
class Attempted:
    """A failed attempt: on which candidate (from 0), how it ended, the wait asked for (seconds).

    `counts` False: it does not use up one of the candidate's attempts.
    """

    candidate: int
    kind: str
    retryable: bool
    retry_after: float | None = None
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Retry:
    """Attempt again, on this candidate, after so many seconds."""

    candidate: int
    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The step ends without an answer."""

    status: AgentStatus
    reason: str


def delay(rule: RetryRule, attempt: int, random: float) -> float:
    """Return the seconds to wait after the `attempt`-th failure (from 1).

    `random` in [0, 1] picks the point in `jitter_range` by which the capped delay is scaled.
    """
    scale = 1.0
    if rule.jitter:
        low, high = rule.jitter_range
        scale = low + random * (high - low)
    return min(rule.max_delay, _grown(rule, attempt)) * scale


def _grown(rule: RetryRule, attempt: int) -> float:
    match rule.strategy:
        case RetryStrategy.IMMEDIATE:
            return 0.0
        case RetryStrategy.CONSTANT_DELAY:
            return rule.base_delay
        case RetryStrategy.LINEAR_BACKOFF:
            return rule.base_delay * attempt
        case RetryStrategy.EXPONENTIAL_BACKOFF:
            try:
                return rule.base_delay * rule.exponential_base ** (attempt - 1)
            except OverflowError:
                return rule.max_delay


def decide(
    rule: RetryRule,
    max_retries: int,
    candidates: int,
    history: Sequence[Attempted],
    random: float,
    *,
    provider: str = "",
    avoid: Collection[int] = (),
) -> Retry | GiveUp:
    """Return what follows the last attempt of a step's history.

    `max_retries` is the step's, `candidates` how many it has, `random` a number in [0, 1].
    `provider` names the last attempt's in reasons. Candidates in `avoid` (see `circuit_open`)
    are passed over while another one remains.
    """
    return _Decision(rule, max_retries, candidates, history, random, provider, avoid).make()


def retry_count(history: Sequence[Attempted], answered: bool = False) -> int:
    """Return how many attempts came after the first, over all candidates.

    `history` are the failed ones; `answered` adds the one that succeeded.
    """
    return max(0, len(history) + answered - 1)


class _Decision:
    """The last failure, and what it has to be judged by."""

    def __init__(
        self,
        rule: RetryRule,
        max_retries: int,
        candidates: int,
        history: Sequence[Attempted],
        random: float,
        provider: str,
        avoid: Collection[int],
    ) -> None:
        self.rule, self.candidates, self.history = rule, candidates, history
        self.random, self.provider, self.avoid = random, provider or "the provider", avoid
        self.last = history[-1]
        self.here = [a for a in history if a.candidate == self.last.candidate and a.counts]
        self.retries = min(rule.max_retries, max_retries)

    def make(self) -> Retry | GiveUp:
        last = self.last
        if last.kind == FailureKind.STOPPED:
            return GiveUp(AgentStatus.CANCELLED, "stopped")
        if last.kind in _WHOEVER_IS_ASKED:
            return GiveUp(AgentStatus.FAILED, f"gave up: {_word(last.kind)}")
        if not last.counts:
            return self.uncounted()
        if last.kind in _NEVER_AGAIN or not (last.retryable or last.kind in _MAY_PASS):
            return self.next_or_give_up(_word(last.kind))
        if last.kind in _OUR_LIMITS and self.following() is not None:
            return self.next_or_give_up(_word(last.kind))
        if len(self.here) > self.retries:
            return self.next_or_give_up(self.tally())
        if last.candidate in self.avoid and self.healthy() is not None:
            return self.next_or_give_up(f"{_word(last.kind)}; {self.provider} keeps failing")
        if last.kind == FailureKind.WORKER_LOST:
            return self.again(0.0, f"{_word(last.kind)}; {self.number()} at once")
        return self.back_off()

    def uncounted(self) -> Retry | GiveUp:
        """A worker that stops is nobody's failure, until it goes on forever."""
        times = sum(not attempted.counts for attempted in self.history)
        if times > MAX_UNCOUNTED:
            return self.next_or_give_up(f"{_word(self.last.kind)} {times} times")
        return self.again(0.0, f"{_word(self.last.kind)}; again on another one")

    def back_off(self) -> Retry | GiveUp:
        """Wait as long as the policy says, or as the provider asked if that is longer."""
        word, asked = _word(self.last.kind), self.last.retry_after or 0.0
        wait = delay(self.rule, len(self.here), self.random)
        if asked <= wait:
            return self.again(wait, f"{word}; {self.number()} in {wait:.1f} s")
        said = f"{word}; {self.provider} asked for {asked:.1f} s"
        if asked <= self.rule.max_delay:
            return self.again(asked, said)
        too_long = f"{said}, more than max_delay {self.rule.max_delay:g} s"
        if self.following() is not None:
            return self.next_or_give_up(too_long)
        return GiveUp(AgentStatus.RATE_LIMITED, f"gave up: {too_long}")

    def again(self, wait: float, reason: str) -> Retry:
        return Retry(self.last.candidate, wait, reason)

    def next_or_give_up(self, why: str) -> Retry | GiveUp:
        following = self.following()
        if following is not None:
            return Retry(following, 0.0, f"next candidate: {why}")
        counted = [a for a in self.history if a.counts]
        throttled = bool(counted) and all(a.kind in THROTTLING for a in counted)
        status = AgentStatus.RATE_LIMITED if throttled else AgentStatus.FAILED
        left = ", no other candidate is left" if self.candidates > 1 else ""
        return GiveUp(status, f"gave up: {why}{left}")

    def following(self) -> int | None:
        """Return the next candidate: the first healthy one, else the first, else None."""
        healthy = self.healthy()
        if healthy is not None:
            return healthy
        after = self.last.candidate + 1
        return after if after < self.candidates else None

    def healthy(self) -> int | None:
        later = range(self.last.candidate + 1, self.candidates)
        return next((candidate for candidate in later if candidate not in self.avoid), None)

    def number(self) -> str:
        return f"retry {len(self.here)} of {self.retries}"

    def tally(self) -> str:
        """Say how often this candidate failed, and how."""
        times, word = len(self.here), _word(self.last.kind)
        if times == 1:
            return word
        if all(attempted.kind == self.last.kind for attempted in self.here):
            return f"{word} {times} times"
        return f"{times} attempts failed, the last one: {word}"


def _word(kind: str) -> str:
    return _WORDS.get(kind, kind)


_SICK = frozenset(
    {
        FailureKind.AUTHENTICATION_FAILED,
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.SERVER_FAILED,
        FailureKind.UNREACHABLE,
        FailureKind.STREAM_INTERRUPTED,
        FailureKind.TIMEOUT,
    }
)
_NOT_ITS_OWN = frozenset(
    {
        FailureKind.THROTTLED,
        FailureKind.SATURATED,
        FailureKind.WORKER_STOPPING,
        FailureKind.WORKER_LOST,
        FailureKind.STOPPED,
        FailureKind.UNAVAILABLE,
        FailureKind.NOT_KEPT,
        FailureKind.UNRENDERED,
        FailureKind.INTERNAL,
    }
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call to a provider ended, and when (seconds of any clock); None: with an answer."""

    at: float
    kind: str | None = None


def circuit_open(
    outcomes: Sequence[Outcome], now: float, threshold: int = 5, cooldown_s: float = 30.0
) -> bool:
    """Should a provider be passed over for now?

    True while its last `threshold` outcomes were failures of its own, the last of them less than
    `cooldown_s` ago. A refused prompt is an answer here; our own failures are left out.
    """
    telling = [outcome for outcome in outcomes if outcome.kind not in _NOT_ITS_OWN][-threshold:]
    if len(telling) < threshold or any(outcome.kind not in _SICK for outcome in telling):
        return False
    return now - telling[-1].at < cooldown_s


def open_circuits(
    outcomes_by_provider: Mapping[str, Sequence[Outcome]],
    now: float,
    threshold: int = 5,
    cooldown_s: float = 30.0,
) -> frozenset[str]:
    """Return the providers that should be passed over for now."""
    return frozenset(
        provider
        for provider, outcomes in outcomes_by_provider.items()
        if circuit_open(outcomes, now, threshold, cooldown_s)
    )
