"""Measures handlers beside their work: what is measured, and whether that works, changes nothing.

A reporter that raises is logged once and asked again the next time.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from contracts.execution import Telemetry

log = logging.getLogger("callboard.execution")


class Reporter(Protocol):
    """Takes measurements to wherever they are looked at."""

    def record(self, name: str, seconds: float) -> None:
        """Take the seconds that a handler or stage took."""
        ...


class Collector:
    """Durations by handler and stage of one execution. Off, it gives no telemetry at all."""

    def __init__(
        self,
        reporter: Reporter | None = None,
        *,
        on: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._reporter, self._on, self._clock = reporter, on, clock
        self._durations: dict[str, float] = {}

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure a block."""
        begun = self._clock()
        try:
            yield
        finally:
            self.add({name: self._clock() - begun})

    def add(self, durations: Mapping[str, float]) -> None:
        """Take measurements, and report them."""
        if not self._on:
            return
        for name, seconds in durations.items():
            self._durations[name] = self._durations.get(name, 0.0) + seconds
            self._report(name, seconds)

    def _report(self, name: str, seconds: float) -> None:
        if self._reporter is None:
            return
        try:
            self._reporter.record(name, seconds)
        except Exception as error:  # telemetry is best effort
            log.warning("a telemetry reporter failed: %s", type(error).__name__)

    def telemetry(self, before: Telemetry | None = None) -> Telemetry | None:
        """Return all measurements, on top of earlier ones; None where nothing is measured."""
        if not self._on:
            return before
        earlier = before.durations if before is not None else {}
        return Telemetry(durations={**earlier, **self._durations})
