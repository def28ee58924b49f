"""Seed 002's handler in one process: its stages, batches, and what is only observed."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import pytest

from client.execution import (
    APICall,
    APIHandler,
    CallSettings,
    ExecutionPlan,
    ExecutionResult,
    FilePlaceholder,
    FileRefPart,
    ResultBuilder,
    TextPart,
    TokenEstimate,
    UploadTask,
    describe_file,
)
from contracts.messages import Message, Usage
from providers.exceptions import (
    InvalidRequest,
)
from providers.simulated import SimulatedClient
from tests.execution.fakes import CachingClient, FakeClient, UploadingClient, Waits
from tests.execution.handling import TEXT, execute, fail, plan, slow_down, with_file

pytestmark = pytest.mark.unit


async def test_B1_plain_text_only_generates() -> None:
    client = CachingClient()
    done = await execute(client, plan())
    assert (len(client.requests), client.uploads, client.caches) == (1, [], [])
    result = ResultBuilder().handle(done)
    assert result.telemetry is not None
    durations = result.telemetry.durations
    own = {"kept", "upload", "cache", "generation"}
    assert set(durations) == own | {"APIHandler", "ResultBuilder"}
    assert durations["generation"] > 0
    assert durations["upload"] == durations["cache"] == 0


async def test_B2_placeholders_become_references_where_they_stood(paper: Path) -> None:
    client = UploadingClient()
    made = with_file(paper, UploadTask(part_index=1))
    before = made.model_dump_json()
    await execute(client, made)
    (request,) = client.requests
    reference = FileRefPart(uri="file-1", mime_type="application/pdf", name="paper.pdf")
    assert request.messages == [Message("user", "", parts=(TEXT, reference))]
    assert made.model_dump_json() == before
    assert client.uploads == [(b"%PDF the paper", "application/pdf", "paper.pdf")]


async def test_B3_one_file_is_uploaded_once(paper: Path) -> None:
    client = UploadingClient()
    file = describe_file(paper)
    parts = (TEXT, FilePlaceholder(index=0), FilePlaceholder(index=1))
    call = APICall(model="m", parts=parts)
    tasks = tuple(UploadTask(part_index=at, call=c) for at in (1, 2) for c in (0, 1))
    await execute(client, ExecutionPlan(calls=(call, call), files=(file, file), upload_tasks=tasks))
    assert len(client.uploads) == 1
    sent = [part.uri for r in client.requests for part in r.messages[0].parts[1:]]
    assert sent == ["file-1"] * 4


async def test_B4_a_required_upload_without_the_capability_fails(paper: Path) -> None:
    client = FakeClient()
    failure = await fail(client, with_file(paper, UploadTask(part_index=1)))
    assert "Uploads required but not supported" in failure.message
    assert "paper.pdf" in failure.message
    assert client.requests == []


async def test_B5_an_optional_upload_without_the_capability_is_skipped(paper: Path) -> None:
    client = FakeClient()
    done = await execute(client, with_file(paper, UploadTask(part_index=1, required=False)))
    assert any(note.startswith("upload skipped: ") for note in done.diagnostics)
    text, file = client.requests[0].messages[0].parts
    assert (text, file.kind) == (TEXT, "file_inline")


@pytest.mark.parametrize("index", [7, -1])
async def test_B6_a_task_out_of_range(index: int) -> None:
    client = UploadingClient()
    failure = await fail(client, plan(upload_tasks=(UploadTask(part_index=index),)))
    assert f"part {index} of call 0, which is out of range" in failure.message
    assert client.requests == []
    optional = UploadTask(part_index=index, required=False)
    done = await execute(client, plan(upload_tasks=(optional,)))
    assert client.uploads == []
    assert any("name no file" in note for note in done.diagnostics)


async def test_B7_an_index_counts_within_the_calls_own_parts(paper: Path) -> None:
    client = UploadingClient()
    shared = TextPart(text="shared")
    await execute(client, with_file(paper, UploadTask(part_index=1), shared_parts=(shared,)))
    parts = client.requests[0].messages[0].parts
    assert [part.kind for part in parts] == ["text", "text", "file_ref"]
    assert parts[0] == shared


@pytest.mark.parametrize("tasks", [(), (UploadTask(part_index=2),)])
async def test_B8_placeholders_without_a_task_are_optional_uploads(
    paper: Path, tasks: tuple[UploadTask, ...]
) -> None:
    other = paper.with_name("other.pdf")
    other.write_bytes(b"%PDF another")
    parts = (TEXT, FilePlaceholder(index=0), FilePlaceholder(index=1))
    files = (describe_file(paper), describe_file(other))
    client = UploadingClient()
    made = plan(*parts, files=files, upload_tasks=tasks)
    await execute(client, made)
    assert len(client.uploads) == 2
    kinds = [part.kind for part in client.requests[0].messages[0].parts]
    assert kinds == ["text", "file_ref", "file_ref"]
    if not tasks:
        without = FakeClient()
        await execute(without, made)
        kinds = [part.kind for part in without.requests[0].messages[0].parts]
        assert kinds == ["text", "file_inline", "file_inline"]


def batch(count: int, **more: Any) -> ExecutionPlan:
    calls = [APICall(model="m", parts=(TextPart(text=f"Question {n}"),)) for n in range(count)]
    return ExecutionPlan(calls=tuple(calls), **more)


async def test_B33_one_of_a_batch_may_fail() -> None:
    def turn(request: Any) -> Any:
        text = request.messages[0].content
        return InvalidRequest("not that", status=400) if "1" in text else f"To {text}"

    done = await execute(FakeClient(turn), batch(3))
    assert [r.text for r in done.results] == ["To Question 0", "", "To Question 2"]
    failure = done.results[1].failure
    assert failure is not None
    assert (failure.index, "not that" in failure.message) == (1, True)
    result = ResultBuilder().handle(done)
    assert (result.ok, list(result.failures)) == (False, [1])
    assert result.answers == ("To Question 0", "", "To Question 2")


@pytest.mark.parametrize(
    ("more", "config", "most"),
    [({}, None, 4), ({"concurrency": 3}, 1, 3), ({}, 2, 2), ({"rate_constrained": True}, 4, 1)],
)
async def test_B26_so_many_calls_are_open(
    more: dict[str, Any], config: int | None, most: int
) -> None:
    client = FakeClient(seconds=0.02)
    await execute(client, batch(4, **more), concurrency=config)
    assert client.most_open == most


async def test_B24_an_estimate_is_only_observed() -> None:
    estimate = TokenEstimate(min=10, expected=50, max=100)
    done = await execute(FakeClient(usage=Usage(500, 1)), plan(token_estimate=estimate))
    observed = done.token_validation
    assert observed is not None
    assert (observed.min, observed.expected, observed.max) == (10, 50, 100)
    assert (observed.actual, observed.in_range) == (500, False)


class Reporting:
    """Takes everything, or raises."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.seen: list[str] = []

    def record(self, name: str, seconds: float) -> None:
        if self.fails:
            raise RuntimeError("the collector is down")
        self.seen.append(name)


