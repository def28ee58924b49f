"""Why work waits for money: each waits for its own, and the latest is what a person is told."""

from collections.abc import Iterator
from contextlib import contextmanager


class MoneyWaits:
    """What is waited for, in the order in which the waiting began."""

    def __init__(self) -> None:
        self._whys: dict[object, str] = {}

    @property
    def latest(self) -> str | None:
        """Why the last one waits, or None where nobody does."""
        return next(reversed(self._whys.values()), None)

    @contextmanager
    def waited_for(self, why: str) -> Iterator[None]:
        """Wait within the context."""
        mine = object()
        self._whys[mine] = why
        try:
            yield
        finally:
            del self._whys[mine]
