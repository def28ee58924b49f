"""What follows when a request of an execution fails, and what is noted when it does not. Pure.

| the request failed with | then |
| --- | --- |
| anything, while a cache of ours was used | once more at once without it, where that may help |
| a failure that may pass | again after 0.5, 1, 2, 4, 5 … seconds, 15 in all |
| a prompt that is too long | nothing: it stays too long |
| a broken connection or a timeout, in an upload or when making a cache | nothing: it may exist |
| the worker lost or stopped | again at once |
| an answer that the store did not take | nothing: a further one would be paid in vain too |
| anything else | nothing; the fallback plan, where there is one |
"""

from collections.abc import Iterable, Mapping

from contracts.calls import CallFailure
from contracts.execution import (
    CallResult,
    Capabilities,
    ErrorInfo,
    Failure,
    TokenEstimate,
    TokenValidation,
)
from contracts.failures import FailureKind
from contracts.retry import RetryRule
from rules import attempts

RETRIES = RetryRule(
    max_retries=2, base_delay=0.5, max_delay=5.0, exponential_base=2.0, jitter_range=(1.0, 1.25)
)
"""Two more tries, after 0.5 and 1 second and up to a quarter more."""

MOST_WAITING_S = 15.0
"""Of all waits of one request together."""

_OURS = frozenset({FailureKind.WORKER_LOST, FailureKind.WORKER_STOPPING})
_NOT_THE_CACHE = frozenset(
    {
        FailureKind.AUTHENTICATION_FAILED,
        FailureKind.CONTEXT_TOO_LONG,
        FailureKind.CONTENT_REFUSED,
        FailureKind.RATE_LIMITED,
        FailureKind.STOPPED,
        FailureKind.UNAVAILABLE,
        FailureKind.NOT_KEPT,
        *_OURS,
    }
)
"""Without its cache, a request would fail in the same way."""

_NEVER = frozenset({FailureKind.CONTEXT_TOO_LONG, FailureKind.STOPPED})


def wait_before_retry(
    failure: CallFailure,
    failed: int,
    waited: float,
    random: float,
    *,
    creates: bool = False,
    rule: RetryRule = RETRIES,
) -> float | None:
    """Return the seconds to wait before the next try, or None for no more.

    `failed` counts the tries so far, `waited` is the sum of the waits before them. `creates`:
    the request leaves something behind at the vendor, so that it is only repeated where it
    surely did not.
    """
    if failure.kind in _NEVER or failed > rule.max_retries:
        return None
    if failure.kind in _OURS:
        return 0.0
    if not failure.retryable or (creates and _ambiguous(failure)):
        return None
    wait = max(attempts.delay(rule, failed, random), failure.retry_after or 0.0)
    return wait if waited + wait <= MOST_WAITING_S else None


def _ambiguous(failure: CallFailure) -> bool:
    """Whether the vendor may have done what was asked: it was sent and not answered."""
    return failure.sent and (failure.status or 0) < 400


def drops_cache(failure: CallFailure, *, forbidden: bool = True) -> bool:
    """Tell whether a request that failed with a cache is worth a try without.

    Gemini answers 403 where a cache is gone, as if it were another's. `forbidden` False is for
    executions that were begun before that was known.
    """
    if failure.status == 403 and failure.kind == FailureKind.AUTHENTICATION_FAILED:
        return forbidden
    return failure.kind not in _NOT_THE_CACHE


def error_info(failure: CallFailure, provider: str, model: str) -> ErrorInfo:
    """Return what is told of a failed request."""
    return ErrorInfo(
        kind=failure.kind,
        message=failure.message,
        retryable=failure.retryable,
        status=failure.status,
        provider=failure.provider or provider,
        model=failure.model or model,
        usage=failure.usage,
    )


def provider_failed(index: int, primary: ErrorInfo, fallback: ErrorInfo | None = None) -> Failure:
    """Return the failure of a call whose provider, and whose fallback's, gave no answer."""
    message = f"Provider call failed: {primary}"
    if fallback is not None:
        message += f"; the fallback failed too: {fallback}"
    return Failure(message=message, index=index, primary=primary, fallback=fallback)


def concurrency(
    calls: int, option: int | None, config: int | None = None, *, rate_constrained: bool = False
) -> int:
    """Return how many of a plan's calls may be open: the option's word, the settings', or all."""
    if calls <= 0 or rate_constrained:
        return 1
    return max(1, option or config or calls)


def validate_tokens(
    estimate: TokenEstimate | None, results: Iterable[CallResult]
) -> TokenValidation | None:
    """Compare an estimate with the largest prompt that a vendor counted. Only observes."""
    counted = [r.usage.prompt_tokens for r in results if r.usage is not None]
    if estimate is None or not counted:
        return None
    actual = max(counted)
    return TokenValidation(
        min=estimate.min,
        expected=estimate.expected,
        max=estimate.max,
        actual=actual,
        in_range=estimate.min <= actual <= estimate.max,
    )


def overridden(capabilities: Capabilities, overrides: Mapping[str, bool]) -> Capabilities:
    """Return the capabilities with some switched on or off by name."""
    added = {name for name, on in overrides.items() if on}
    taken = {name for name, on in overrides.items() if not on}
    return capabilities.model_copy(update={"names": (capabilities.names | added) - taken})
