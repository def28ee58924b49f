"""Spans of conversations and of runs: parents, attributes, times; nothing that was said."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from client.chat.spans import Spans
from client.run_spans import RunSpans
from contracts.agents import AgentModel, AgentSpec
from contracts.artifacts import ArtifactRef, Value
from contracts.chats import ToolRecord, TurnResult
from contracts.messages import Usage
from contracts.runs import AttemptRecord, RunRecord, StepResult
from contracts.teams import AgentStatus, WorkflowStatus
from contracts.tools import ToolError

pytestmark = pytest.mark.unit

BEGAN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECRET = "sk-secret and the prompt"


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


class Telemetry:
    """A program's own telemetry, kept in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.provider.shutdown()


def parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def own(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def seconds(span: ReadableSpan) -> tuple[float, float]:
    assert span.start_time is not None
    assert span.end_time is not None
    zero = BEGAN.timestamp()
    return round(span.start_time / 1e9 - zero, 3), round(span.end_time / 1e9 - zero, 3)


AGENT = AgentSpec(name="helper", model=AgentModel(provider="openai"), instructions=SECRET)


def tool(name: str, **more: Any) -> ToolRecord:
    return ToolRecord.model_validate(
        {
            "call_id": f"call-{name}",
            "name": name,
            "arguments": Value(preview=SECRET, inline={"key": SECRET}),
            "status": "completed",
            "text": Value(preview=SECRET),
            "started_at": at(1),
            "ended_at": at(2),
            **more,
        }
    )


def turn(**more: Any) -> TurnResult:
    return TurnResult.model_validate(
        {
            "turn": 3,
            "status": AgentStatus.COMPLETED,
            "output": Value(preview=SECRET),
            "usage": Usage(100, 50),
            "cost": Decimal("0.25"),
            "attempts": 2,
            "provider": "openai",
            "model": "gpt-4",
            "finish_reason": "stop",
            "started_at": at(0),
            "ended_at": at(5),
            **more,
        }
    )


def test_C33_one_span_a_turn_and_one_a_tool(telemetry: Telemetry) -> None:
    failed = tool("fetch", status="failed", error=SECRET, error_kind=ToolError.RAISED)
    tracer = telemetry.provider.get_tracer("program")
    with tracer.start_as_current_span("request") as outer:
        Spans(AGENT, telemetry.provider).note("chat-1", turn(tools=(tool("read"), failed)))
    spans = telemetry.spans()
    assert set(spans) == {
        "request",
        "invoke_agent helper",
        "execute_tool read",
        "execute_tool fetch",
    }
    whole = spans["invoke_agent helper"]
    assert parent(whole) == outer.get_span_context().span_id
    assert parent(spans["execute_tool read"]) == parent(spans["execute_tool fetch"]) == own(whole)
    assert dict(whole.attributes or {}) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "helper",
        "gen_ai.conversation.id": "chat-1",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "gpt-4",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 50,
        "callboard.turn": 3,
        "callboard.status": "completed",
        "callboard.cost": 0.25,
        "callboard.attempts": 2,
    }
    assert dict(spans["execute_tool read"].attributes or {}) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "read",
        "gen_ai.tool.call.id": "call-read",
        "callboard.status": "completed",
    }
    assert seconds(whole) == (0.0, 5.0)
    assert seconds(spans["execute_tool read"]) == (1.0, 2.0)
    assert whole.status.is_unset
    assert not spans["execute_tool fetch"].status.is_ok
    assert spans["execute_tool fetch"].status.description == ToolError.RAISED


def test_C33_a_turn_without_an_answer_names_its_kind_only(telemetry: Telemetry) -> None:
    result = turn(status=AgentStatus.FAILED, kind="ServerFailed", error=SECRET, partial_text=SECRET)
    Spans(AGENT, telemetry.provider).note("chat-1", result)
    (span,) = telemetry.spans().values()
    assert span.status.description == "ServerFailed"
    assert (span.attributes or {})["error.type"] == "ServerFailed"


