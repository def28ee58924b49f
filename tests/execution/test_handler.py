"""Seed 002's handler in one process: B1 to B33, one test a case, with providers that record."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any, Literal

import pytest

from client.execution import (
    APICall,
    APIHandler,
    CachePlan,
    CacheRef,
    CacheRegistry,
    CallSettings,
    ConversationPart,
    ExecutionPlan,
    ExecutionResult,
    Failure,
    FilePlaceholder,
    FileRefPart,
    FinalizedCommand,
    PlannedCommand,
    ResultBuilder,
    TextPart,
    TokenEstimate,
    UploadTask,
    describe_file,
)
from contracts.messages import Message, Usage
from providers.exceptions import (
    AuthenticationFailed,
    ContextTooLong,
    InvalidRequest,
    ProviderError,
    RateLimited,
    ServerFailed,
    TimeoutError,
)
from providers.simulated import SimulatedClient
from tests.execution.fakes import CachingClient, FakeClient, UploadingClient, Waits

pytestmark = pytest.mark.unit

TEXT = TextPart(text="Analyze")


def plan(*parts: Any, model: str = "m", **more: Any) -> ExecutionPlan:
    """A plan of one call."""
    return ExecutionPlan(calls=(APICall(model=model, parts=parts or (TEXT,)),), **more)


def shared_plan(**more: Any) -> ExecutionPlan:
    """A plan with shared parts that are cached."""
    more.setdefault("cache", CachePlan())
    return plan(shared_parts=(TextPart(text="The book"),), **more)


async def execute(client: Any, made: ExecutionPlan, **more: Any) -> FinalizedCommand:
    done = await APIHandler(client, **more).handle(PlannedCommand(plan=made))
    assert isinstance(done, FinalizedCommand), done
    return done


async def fail(client: Any, made: ExecutionPlan, **more: Any) -> Failure:
    done = await APIHandler(client, **more).handle(made)
    assert isinstance(done, Failure), done
    return done


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    file = tmp_path / "paper.pdf"
    file.write_bytes(b"%PDF the paper")
    return file


def with_file(paper: Path, *tasks: UploadTask, **more: Any) -> ExecutionPlan:
    parts = (TEXT, FilePlaceholder(index=0))
    return plan(*parts, files=(describe_file(paper),), upload_tasks=tasks, **more)


# Stages


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


# Caches


async def test_B10_two_runs_make_one_cache() -> None:
    client = CachingClient()
    handler = APIHandler(client)
    runs = await asyncio.gather(*(handler.handle(shared_plan()) for _ in range(2)))
    assert len(client.caches) == 1
    assert [request.cache_key for request in client.requests] == ["cache-1"] * 2
    applied = [run.results[0].cache.application for run in runs]  # type: ignore[union-attr]
    assert sorted(applied) == ["created", "reused"]
    # what the vendor keeps is not sent again
    assert all(r.messages == [Message("user", "Analyze")] for r in client.requests)
    assert client.caches[0].messages == [Message("user", "The book")]


async def test_a_vendor_that_wants_its_prefix_again_gets_it() -> None:
    client = CachingClient()
    client.resends_prefix = True  # type: ignore[attr-defined]
    await execute(client, shared_plan())
    (request,) = client.requests
    assert request.cache_key == "cache-1"
    assert [message.content for message in request.messages] == ["The book", "Analyze"]


async def test_B12_another_content_is_another_cache(tmp_path: Path) -> None:
    client, file = CachingClient(), tmp_path / "a.pdf"
    handler = APIHandler(client)
    for content in (b"%PDF one", b"%PDF two", b"%PDF one"):
        file.write_bytes(content)
        made = plan(
            shared_parts=(FilePlaceholder(index=0),),
            files=(describe_file(file),),
            cache=CachePlan(),
        )
        await handler.handle(made)
    assert len(client.caches) == 2
    assert [r.cache_key for r in client.requests] == ["cache-1", "cache-2", "cache-1"]


def overriding(name: str) -> ExecutionPlan:
    call = APICall(model="m", parts=(TEXT,), cache_name=name, cache_application="override")
    return ExecutionPlan(calls=(call,))


async def test_B13_a_cache_of_the_callers_own() -> None:
    client = FakeClient()
    done = await execute(client, overriding("c-1"))
    assert client.requests[0].cache_key == "c-1"
    assert done.results[0].cache == CacheRef(name="c-1", application="override")
    done = await execute(client, overriding("  "))
    assert client.requests[1].cache_key is None
    assert done.results[0].cache is None


async def test_B14_reuse_only_makes_none() -> None:
    client = CachingClient()
    caches = CacheRegistry()
    reusing = shared_plan(cache=CachePlan(reuse_only=True))
    done = await execute(client, reusing, caches=caches)
    assert (client.caches, done.results[0].cache) == ([], None)
    await execute(client, shared_plan(), caches=caches)
    done = await execute(client, reusing, caches=caches)
    assert done.results[0].cache is not None
    assert done.results[0].cache.application == "reused"


@pytest.mark.parametrize(("confidence", "made"), [(0.95, 0), (0.5, 1), (0.85, 0)])
async def test_B15_a_small_prompt_is_not_cached(confidence: float, made: int) -> None:
    client = CachingClient()
    estimate = TokenEstimate(min=1, expected=500, max=1000, confidence=confidence)
    done = await execute(client, shared_plan(token_estimate=estimate))
    assert len(client.caches) == made
    assert any("fewer than 4,096" in note for note in done.diagnostics) == (not made)


@pytest.mark.parametrize("first_only", [True, False])
async def test_B16_a_conversation_that_goes_on(first_only: bool) -> None:
    client = CachingClient()
    talk = ConversationPart(messages=(Message("user", "Hi"), Message("assistant", "Yes?")))
    made = plan(
        talk,
        TEXT,
        shared_parts=(TextPart(text="The book"),),
        cache=CachePlan(first_turn_only=first_only),
    )
    await execute(client, made)
    assert len(client.caches) == (not first_only)


async def test_B18_a_cache_that_fails_is_left_out_once() -> None:
    def turn(request: Any) -> Any:
        return ProviderError("the cache has expired") if request.cache_key else "An answer."

    client = CachingClient(turn)
    handler = APIHandler(client)
    done = await handler.handle(shared_plan())
    assert isinstance(done, FinalizedCommand)
    assert [r.cache_key for r in client.requests] == ["cache-1", None]
    assert client.requests[1].messages[0].parts[0] == TextPart(text="The book")
    assert done.retried_without_cache
    assert done.results[0].retried_without_cache
    await handler.handle(shared_plan())  # and it is not taken for a cache again
    assert len(client.caches) == 2


async def test_a_limit_is_no_reason_to_leave_the_cache() -> None:
    client = CachingClient(slow_down(), "An answer.")
    done = await execute(client, shared_plan(), sleep=Waits().sleep)
    assert [r.cache_key for r in client.requests] == ["cache-1"] * 2
    assert not done.retried_without_cache


async def test_a_cache_that_cannot_be_made_is_gone_without() -> None:
    client = CachingClient(cache_fails=[InvalidRequest("too small", status=400)])
    done = await execute(client, shared_plan())
    assert done.results[0].cache is None
    assert any("too small" in note for note in done.diagnostics)
    required = CachingClient(cache_fails=[InvalidRequest("too small", status=400)])
    failure = await fail(required, shared_plan(cache=CachePlan(required=True)))
    assert "too small" in failure.message
    assert required.requests == []
    failure = await fail(FakeClient(), shared_plan(cache=CachePlan(required=True)))
    assert "Caching required but not supported" in failure.message


async def test_a_cache_that_is_not_kept_is_deleted_at_the_end() -> None:
    client = CachingClient()
    await execute(client, shared_plan(cache=CachePlan(keep=False)))
    assert client.caches_deleted == ["cache-1"]


# Failures


def slow_down(**more: Any) -> RateLimited:
    return RateLimited("slow down", status=429, **more)


async def test_B19_what_may_pass_is_tried_again() -> None:
    waits = Waits()
    client = FakeClient(slow_down(), slow_down(), "At last.")
    done = await execute(client, plan(), sleep=waits.sleep, dice=lambda: 0.0)
    assert done.results[0].text == "At last."
    assert waits.seconds == [0.5, 1.0]
    assert done.results[0].retries == 2
    late = Waits()
    client = FakeClient(slow_down())
    failure = await fail(client, plan(), sleep=late.sleep, dice=lambda: 1.0)
    assert len(client.requests) == 3
    assert late.seconds == [0.625, 1.25]
    assert failure.message.startswith("Provider call failed")


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("no", status=400),
        ProviderError("please avoid timeout words", retryable=False),
        RuntimeError("timeout, 429, temporarily overloaded"),
    ],
)
async def test_B20_transience_is_no_matter_of_words(error: Exception) -> None:
    waits, client = Waits(), FakeClient(error)
    await fail(client, plan(), sleep=waits.sleep)
    assert (len(client.requests), waits.seconds) == (1, [])


async def test_B21_the_fallback_answers_once() -> None:
    def turn(request: Any) -> Any:
        return "From the other." if request.model == "other" else InvalidRequest("no", status=400)

    client = FakeClient(turn)
    done = await execute(client, plan(fallback=plan(model="other")))
    assert done.results[0].text == "From the other."
    assert done.used_fallback
    assert done.primary_error is not None
    assert done.primary_error.kind == "InvalidRequest"
    assert [r.model for r in client.requests] == ["m", "other"]


async def test_B21_a_fallback_is_tried_once_whatever_it_says() -> None:
    waits, second = Waits(), FakeClient(slow_down())
    first = FakeClient(InvalidRequest("no", status=400))
    made = plan(fallback=plan(provider="second"))
    failure = await fail(first, made, providers={"second": second}, sleep=waits.sleep)
    assert (len(second.requests), waits.seconds) == (1, [])
    assert "slow down" in failure.message


async def test_B21_a_fallback_may_have_another_provider() -> None:
    first, second = FakeClient(InvalidRequest("no", status=400)), FakeClient("Mine.")
    made = plan(fallback=plan(provider="second"))
    done = await execute(first, made, providers={"second": second})
    assert (done.results[0].text, done.results[0].provider) == ("Mine.", "second")


async def test_B22_no_hidden_recovery() -> None:
    error = ServerFailed("it broke", status=500, retryable=False)
    failure = await fail(FakeClient(error), plan())
    assert failure.message == "Provider call failed: fake m: ServerFailed: it broke"
    client = FakeClient(error, InvalidRequest("not this either", status=400))
    both = await fail(client, plan(fallback=plan(model="other")))
    assert "it broke" in both.message
    assert "not this either" in both.message
    assert len(client.requests) == 2
    empty = await fail(FakeClient("  "), plan())
    assert "the answer is empty" in empty.message
    result = ResultBuilder().handle(empty)
    assert (result.ok, result.answers) == (False, ())


async def test_B30_a_context_that_overflows_is_never_asked_again() -> None:
    client, waits = FakeClient(ContextTooLong("too long", retryable=True, status=400)), Waits()
    await fail(client, plan(), sleep=waits.sleep)
    assert len(client.requests) == 1
    cached = CachingClient(ContextTooLong("too long", retryable=True, status=400))
    await fail(cached, shared_plan(), sleep=waits.sleep)
    assert len(cached.requests) == 1


async def test_B30_an_ambiguous_timeout_repeats_a_request_but_no_upload(paper: Path) -> None:
    waits = Waits()
    client = FakeClient(TimeoutError("silence"), "Here.")
    done = await execute(client, plan(), sleep=waits.sleep)
    assert (done.results[0].text, len(client.requests)) == ("Here.", 2)
    uploading = UploadingClient(fails=[TimeoutError("silence")])
    made = with_file(paper, UploadTask(part_index=1))
    failure = await fail(uploading, made, sleep=waits.sleep)
    assert len(uploading.uploads) == 1
    assert "paper.pdf" in failure.message
    caching = CachingClient(cache_fails=[TimeoutError("silence")])
    done = await execute(caching, shared_plan(), sleep=waits.sleep)
    assert (len(caching.caches), done.results[0].cache) == (1, None)


async def test_B30_an_upload_that_was_turned_away_is_tried_again(paper: Path) -> None:
    client = UploadingClient(fails=[slow_down()])
    await execute(client, with_file(paper, UploadTask(part_index=1)), sleep=Waits().sleep)
    assert len(client.uploads) == 2


async def test_B31_the_waits_honour_the_provider_and_end_in_time() -> None:
    waits = Waits()
    client = FakeClient(slow_down(retry_after=3.0), "Now.")
    await execute(client, plan(), sleep=waits.sleep)
    assert waits.seconds == [3.0]
    late = FakeClient(slow_down(retry_after=16.0))
    await fail(late, plan(), sleep=waits.sleep)
    assert len(late.requests) == 1


async def test_B32_uploads_go_whatever_happens(paper: Path) -> None:
    made = with_file(paper, UploadTask(part_index=1))
    client = UploadingClient(InvalidRequest("no", status=400))
    await fail(client, made)
    assert client.deleted == ["file-1"]
    stubborn = UploadingClient()
    stubborn.deleting_fails = True
    done = await execute(stubborn, made)
    assert any("file-1 could not be deleted" in note for note in done.diagnostics)
    keeping = UploadingClient()
    await execute(keeping, made.model_copy(update={"keep_uploads": True}))
    assert keeping.deleted == []


async def test_B32_uploads_go_when_the_caller_stops_waiting(paper: Path) -> None:
    client = UploadingClient(seconds=30)
    handling = asyncio.create_task(
        APIHandler(client).handle(with_file(paper, UploadTask(part_index=1)))
    )
    while not client.requests:
        await asyncio.sleep(0.01)
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert client.deleted == ["file-1"]


# Batches and what is observed


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


# Files that are not as they were


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


def cached_file(paper: Path, **more: Any) -> ExecutionPlan:
    """A plan that shares a file, which is uploaded and cached."""
    more.setdefault("cache", CachePlan())
    return plan(
        shared_parts=(FilePlaceholder(index=0),),
        files=(describe_file(paper),),
        upload_tasks=(UploadTask(part_index=0, call=None),),
        **more,
    )


async def test_a_kept_cache_is_found_before_its_files_are_uploaded_again(paper: Path) -> None:
    client, caches = CachingClient(), CacheRegistry()
    first = await execute(client, cached_file(paper), caches=caches)
    second = await execute(client, cached_file(paper), caches=caches)
    assert (len(client.uploads), len(client.caches)) == (1, 1)
    used = [done.results[0].cache for done in (first, second)]
    assert [cache.application for cache in used if cache is not None] == ["created", "reused"]
    assert client.requests[1].cache_key == "cache-1"
    assert second.diagnostics == ()


async def test_a_kept_cache_that_has_expired_in_between_has_its_files_uploaded(
    paper: Path,
) -> None:
    client, caches = CachingClient(), CacheRegistry()
    await execute(client, cached_file(paper), caches=caches)
    gone = AuthenticationFailed("CachedContent not found (or permission denied)", status=403)
    client.turns = ["", gone, "An answer."]
    done = await execute(client, cached_file(paper), caches=caches)
    assert done.retried_without_cache
    assert len(client.uploads) == 2
    assert client.requests[-1].cache_key is None
    (turn,) = client.requests[-1].messages
    assert isinstance(turn.parts[0], FileRefPart)


async def test_a_cache_of_another_execution_is_not_deleted(paper: Path) -> None:
    client, caches = CachingClient(), CacheRegistry()
    await execute(client, cached_file(paper), caches=caches)
    await execute(client, cached_file(paper, cache=CachePlan(keep=False)), caches=caches)
    assert client.caches_deleted == []
