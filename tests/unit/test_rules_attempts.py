"""What follows a failure: one row per kind, D16 to D18, and the bounds for any history."""

import random as chance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failures import FINAL_KINDS, FailureKind
from contracts.retry import RetryRule, RetryStrategy
from contracts.teams import AgentStatus
from rules.attempts import (
    MAX_UNCOUNTED,
    Attempted,
    GiveUp,
    Outcome,
    Retry,
    circuit_open,
    decide,
    delay,
    open_circuits,
    retry_count,
)
from tests.support.cases import cases

pytestmark = pytest.mark.unit

PLAIN = RetryRule(jitter=False)
RETRYABLE = (
    FailureKind.RATE_LIMITED,
    FailureKind.OVERLOADED,
    FailureKind.SERVER_FAILED,
    FailureKind.UNREACHABLE,
    FailureKind.STREAM_INTERRUPTED,
    FailureKind.TIMEOUT,
)


def failed(kind: str, candidate: int = 0, after: float | None = None) -> Attempted:
    """A failure as the workflow reports it."""
    return Attempted(
        candidate, kind, kind in RETRYABLE, after, counts=kind != FailureKind.WORKER_STOPPING
    )


def after(*history: Attempted, candidates: int = 1, **options: object) -> Retry | GiveUp:
    return decide(PLAIN, 3, candidates, history, 0.5, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (RetryStrategy.EXPONENTIAL_BACKOFF, [1, 2, 4, 60]),
        (RetryStrategy.LINEAR_BACKOFF, [1, 2, 3, 7]),
        (RetryStrategy.CONSTANT_DELAY, [1, 1, 1, 1]),
        (RetryStrategy.IMMEDIATE, [0, 0, 0, 0]),
    ],
)
def test_D18_delays_without_jitter(strategy: RetryStrategy, expected: list[float]) -> None:
    rule = RetryRule(strategy=strategy, jitter=False)
    assert [delay(rule, attempt, 0.3) for attempt in (1, 2, 3, 7)] == expected


@pytest.mark.parametrize("strategy", list(RetryStrategy))
def test_D18_jitter_scales_within_its_range(strategy: RetryStrategy) -> None:
    rule = RetryRule(strategy=strategy)
    bare = rule.model_copy(update={"jitter": False})
    source = chance.Random(7)
    for attempt in (1, 2, 3, 7):
        whole = delay(bare, attempt, 0.0)
        draws = [delay(rule, attempt, source.random()) for _ in range(250)]
        assert all(0.5 * whole <= draw <= whole for draw in draws)
        assert delay(rule, attempt, 0.0) == 0.5 * whole
        assert delay(rule, attempt, 1.0) == whole


def test_D18_the_first_wait_of_a_run_is_the_first_delay() -> None:
    decision = decide(RetryRule(), 3, 1, [failed("Overloaded")], 0.25)
    assert isinstance(decision, Retry)
    assert decision.delay == delay(RetryRule(), 1, 0.25)


def test_B19_additive_jitter_is_a_range_above_one() -> None:
    rule = RetryRule(base_delay=0.5, jitter_range=(1.0, 1.25))
    assert [delay(rule, attempt, 0.0) for attempt in (1, 2)] == [0.5, 1.0]
    assert delay(rule, 1, 1.0) == 0.625


def test_huge_attempt_numbers_stay_at_the_cap() -> None:
    assert delay(PLAIN, 100_000, 0.0) == 60.0


@pytest.mark.parametrize(
    ("policy", "step", "calls"), [(3, 3, 4), (5, 10, 6), (3, 0, 1), (0, 9, 1), (10, 2, 3)]
)
def test_D17_attempts_are_one_plus_the_smaller_number_of_retries(
    policy: int, step: int, calls: int
) -> None:
    rule = RetryRule(max_retries=policy)
    history: list[Attempted] = []
    decision: Retry | GiveUp = Retry(0, 0.0, "")
    while isinstance(decision, Retry):
        history.append(failed("ServerFailed"))
        decision = decide(rule, step, 1, history, 0.5)
    assert len(history) == calls
    assert retry_count(history) == calls - 1
    assert decision.status is AgentStatus.FAILED


def test_retry_count_counts_over_all_candidates() -> None:
    history = [failed("Overloaded"), failed("Overloaded"), failed("Overloaded", 1)]
    assert retry_count(history) == 2
    assert retry_count(history, answered=True) == 3
    assert retry_count([]) == 0
    assert retry_count([], answered=True) == 0


@pytest.mark.parametrize("kind", RETRYABLE)
def test_what_may_pass_is_tried_again_after_the_back_off(kind: str) -> None:
    decision = after(failed(kind), failed(kind), candidates=2)
    assert isinstance(decision, Retry)
    assert (decision.candidate, decision.delay) == (0, 2.0)
    assert decision.reason.endswith("; retry 2 of 3 in 2.0 s")


