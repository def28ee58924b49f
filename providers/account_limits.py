"""The port to an account's limits: ask before a request, say how it ended.

`providers.accounts` opens them: kept by a process for itself, or shared in Redis.
"""

from abc import ABC, abstractmethod

from providers.exceptions import ExecutionPlatformError


class LimitsUnreachable(ExecutionPlatformError):
    """The shared limits cannot be asked now: nothing may be sent, and it may pass."""


class AccountLimits(ABC):
    """The limits of one provider account. Calls are known by names of their own.

    Whoever was admitted says `ended` or `give_back`, whatever happened.
    """

    @abstractmethod
    async def admit(self, call: str, tokens: int) -> float:
        """Return the seconds until the call may be made; 0.0 for now: it counts as open.

        The first question books a turn, and a later one under the same name finds it again. When
        cancelled, nothing stays booked. Raises NeverAdmitted for a call that no wait would let
        pass, LimitsUnreachable.
        """

    @abstractmethod
    async def ended(self, call: str, used: int | None) -> None:
        """Say that an admitted call has ended. The tokens used count instead of those booked.

        None: not known. Best effort, never raises: an answer was paid for. What was open is freed
        by itself after a while.
        """

    @abstractmethod
    async def give_back(self, call: str) -> None:
        """Say that a call is not made after all, whether it waits or was admitted. As `ended`."""

    async def aclose(self) -> None:  # noqa: B027
        """Give back connections, if there are any."""