RUN = RunRecord(
    run_id="run-1",
    team="research",
    status=WorkflowStatus.PARTIALLY_COMPLETED,
    plan=ArtifactRef(sha256="0" * 64, size_bytes=1),
    inputs={"text": Value(preview=SECRET)},
    budget=Decimal(1),
    cost=Decimal("0.5"),
    served=Decimal("0.5"),
    uncertain=Decimal(0),
    error=SECRET,
    started_at=at(0),
    completed_at=at(9),
    results=(
        StepResult(
            agent_id="write", status=AgentStatus.COMPLETED, started_at=at(1), completed_at=at(6),
            output=Value(preview=SECRET), cost=Decimal("0.5"),
        ),
        StepResult(
            agent_id="check", status=AgentStatus.FAILED, started_at=at(6), completed_at=at(8),
            error=SECRET,
        ),
        StepResult(agent_id="send"),
    ),
    attempts=(
        AttemptRecord(
            step="write", number=1, provider="openai", model="gpt-4", state="settled",
            reserved=Decimal(1), outcome="RateLimited", error=SECRET,
            started_at=at(1), ended_at=at(2),
        ),
        AttemptRecord(
            step="write", number=2, provider="anthropic", model="opus", state="settled",
            reserved=Decimal(1), cost=Decimal("0.5"), usage=Usage(10, 5), outcome="completed",
            max_tokens=256, response_id="r-2", started_at=at(2), ended_at=at(6),
        ),
        AttemptRecord(
            step="check", number=1, provider="openai", model="o1", state="released",
            reserved=Decimal(1), outcome="Unreachable",
        ),
    ),
)  # fmt: skip


def test_a_runs_agents_are_below_it_and_their_attempts_below_them(telemetry: Telemetry) -> None:
    RunSpans(provider=telemetry.provider).note(RUN)
    spans = telemetry.spans()
    assert set(spans) == {
        "invoke_workflow research", "invoke_agent write", "invoke_agent check",
        "chat gpt-4", "chat opus",
    }  # fmt: skip
    run, write = spans["invoke_workflow research"], spans["invoke_agent write"]
    assert parent(run) is None
    assert parent(write) == parent(spans["invoke_agent check"]) == own(run)
    assert parent(spans["chat gpt-4"]) == parent(spans["chat opus"]) == own(write)
    assert (seconds(run), seconds(spans["chat opus"])) == ((0.0, 9.0), (2.0, 6.0))
    assert spans["chat opus"].kind is trace.SpanKind.CLIENT
    assert dict(spans["chat opus"].attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "opus",
        "gen_ai.request.max_tokens": 256,
        "gen_ai.response.id": "r-2",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "callboard.attempt": 2,
        "callboard.cost": 0.5,
    }
    assert (run.attributes or {})["callboard.run"] == "run-1"
    assert spans["chat gpt-4"].status.description == "RateLimited"
    assert spans["chat opus"].status.is_unset


def test_no_span_holds_what_was_said_or_an_errors_text(telemetry: Telemetry) -> None:
    tools = (tool("a", status="failed", error=SECRET, error_kind=ToolError.RAISED), tool("b"))
    notes = (SECRET,)
    failed = turn(status=AgentStatus.FAILED, error=SECRET, partial_text=SECRET, notes=notes)
    Spans(AGENT, telemetry.provider).note("chat-1", turn(tools=tools, notes=notes))
    Spans(AGENT, telemetry.provider).note("chat-1", failed)
    RunSpans(provider=telemetry.provider).note(RUN)
    exported = telemetry.exporter.get_finished_spans()
    assert len(exported) == 2 + 2 + 5
    assert not [span.name for span in exported if "secret" in span.to_json()]


class Broken(TracerProvider):
    """Telemetry that fails in the program's own code."""

    def get_tracer(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("no telemetry today")


class BrokenExporter(SpanExporter):
    """Telemetry whose way out fails."""

    def export(self, spans: Any) -> NoReturn:
        raise RuntimeError("the collector is away")


def test_telemetry_that_fails_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    spans, runs = Spans(AGENT, Broken()), RunSpans(provider=Broken())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            spans.note("chat-1", turn())
            runs.note(RUN)
    assert [record.message for record in caplog.records] == [
        "a turn has no span: RuntimeError",
        "a run has no spans: RuntimeError",
    ]


def test_an_exporter_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(BrokenExporter()))
    Spans(AGENT, provider).note("chat-1", turn())
    RunSpans(provider=provider).note(RUN)
    provider.shutdown()