def test_D16_a_timeout_is_retried_whatever_the_flag_says() -> None:
    decision = after(Attempted(0, FailureKind.TIMEOUT, retryable=False))
    assert decision == Retry(0, 1.0, "timed out; retry 1 of 3 in 1.0 s")


def test_B20_the_flag_decides_and_not_the_kind_of_text() -> None:
    assert after(Attempted(0, "ServerFailed", retryable=False)) == GiveUp(
        AgentStatus.FAILED, "gave up: server failed"
    )


def test_after_the_last_retry_comes_the_next_candidate_with_attempts_of_its_own() -> None:
    spent = [failed("Overloaded")] * 4
    assert after(*spent, candidates=2) == Retry(1, 0.0, "next candidate: overloaded 4 times")
    decision = after(*spent, failed("Overloaded", 1), candidates=2)
    assert decision == Retry(1, 1.0, "overloaded; retry 1 of 3 in 1.0 s")
    mixed = [failed("Overloaded")] * 3 + [failed("Timeout")]
    assert after(*mixed, candidates=2) == Retry(
        1, 0.0, "next candidate: 4 attempts failed, the last one: timed out"
    )
    assert after(*spent, *[failed("Overloaded", 1)] * 4, candidates=2) == GiveUp(
        AgentStatus.FAILED, "gave up: overloaded 4 times, no other candidate is left"
    )


@pytest.mark.parametrize(
    "kind", [*sorted(FINAL_KINDS), FailureKind.INTERNAL, FailureKind.INVALID_OUTPUT]
)
def test_what_would_end_the_same_way_goes_to_the_next_candidate_or_fails(kind: str) -> None:
    history = [Attempted(0, kind, retryable=True)]
    decision = after(*history, candidates=2)
    assert isinstance(decision, Retry)
    assert (decision.candidate, decision.delay) == (1, 0.0)
    given_up = after(*history)
    assert isinstance(given_up, GiveUp)
    assert given_up.status is AgentStatus.FAILED


def test_a_prompt_that_cannot_be_filled_in_is_asked_of_nobody_else() -> None:
    decision = after(failed(FailureKind.UNRENDERED), candidates=3)
    assert decision == GiveUp(AgentStatus.FAILED, "gave up: the prompt cannot be filled in")


def test_a_kind_that_is_not_known_is_shown_as_it_is() -> None:
    assert after(failed("Weird")) == GiveUp(AgentStatus.FAILED, "gave up: Weird")


def test_stopped_is_cancelled_whoever_else_remains() -> None:
    assert after(failed("Stopped"), candidates=3) == GiveUp(AgentStatus.CANCELLED, "stopped")


def test_a_lost_worker_is_retried_at_once_on_the_same_candidate_and_counts() -> None:
    lost = failed("WorkerLost")
    assert after(lost, candidates=2) == Retry(0, 0.0, "worker lost; retry 1 of 3 at once")
    assert after(*[lost] * 4, candidates=2) == Retry(1, 0.0, "next candidate: worker lost 4 times")


def test_a_stopping_worker_does_not_count_but_does_not_go_on_forever() -> None:
    stopping = failed("WorkerStopping")
    history = [failed("Overloaded")] * 3 + [stopping] * MAX_UNCOUNTED
    assert after(*history) == Retry(0, 0.0, "worker stopping; again on another one")
    assert after(*history, failed("Overloaded")) == GiveUp(
        AgentStatus.FAILED, "gave up: overloaded 4 times"
    )
    assert after(*history, stopping) == GiveUp(
        AgentStatus.FAILED, "gave up: worker stopping 21 times"
    )
    assert isinstance(after(*history, stopping, candidates=2), Retry)


@pytest.mark.parametrize("kind", ["Saturated", "Throttled"])
def test_our_own_limits_hand_over_at_once(kind: str) -> None:
    decision = after(failed(kind), candidates=2)
    assert decision == Retry(1, 0.0, f"next candidate: {kind.lower()}")
    assert after(failed(kind)) == Retry(0, 1.0, f"{kind.lower()}; retry 1 of 3 in 1.0 s")


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (["RateLimited"] * 4, AgentStatus.RATE_LIMITED),
        (["RateLimited", "Throttled", "Saturated", "RateLimited"], AgentStatus.RATE_LIMITED),
        (["Overloaded", "RateLimited", "RateLimited", "RateLimited"], AgentStatus.FAILED),
        (["RateLimited", "RateLimited", "RateLimited", "InvalidRequest"], AgentStatus.FAILED),
    ],
)
def test_rate_limited_means_that_every_attempt_was_throttled(
    kinds: list[str], status: AgentStatus
) -> None:
    decision = after(*[failed(kind) for kind in kinds])
    assert isinstance(decision, GiveUp)
    assert decision.status is status