async def test_B25_telemetry_changes_nothing() -> None:
    seen = Reporting()
    ways: list[Any] = [False, True, seen, Reporting(fails=True)]
    done = [await execute(FakeClient(), plan(), telemetry=way) for way in ways]
    assert all(d.payload == done[0].payload for d in done)
    assert done[0].telemetry is None
    assert "generation" in seen.seen
    built: list[ExecutionResult] = [
        ResultBuilder(telemetry=way).handle(d) for way, d in zip(ways, done, strict=True)
    ]
    plain = [result.model_copy(update={"telemetry": None}) for result in built]
    assert all(result == plain[0] for result in plain)


@pytest.mark.parametrize("bad", [{"upload": True}, {"uploads": "yes"}, {"caching": 1}])
async def test_B29_a_capability_that_is_none(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="capability"):
        APIHandler(FakeClient(), capabilities=bad)


async def test_B29_a_capability_can_be_switched_off(paper: Path) -> None:
    client = UploadingClient()
    failure = await fail(
        client, with_file(paper, UploadTask(part_index=1)), capabilities={"uploads": False}
    )
    assert "Uploads required but not supported" in failure.message
    assert client.uploads == []


async def test_a_file_that_changed_or_went_is_named(paper: Path) -> None:
    made = with_file(paper, UploadTask(part_index=1))
    paper.write_bytes(b"%PDF the qaper")
    client = UploadingClient()
    failure = await fail(client, made)
    assert "paper.pdf has changed since it was planned" in failure.message
    paper.unlink()
    failure = await fail(client, made)
    assert "paper.pdf cannot be read" in failure.message
    assert (client.uploads, client.requests) == ([], [])


async def test_what_failed_on_the_way_is_told_and_counted() -> None:
    paid = {"usage": Usage(100, 7), "usage_final": True}
    first = FakeClient(slow_down(), InvalidRequest("no", status=400, **paid))
    made = plan(fallback=plan(provider="second"))
    done = await execute(
        first, made, providers={"second": FakeClient("Mine.")}, sleep=Waits().sleep
    )
    (result,) = done.results
    assert [(e.provider, e.kind) for e in result.tries] == [
        ("fake", "RateLimited"),
        ("fake", "InvalidRequest"),
    ]
    metrics = ResultBuilder().handle(done).metrics
    assert metrics.total_tokens == 107 + 150


async def test_tokens_are_counted_where_the_provider_counts() -> None:
    made = plan(shared_parts=(TextPart(text="The book"),))
    counted = await APIHandler(SimulatedClient()).count_tokens(made)
    assert counted is not None
    assert counted.confidence == 1.0
    done = await execute(
        SimulatedClient(tokens_per_second=0), made.model_copy(update={"token_estimate": counted})
    )
    assert done.token_validation is not None
    assert done.token_validation.in_range
    assert await APIHandler(FakeClient()).count_tokens(made) is None


async def test_settings_reach_the_request() -> None:
    client = FakeClient()
    settings = CallSettings(system="Be brief.", max_tokens=9, stop=("END",), temperature=0.5)
    made = ExecutionPlan(calls=(APICall(model="m", parts=(TEXT,), settings=settings),))
    await execute(client, made)
    asked = dataclasses.asdict(client.requests[0])
    wanted: dict[Literal["system", "max_tokens", "stop", "temperature"], Any] = {
        "system": "Be brief.",
        "max_tokens": 9,
        "stop": ["END"],
        "temperature": 0.5,
    }
    assert {name: asked[name] for name in wanted} == wanted
