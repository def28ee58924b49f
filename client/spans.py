"""What makers of OpenTelemetry spans have in common: best effort, times of what happened, kinds.

Promises: OpenTelemetry is imported when a maker is made, and not before. No span holds what was
said, an error's text or a key. Telemetry that fails is logged once and changes nothing.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

logger = logging.getLogger(__name__)


class SpanMaker:
    """Makes spans by the tracer provider that the program has set up, or by the one given.

    `what` names what they are of, for the log. Raises ImportError without opentelemetry-api.
    """

    def __init__(self, what: str, service: str, provider: Any = None) -> None:
        from opentelemetry import trace

        self._trace: Any = trace
        self._what, self._service, self._provider = what, service, provider
        self._failed = False

    def _safely(self, make: Callable[[Any], None]) -> None:
        """Make spans by a tracer. Never raises."""
        try:
            # The provider is asked each time: the program may set it up after this was made.
            make(self._trace.get_tracer(self._service, tracer_provider=self._provider))
        except Exception as error:  # whatever the program's telemetry does, the work is done
            if not self._failed:
                logger.warning("%s: %s", self._what, type(error).__name__)
            self._failed = True

    def _begin(
        self,
        tracer: Any,
        name: str,
        began: datetime | None,
        attributes: dict[str, Any],
        within: Any = None,
        **more: Any,
    ) -> Any:
        """Begin a span, a child of the one that `within` is the context of."""
        at = nanoseconds(began)
        return tracer.start_span(name, context=within, start_time=at, attributes=attributes, **more)

    def _inside(self, span: Any) -> Any:
        """Return the context of a span's children."""
        return self._trace.set_span_in_context(span)

    def _fail(self, span: Any, kind: str) -> None:
        """Mark a span by the kind of its error: a text might quote what was said."""
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, kind))


def nanoseconds(at: datetime | None) -> int | None:
    """Return a time as OpenTelemetry counts it."""
    return int(at.timestamp() * 1_000_000_000) if at is not None else None
