"""Seed 002's handler when providers fail: again, by the fallback, or not at all."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from client.execution import (
    APIHandler,
    ResultBuilder,
    UploadTask,
)
from providers.exceptions import (
    ContextTooLong,
    InvalidRequest,
    ProviderError,
    ServerFailed,
    TimeoutError,
)
from tests.execution.fakes import CachingClient, FakeClient, UploadingClient, Waits
from tests.execution.handling import execute, fail, plan, shared_plan, slow_down, with_file

pytestmark = pytest.mark.unit


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
