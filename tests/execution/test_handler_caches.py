"""Seed 002's handler and caches: made once, left out where they fail, found by others."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from client.execution import (
    APICall,
    APIHandler,
    CachePlan,
    CacheRef,
    CacheRegistry,
    ConversationPart,
    ExecutionPlan,
    FilePlaceholder,
    FileRefPart,
    FinalizedCommand,
    TextPart,
    TokenEstimate,
    UploadTask,
    describe_file,
)
from contracts.messages import Message
from providers.exceptions import (
    AuthenticationFailed,
    InvalidRequest,
    ProviderError,
)
from tests.execution.fakes import CachingClient, FakeClient, Waits
from tests.execution.handling import TEXT, execute, fail, plan, shared_plan, slow_down

pytestmark = pytest.mark.unit


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


async def test_how_long_a_prefix_is_to_last_goes_with_each_request() -> None:
    client = CachingClient()
    client.resends_prefix = True  # type: ignore[attr-defined]
    long = shared_plan().model_copy(update={"cache": CachePlan(lasts_s=3600.0)})
    await execute(client, long)
    await execute(client, shared_plan())
    assert [request.cache_lasts_s for request in client.requests] == [3600.0, None]


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
