"""Spans of what a command followed, sent where OpenTelemetry's own variables name a collector.

`OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) or `OTEL_TRACES_EXPORTER` (otlp, console)
ask for them; `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, headers and time limits mean what
they always do, and `TRACEPARENT` names the span that all of them are children of. Nothing of
OpenTelemetry is imported where nobody asks.

Best effort: a collector that is away, or a package that is not installed, is a note on stderr. The
ids of a run's spans follow from its id: noted twice, by two who followed it, it is one trace.
"""

import asyncio
import logging
import os
import random
import sys
from collections.abc import Callable, Mapping
from typing import Any

from client.cli.console import say
from contracts.agents import AgentSpec
from contracts.chats import TurnResult
from contracts.runs import RunRecord

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
TIME_LIMITS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
TIMEOUT_S = 3.0
"""For a collector, where the environment names no limit: people wait for it."""

SERVICE = "callboard"
KINDS = ("otlp", "console")


def exporter_wanted(env: Mapping[str, str] = os.environ) -> str:
    """Return which exporter the environment asks for; "" for none."""
    if env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    named = env.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if named:
        return "" if named == "none" else named
    return "otlp" if any(env.get(name) for name in ENDPOINTS) else ""


async def note_run(record: RunRecord) -> None:
    """Send the spans of a run that has ended, where somebody wants them. Never raises."""

    def note(provider: Any) -> None:
        from client.run_spans import RunSpans

        RunSpans(SERVICE, provider).note(record)

    await _noted(record.run_id, note)


async def note_turn(agent: AgentSpec, chat_id: str, result: TurnResult) -> None:
    """Send the spans of a turn that has ended, where somebody wants them. Never raises."""

    def note(provider: Any) -> None:
        from client.chat.spans import Spans

        Spans(agent, provider).note(chat_id, result)

    await _noted(f"{chat_id}/{result.turn}", note)


async def _noted(seed: str, note: Callable[[Any], None]) -> None:
    kind = exporter_wanted()
    if not kind:
        return
    if kind not in KINDS:
        known = " and ".join(KINDS)
        say(f"note: no spans were sent: OTEL_TRACES_EXPORTER={kind}; {known} are known")
        return
    try:
        await asyncio.to_thread(_send, kind, seed, note)
    except ImportError:
        say("note: no spans were sent: the packages are missing (uv sync --extra otel)")
    except Exception as error:  # telemetry is never why a command fails
        say(f"note: no spans were sent: {type(error).__name__}")


def _send(kind: str, seed: str, note: Callable[[Any], None]) -> None:
    """Make the spans, and send them all at once. What goes wrong is said by us, in one line."""
    from opentelemetry import context
    from opentelemetry.propagate import extract
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    exporter = _exporter(kind)
    made = InMemorySpanExporter()
    provider = TracerProvider(resource=_resource(), id_generator=_ids(seed))
    provider.add_span_processor(SimpleSpanProcessor(made))
    caller = {"traceparent": os.environ.get("TRACEPARENT", "")}
    token = context.attach(extract(caller))
    try:
        note(provider)
    finally:
        context.detach(token)
    try:
        sent = exporter.export(made.get_finished_spans())
    finally:
        exporter.shutdown()
    if sent is not SpanExportResult.SUCCESS:
        say("note: the collector of OpenTelemetry took no spans; its address is in the environment")


def _exporter(kind: str) -> Any:
    if kind == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    limited = any(os.environ.get(name) for name in TIME_LIMITS)
    return OTLPSpanExporter() if limited else OTLPSpanExporter(timeout=TIMEOUT_S)


def _resource() -> Any:
    from opentelemetry.sdk.resources import Resource

    named = os.environ.get("OTEL_SERVICE_NAME")
    return Resource.create({} if named else {"service.name": SERVICE})


def _ids(seed: str) -> Any:
    """Return what makes ids: the same ones for the same seed."""
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    chance = random.Random(seed)

    class Seeded(IdGenerator):
        def generate_span_id(self) -> int:
            return chance.getrandbits(64) or 1

        def generate_trace_id(self) -> int:
            return chance.getrandbits(128) or 1

    return Seeded()
