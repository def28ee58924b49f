"""What stands in the way of a call of an execution."""

from contracts.execution import ErrorInfo
from contracts.failures import FailureKind


class Refused(Exception):
    """A stage, or what it needed, stands in the way of a call."""

    def __init__(self, error: ErrorInfo) -> None:
        super().__init__(error.message)
        self.error = error


def refusal(message: str) -> Refused:
    """Return what to raise for a call that cannot be made as it was asked for."""
    return Refused(ErrorInfo(kind=FailureKind.INVALID_REQUEST, message=message))
