"""Spans of a real conversation, by the tracer provider that a program sets up."""

import asyncio
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from client.chat import AgentExecutor, ConfigLoader
from client.chat.exceptions import AgentError
from providers.exceptions import ServerFailed
from tests.support.engines import FakeClient
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

AGENT = """\
name: helper
model: {provider: simulated, name: gpt-4, max_tokens: 50}
instructions: Keep the secret sk-4711.
execution: {max_retries: 0}
"""


async def test_C33_a_turn_is_a_span_below_the_callers(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_TEMPORAL_ADDRESS", server.address)
    monkeypatch.setenv("CALLBOARD_HOME", str(tmp_path / "home"))
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # Once for this process: nothing else of it makes spans unless it is asked to.
    trace.set_tracer_provider(provider)
    (tmp_path / "agent.yaml").write_text(AGENT)
    agent = ConfigLoader().load_agent(tmp_path / "agent.yaml")
    client = FakeClient("The answer sk-4712.")
    executor = AgentExecutor(agent, enable_observability=True, client=client)
    with trace.get_tracer("program").start_as_current_span("request") as outer:
        await executor.execute_turn("The question sk-4713")
        client.answer = ServerFailed("an error with sk-4714")
        with pytest.raises(AgentError):
            await executor.execute_turn("Once more")
    await executor.shutdown()
    good, bad, request = exporter.get_finished_spans()
    assert (good.name, bad.name, request.name) == (
        "invoke_agent helper", "invoke_agent helper", "request",
    )  # fmt: skip
    for span in (good, bad):
        assert span.parent is not None
        assert span.parent.span_id == outer.get_span_context().span_id
    assert (good.attributes or {})["gen_ai.usage.input_tokens"] == 100
    assert (bad.attributes or {})["error.type"] == "ServerFailed"
    assert not [span for span in (good, bad) if "sk-471" in span.to_json()]
    provider.shutdown()
    await asyncio.sleep(0.05)
