"""Kinds of failure, as the `type` of the ApplicationErrors that cross to the workflow."""

from enum import StrEnum


class FailureKind(StrEnum):
    """Why an attempt ended without an answer.

    The provider kinds are the class names of `providers.exceptions`; the others are ours.
    """

    # the provider said so; final for this candidate
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    INVALID_REQUEST = "InvalidRequest"
    MODEL_NOT_FOUND = "ModelNotFound"
    CONTEXT_TOO_LONG = "ContextTooLong"
    CONTENT_REFUSED = "ContentRefused"
    # the provider said so; may pass
    RATE_LIMITED = "RateLimited"
    OVERLOADED = "Overloaded"
    SERVER_FAILED = "ServerFailed"
    UNREACHABLE = "Unreachable"
    STREAM_INTERRUPTED = "StreamInterrupted"
    TIMEOUT = "Timeout"
    # ours
    THROTTLED = "Throttled"
    SATURATED = "Saturated"
    WORKER_STOPPING = "WorkerStopping"
    WORKER_LOST = "WorkerLost"
    STOPPED = "Stopped"
    INVALID_OUTPUT = "InvalidOutput"
    UNAVAILABLE = "Unavailable"
    NOT_KEPT = "NotKept"
    UNRENDERED = "Unrendered"
    INTERNAL = "Internal"


FINAL_KINDS = frozenset(
    {
        FailureKind.AUTHENTICATION_FAILED,
        FailureKind.INVALID_REQUEST,
        FailureKind.MODEL_NOT_FOUND,
        FailureKind.CONTEXT_TOO_LONG,
        FailureKind.CONTENT_REFUSED,
        FailureKind.UNAVAILABLE,
    }
)
"""A second try on the same candidate would end the same way."""

RUN_FAILED = "RunFailed"
"""`type` of the error that a failed run's workflow ends with."""