def test_every_attempt_means_those_on_all_candidates() -> None:
    history = [failed("Saturated", 0), *[failed("RateLimited", 1)] * 4]
    decision = after(*history, candidates=2)
    assert isinstance(decision, GiveUp)
    assert decision.status is AgentStatus.RATE_LIMITED


def test_retry_after_outranks_a_shorter_back_off_only() -> None:
    asked = failed("RateLimited", after=2.0)
    assert after(asked, provider="openai") == Retry(0, 2.0, "rate limited; openai asked for 2.0 s")
    assert after(asked).reason == "rate limited; the provider asked for 2.0 s"
    shorter = failed("RateLimited", after=0.5)
    assert after(shorter) == Retry(0, 1.0, "rate limited; retry 1 of 3 in 1.0 s")


def test_a_wait_beyond_the_policy_moves_on_or_gives_up() -> None:
    asked = failed("Overloaded", after=61.0)
    said = "overloaded; openai asked for 61.0 s, more than max_delay 60 s"
    assert after(asked, candidates=2, provider="openai") == Retry(1, 0.0, f"next candidate: {said}")
    assert after(asked, provider="openai") == GiveUp(AgentStatus.RATE_LIMITED, f"gave up: {said}")
    assert isinstance(after(failed("Overloaded", after=60.0)), Retry)


def test_candidates_to_avoid_are_passed_over_while_another_remains() -> None:
    spent = [failed("InvalidRequest")]
    decision = after(*spent, candidates=3, avoid={1})
    assert isinstance(decision, Retry)
    assert decision.candidate == 2
    decision = after(*spent, candidates=3, avoid={1, 2})
    assert isinstance(decision, Retry)
    assert decision.candidate == 1


def test_a_provider_to_avoid_is_not_tried_again_while_another_remains() -> None:
    once = failed("Overloaded")
    assert after(once, candidates=2, avoid={0}, provider="openai") == Retry(
        1, 0.0, "next candidate: overloaded; openai keeps failing"
    )
    assert after(once, candidates=2, avoid={0, 1}) == after(once, candidates=2)
    assert after(once, avoid={0}) == after(once)


def outcomes(*kinds: str | None) -> list[Outcome]:
    return [Outcome(float(at), kind) for at, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kinds", "now", "expected"),
    [
        (["Overloaded"] * 5, 4.0, True),
        (["Overloaded"] * 5, 33.9, True),
        (["Overloaded"] * 5, 34.0, False),
        (["Overloaded"] * 4, 4.0, False),
        (["Overloaded"] * 4 + [None], 4.0, False),
        (
            [None, "Timeout", "ServerFailed", "Unreachable", "RateLimited", "Timeout"],
            5.0,
            True,
        ),
        (["Overloaded"] * 4 + ["InvalidRequest", "Overloaded"], 5.0, False),
        (["Overloaded"] * 4 + ["WorkerLost", "Stopped", "Overloaded"], 6.0, True),
        ([], 0.0, False),
    ],
)
def test_a_circuit_opens_after_failures_in_a_row_and_for_a_while(
    kinds: list[str | None], now: float, expected: bool
) -> None:
    assert circuit_open(outcomes(*kinds), now) is expected


def test_open_circuits_are_told_by_provider() -> None:
    by_provider = {"a": outcomes(*["Overloaded"] * 3), "b": outcomes("Overloaded", None, "Timeout")}
    assert open_circuits(by_provider, 3.0, threshold=3) == {"a"}


@cases(300)
@given(
    st.integers(0, 4),
    st.integers(0, 4),
    st.integers(1, 4),
    st.lists(
        st.tuples(st.sampled_from(list(FailureKind)), st.none() | st.floats(0, 200)), min_size=1
    ),
    st.floats(0, 1),
    st.sets(st.integers(0, 3)),
)
def test_any_run_of_failures_ends_within_its_attempts(
    policy: int,
    step: int,
    candidates: int,
    failures: list[tuple[FailureKind, float | None]],
    random: float,
    avoid: set[int],
) -> None:
    rule = RetryRule(max_retries=policy)
    history: list[Attempted] = []
    candidate = 0
    while True:
        kind, asked = failures[len(history) % len(failures)]
        history.append(failed(kind, candidate, asked))
        decision = decide(rule, step, candidates, history, random, avoid=avoid)
        if isinstance(decision, GiveUp):
            break
        assert candidate <= decision.candidate < candidates
        assert 0.0 <= decision.delay <= rule.max_delay
        assert decision.reason
        candidate = decision.candidate
    assert decision.status in (AgentStatus.FAILED, AgentStatus.RATE_LIMITED, AgentStatus.CANCELLED)
    for number in range(candidates):
        counted = [a for a in history if a.candidate == number and a.counts]
        assert len(counted) <= 1 + min(policy, step)
        final = [a for a in counted if a.kind in FINAL_KINDS or a.kind == FailureKind.INTERNAL]
        assert len(final) <= 1
    assert sum(not a.counts for a in history) <= MAX_UNCOUNTED + candidates
