"""Spans of runs and turns that commands follow, sent to a collector that the environment names."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from client.cli.telemetry import exporter_wanted, note_run, note_turn
from client.devserver.server import server_environment
from contracts.agents import AgentModel, AgentSpec
from contracts.artifacts import ArtifactRef
from contracts.chats import TurnResult
from contracts.runs import RunRecord, StepResult
from contracts.teams import AgentStatus, WorkflowStatus

pytestmark = pytest.mark.unit

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ENDED = BEGAN + timedelta(seconds=2)
RUN = RunRecord(
    run_id="two-1", team="two", status=WorkflowStatus.COMPLETED,
    plan=ArtifactRef(sha256="0" * 64, size_bytes=1), cost=Decimal("0.01"),
    served=Decimal("0.01"), uncertain=Decimal(0), budget=Decimal(1),
    started_at=BEGAN, completed_at=ENDED,
    results=(
        StepResult(
            agent_id="draft", status=AgentStatus.COMPLETED, started_at=BEGAN, completed_at=ENDED
        ),
    ),
)  # fmt: skip
AGENT = AgentSpec(name="helper", model=AgentModel(provider="openai"), instructions="Be kind.")
TURN = TurnResult(turn=3, status=AgentStatus.COMPLETED, started_at=BEGAN, ended_at=ENDED)


class Collector:
    """Takes spans over HTTP, as OpenTelemetry's collector does."""

    def __init__(self) -> None:
        self.took: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                collector.took.append(ExportTraceServiceRequest.FromString(raw))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def spans(self) -> list[Any]:
        return [
            span
            for request in self.took
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.mark.parametrize(
    ("env", "kind"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
    ],
)
def test_who_asks_for_spans(env: dict[str, str], kind: str) -> None:
    assert exporter_wanted(env) == kind


async def test_a_run_is_one_trace_whoever_notes_it(collector: Collector) -> None:
    await note_run(RUN)
    await note_run(RUN)
    spans = collector.spans()
    assert [span.name for span in spans] == ["invoke_agent draft", "invoke_workflow two"] * 2
    assert len({span.trace_id for span in spans}) == 1
    assert len({span.span_id for span in spans}) == 2
    (resource,) = collector.took[0].resource_spans
    named = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert named["service.name"] == "callboard"


async def test_a_turn_is_a_child_of_the_callers_span(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", f"00-{'ab' * 16}-{'cd' * 8}-01")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    await note_turn(AGENT, "talk", TURN)
    (span,) = collector.spans()
    assert span.name == "invoke_agent helper"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == ("ab" * 16, "cd" * 8)
    (resource,) = collector.took[0].resource_spans
    named = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert named["service.name"] == "mine"


async def test_a_collector_that_is_away_is_a_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    await note_run(RUN)
    (said,) = capsys.readouterr().err.splitlines()
    assert "the collector of OpenTelemetry took no spans" in said
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    await note_run(RUN)
    assert "OTEL_TRACES_EXPORTER=zipkin" in capsys.readouterr().err


async def test_spans_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    await note_run(RUN)
    told = capsys.readouterr()
    assert told.out == ""
    assert "invoke_workflow two" in told.err


def test_the_embedded_server_is_not_asked_for_spans() -> None:
    env = {"OTEL_TRACES_EXPORTER": "console", "PATH": "/bin"}
    assert server_environment(env) == {"PATH": "/bin"}
