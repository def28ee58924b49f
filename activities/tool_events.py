"""A tool call's events for viewers: started, progress, then completed or failed.

They go to the spool, small and clean: what a call was given and gave is shown cut. A tool that
reports without end is heard ten times a second, and some hundreds of times in all.
"""

import time
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from temporalio import activity

from contracts.base import Json
from contracts.tools import ToolEventRecord, ToolOutcome, ToolRequest, spool_agent
from rules.toolresults import clean, cut
from stores.spooling import SpoolWriter

SHOWN_CHARS = 1_000
MESSAGE_CHARS = 500
BETWEEN_S = 0.1
MOST_PROGRESS = 500
TRIES_A_ROUND = 100
"""Activity tries within one of the workflow's: so later ones always have higher numbers."""


class ToolEvents:
    """Tells of one try of a call. Never raises."""

    def __init__(self, spools: SpoolWriter, request: ToolRequest) -> None:
        self._spools, self._request = spools, request
        self._seq = 0
        self._told, self._last = 0, float("-inf")

    def go_on(self) -> None:
        """Tell of the end only: another activity told of the beginning."""
        self._seq = MOST_PROGRESS

    def started(self, arguments: Json) -> None:
        """Tell that the call begins."""
        self._tell("started", {"parameters": shown(arguments)})

    def progress(self, message: str, fraction: float | None) -> None:
        """Tell what the tool reports, unless it does so too often."""
        now = time.monotonic()
        if self._told >= MOST_PROGRESS or now - self._last < BETWEEN_S:
            return
        self._told, self._last = self._told + 1, now
        data: dict[str, Json] = {"message": cut(clean(message), MESSAGE_CHARS)}
        if fraction is not None:
            data["fraction"] = fraction
        self._tell("progress", data)

    def ended(self, outcome: ToolOutcome) -> None:
        """Tell what came of it."""
        data: dict[str, Json] = {"execution_time": round(outcome.execution_time, 3)}
        if outcome.status == "completed":
            self._tell("completed", {**data, "result": outcome.text.preview})
        else:
            error = cut(outcome.error or "", SHOWN_CHARS)
            self._tell("failed", {**data, "error": error, "kind": str(outcome.error_kind)})

    def _tell(
        self, event: Literal["started", "progress", "completed", "failed"], data: dict[str, Json]
    ) -> None:
        request = self._request
        attempt = (request.attempt - 1) * TRIES_A_ROUND + activity.info().attempt
        record = ToolEventRecord(
            event=event,
            tool=request.name,
            call_id=request.call_id,
            at=datetime.now(UTC),
            data=data,
        )
        agent = spool_agent(request.unit, request.call_id)
        self._spools.tell(request.run_id, agent, attempt, self._seq, record)
        self._seq += 1


def shown(arguments: Any) -> Json:
    """Return arguments as they are where they are small, else the beginning of their JSON."""
    text = orjson.dumps(arguments, default=str).decode()
    return arguments if len(text) <= SHOWN_CHARS else cut(clean(text), SHOWN_CHARS)
