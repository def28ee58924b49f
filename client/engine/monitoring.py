"""Monitoring as seed 004 writes it: events come in, counters and the last events come out.

Every event is kept (the last 10,000), written to the log where `enable_logging` says so, and
counted where `enable_metrics` does. The engine records what it sees of its runs; anyone may
record more.
"""

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from client.engine.agents import positive

log = logging.getLogger("callboard.engine.monitor")

KEPT = 10_000
"""Events that are kept."""

WORKFLOW_STARTED = "workflow_started"
WORKFLOW_COMPLETED = "workflow_completed"
WORKFLOW_PARTIALLY_COMPLETED = "workflow_partially_completed"
WORKFLOW_FAILED = "workflow_failed"
WORKFLOW_CANCELLED = "workflow_cancelled"
WORKFLOW_WAITS = "workflow_waits_for_money"
BUDGET_RAISED = "budget_raised"
AGENT_STARTED = "agent_started"
AGENT_COMPLETED = "agent_completed"
AGENT_FAILED = "agent_failed"
AGENT_CANCELLED = "agent_cancelled"
ATTEMPT_FAILED = "attempt_failed"

_WORKFLOW_ENDS = (
    WORKFLOW_COMPLETED,
    WORKFLOW_PARTIALLY_COMPLETED,
    WORKFLOW_FAILED,
    WORKFLOW_CANCELLED,
)
_WARNED = (WORKFLOW_FAILED, AGENT_FAILED, ATTEMPT_FAILED, WORKFLOW_WAITS)
_AGENT_ENDS = (AGENT_COMPLETED, AGENT_FAILED, AGENT_CANCELLED)


@dataclass
class MonitorConfig:
    """Monitoring configuration.

    `metrics_interval` is how often, in seconds, the engine writes its metrics to the log.
    """

    enable_metrics: bool = True
    enable_logging: bool = True
    metrics_interval: float = 60.0

    def __post_init__(self) -> None:
        if not positive(self.metrics_interval):
            raise ValueError(
                f"metrics_interval must be more than 0 seconds, not {self.metrics_interval!r}"
            )


class Monitor:
    """Monitoring and observability."""

    def __init__(
        self, config: MonitorConfig | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.config = config or MonitorConfig()
        self._clock = clock
        self._since = clock()
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._counts: Counter[str] = Counter()
        self._cost = Decimal(0)
        self._tokens = 0
        self._agent_seconds = 0.0
        self._workflow_seconds = 0.0

    def record_event(
        self,
        event_type: str,
        agent_id: str | None = None,
        workflow_id: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        """Record an event.

        Of `data`, the ends of agents add `cost` (dollars), `tokens` and `execution_time`
        (seconds) to the metrics, and the ends of workflows `execution_time`.
        """
        data = dict(data or {})
        self._events.append(
            {
                "event_type": event_type,
                "timestamp": datetime.now(UTC).isoformat(),
                "agent_id": agent_id,
                "workflow_id": workflow_id,
                "data": data,
            }
        )
        if self.config.enable_metrics:
            self._count(event_type, data)
        if self.config.enable_logging:
            level = logging.WARNING if event_type in _WARNED else logging.DEBUG
            log.log(level, "%s %s", event_type, _details(agent_id, workflow_id, data))

    def _count(self, event_type: str, data: dict[str, Any]) -> None:
        self._counts[event_type] += 1
        seconds = _number(data.get("execution_time"))
        if event_type in _AGENT_ENDS:
            self._cost += Decimal(str(_number(data.get("cost"))))
            self._tokens += int(_number(data.get("tokens")))
        if event_type == AGENT_COMPLETED:
            self._agent_seconds += seconds
        elif event_type in _WORKFLOW_ENDS:
            self._workflow_seconds += seconds

    def get_metrics(self) -> dict[str, Any]:
        """Return all metrics, flat: counts, dollars, tokens, seconds."""
        counts = self._counts
        return {
            "uptime_seconds": self._clock() - self._since,
            "workflows_started": counts[WORKFLOW_STARTED],
            "workflows_completed": counts[WORKFLOW_COMPLETED],
            "workflows_partially_completed": counts[WORKFLOW_PARTIALLY_COMPLETED],
            "workflows_failed": counts[WORKFLOW_FAILED],
            "workflows_cancelled": counts[WORKFLOW_CANCELLED],
            "agents_started": counts[AGENT_STARTED],
            "agents_completed": counts[AGENT_COMPLETED],
            "agents_failed": counts[AGENT_FAILED],
            "agents_cancelled": counts[AGENT_CANCELLED],
            "failed_attempts": counts[ATTEMPT_FAILED],
            "total_cost": float(self._cost),
            "total_tokens": self._tokens,
            "events": counts.total(),
        }

    def get_summary(self) -> dict[str, Any]:
        """Return the system at a glance. Rates are in percent of what has ended, times in seconds.

        A workflow that completed partially counts as ended, not as a success.
        """
        metrics = self.get_metrics()
        ended = sum(self._counts[name] for name in _WORKFLOW_ENDS)
        agents = sum(self._counts[name] for name in (AGENT_COMPLETED, AGENT_FAILED))
        done = metrics["agents_completed"]
        return {
            "uptime_seconds": metrics["uptime_seconds"],
            "workflows": {
                "started": metrics["workflows_started"],
                "completed": metrics["workflows_completed"],
                "partially_completed": metrics["workflows_partially_completed"],
                "failed": metrics["workflows_failed"],
                "cancelled": metrics["workflows_cancelled"],
                "running": max(0, metrics["workflows_started"] - ended),
                "success_rate": _percent(metrics["workflows_completed"], ended),
                "avg_execution_time": self._workflow_seconds / ended if ended else 0.0,
            },
            "agents": {
                "started": metrics["agents_started"],
                "completed": done,
                "failed": metrics["agents_failed"],
                "cancelled": metrics["agents_cancelled"],
                "failed_attempts": metrics["failed_attempts"],
                "success_rate": _percent(done, agents),
                "avg_execution_time": self._agent_seconds / done if done else 0.0,
            },
            "total_cost": metrics["total_cost"],
            "total_tokens": metrics["total_tokens"],
        }

    def get_recent_events(
        self, count: int = 100, event_type: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the last `count` events, oldest first, of one type or of all."""
        if count <= 0:
            return []
        events = [e for e in self._events if event_type in (None, e["event_type"])]
        return [dict(event) for event in events[-count:]]

    def publish(self) -> None:
        """Write the metrics to the log, where both metrics and logging are on."""
        if self.config.enable_metrics and self.config.enable_logging:
            log.info("metrics %s", self.get_metrics())


def _details(agent_id: str | None, workflow_id: str | None, data: dict[str, Any]) -> str:
    named = {"workflow": workflow_id, "agent": agent_id, **data}
    return " ".join(f"{name}={value}" for name, value in named.items() if value is not None)


def _number(value: object) -> float:
    """Return a number that sums can take; 0 for all else, since anyone may record events."""
    try:
        number = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0
