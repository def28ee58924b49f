"""`call_model` by itself: one row per way to end, and what each costs."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.clients import Clients, OwnClient
from activities.models import CHUNKS_A_TURN, CallModel
from contracts.artifacts import ArtifactRef
from contracts.calls import CallFailure, CallProgress, ModelCall, ModelReply
from contracts.messages import ChatChunk, ChatRequest, Usage
from contracts.plans import Plan
from contracts.teams import OutputSpec
from providers import exceptions
from providers.spi import LLMClient
from stores.artifacts import ArtifactStore
from stores.spools import FileSpools
from tests.support.replies import replied
from tests.support.scripted import Say, Script, ScriptedClients
from tests.support.teams import agent, candidate, plan, team

pytestmark = pytest.mark.unit

SCHEMA = OutputSpec(
    kind="json",
    schema_={"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
)


class Bench:
    """One activity with a store, a spool and a script; counts heartbeats."""

    def __init__(
        self,
        folder: Path,
        script: Script,
        clients: Clients | None = None,
        broken: ArtifactStore | None = None,
    ) -> None:
        self.script = script
        self.store = ArtifactStore.open(str(folder / "artifacts"))
        self.spools = FileSpools(folder / "spools")
        clients = clients or ScriptedClients(script)
        self.activity = CallModel(broken or self.store, self.spools, clients)
        self.environment = ActivityEnvironment()
        self.environment.payload_converter = pydantic_data_converter.payload_converter
        self.beats: list[CallProgress] = []
        self.environment.on_heartbeat = lambda *details: self.beats.append(details[0])

    async def call(self, made: Plan | None = None, **more: object) -> ModelReply:
        ref: ArtifactRef = await self.store.put_json(made or plan(team(agent("a"))))
        values = {
            "run_id": "r1", "unit": "a", "plan": ref, "step": "a", "attempt": 1, "candidate": 0,
            "max_tokens": 50, "input_bound": 1000, "timeout": 5, "first_token_timeout": 5,
            "idle_timeout": 5, **more,
        }  # fmt: skip
        call = ModelCall.model_validate(values)
        return await replied(self.environment, self.activity.call_model, call, ModelReply)

    async def fail(self, made: Plan | None = None, **more: object) -> CallFailure:
        with pytest.raises(ApplicationError) as caught:
            await self.call(made, **more)
        assert caught.value.non_retryable
        failure: CallFailure = caught.value.details[0]
        assert caught.value.type == failure.kind
        return failure


def bench(folder: Path, *turns: Say | Exception) -> Bench:
    return Bench(folder, Script({"a": list(turns)} if turns else {}))


async def test_the_mark_sent_is_made_before_the_request(tmp_path: Path) -> None:
    made = bench(tmp_path)
    reply = await made.call()
    assert made.beats[0].phase == "sent"
    assert reply.finish_reason == "stop"
    assert reply.usage == Usage(100, 50)
    assert reply.first_token_at is not None
    assert reply.started_at <= reply.first_token_at <= reply.ended_at


async def test_the_answer_is_in_the_store_and_in_the_spool(tmp_path: Path) -> None:
    made = bench(tmp_path, Say("one two three"))
    reply = await made.call()
    assert reply.output.ref is not None
    assert await made.store.get_text(reply.output.ref) == "one two three"
    assert await made.spools.partial("r1", "a", 1) == "one two three"


KINDS = [
    (exceptions.AuthenticationFailed("x"), "AuthenticationFailed", False),
    (exceptions.InvalidRequest("x"), "InvalidRequest", False),
    (exceptions.ModelNotFound("x"), "ModelNotFound", False),
    (exceptions.ContextTooLong("x"), "ContextTooLong", False),
    (exceptions.ContentRefused("x"), "ContentRefused", False),
    (exceptions.RateLimited("x", retry_after=3), "RateLimited", True),
    (exceptions.Overloaded("x"), "Overloaded", True),
    (exceptions.ServerFailed("x"), "ServerFailed", True),
    (exceptions.Unreachable("x"), "Unreachable", True),
    (exceptions.StreamInterrupted("x"), "StreamInterrupted", True),
    (exceptions.TimeoutError("x"), "Timeout", True),
]


@pytest.mark.parametrize(("error", "kind", "retryable"), KINDS, ids=lambda value: str(value)[:24])
async def test_a_providers_error_keeps_its_kind(
    tmp_path: Path, error: Exception, kind: str, retryable: bool
) -> None:
    failure = await bench(tmp_path, error).fail()
    assert (failure.kind, failure.retryable, failure.sent) == (kind, retryable, True)
    assert failure.provider == "scripted"
    assert failure.retry_after == getattr(error, "retry_after", None)


async def test_a_request_that_was_turned_away_costs_nothing(tmp_path: Path) -> None:
    refused = exceptions.RateLimited("slow down", status=429)
    failure = await bench(tmp_path, refused).fail()
    assert (failure.sent, failure.usage, failure.usage_final) == (True, None, True)


async def test_an_error_status_in_mid_answer_stays_open(tmp_path: Path) -> None:
    broken = exceptions.Overloaded("busy", status=529)
    failure = await bench(tmp_path, Say("one two", fails=broken)).fail()
    assert not failure.usage_final


async def test_a_cut_stream_brings_its_partial_text_and_usage(tmp_path: Path) -> None:
    cut = exceptions.StreamInterrupted("cut", usage=Usage(100, 2))
    made = bench(tmp_path, Say("one two", fails=cut))
    failure = await made.fail()
    assert failure.usage == Usage(100, 2)
    assert not failure.usage_final
    assert failure.partial is not None
    assert await made.store.get_text(failure.partial) == "one two"


async def test_a_stream_without_a_finish_is_an_interruption(tmp_path: Path) -> None:
    failure = await bench(tmp_path, Say("all there?", finish=None)).fail()
    assert failure.kind == "StreamInterrupted"


async def test_a_refusal_is_a_failure_with_the_whole_usage(tmp_path: Path) -> None:
    failure = await bench(tmp_path, Say("I will not.", finish="refusal")).fail()
    assert (failure.kind, failure.usage, failure.usage_final) == (
        "ContentRefused",
        Usage(100, 50),
        True,
    )


async def test_an_empty_answer_is_no_answer(tmp_path: Path) -> None:
    failure = await bench(tmp_path, Say("  ")).fail()
    assert (failure.kind, failure.usage_final) == ("InvalidOutput", True)


async def test_json_that_does_not_fit_is_kept_for_the_repair(tmp_path: Path) -> None:
    made = bench(tmp_path, Say('{"n": "many"}'))
    failure = await made.fail(plan(team(agent("a", output=SCHEMA))))
    assert failure.kind == "InvalidOutput"
    assert failure.invalid_output is not None
    assert failure.invalid_output.errors == ("n: 'many' is not of type 'integer'",)
    assert await made.store.get_text(failure.invalid_output.answer) == '{"n": "many"}'


async def test_usage_that_is_not_reported_is_estimated_and_marked(tmp_path: Path) -> None:
    reply = await bench(tmp_path, Say("eight characters", usage=None)).call()
    assert reply.usage.estimated
    assert reply.usage.prompt_tokens == 1000
    assert reply.notes


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        (Usage(estimated=True), (1000, 3)),
        (Usage(40, estimated=True), (40, 3)),
        (Usage(40, 9, reasoning_tokens=5, estimated=True), (40, 9)),
        (Usage(40, 1, estimated=True), (40, 3)),
        (Usage(40, 0), (40, 0)),
    ],
)
async def test_numbers_that_a_vendor_leaves_out_are_counted_here(
    tmp_path: Path, told: Usage, counted: tuple[int, int]
) -> None:
    bench = Bench(tmp_path, Script(default=Say("An answer.", usage=told)))
    usage = (await bench.call()).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == counted
    assert usage.total_tokens == sum(counted)
    assert (usage.estimated, usage.reasoning_tokens) == (told.estimated, told.reasoning_tokens)


async def test_a_prompt_beyond_its_reservation_is_not_sent(tmp_path: Path) -> None:
    made = bench(tmp_path)
    failure = await made.fail(plan(team(agent("a", "x" * 2000))), input_bound=1000)
    assert not failure.sent
    assert made.script.count() == 0


class ReadOnly(ArtifactStore):
    """A store whose writes hit a bug that quotes the prompt."""

    async def put_bytes(self, data: bytes, media_type: str = "") -> ArtifactRef:
        raise ZeroDivisionError("the prompt was: secret")


async def test_a_bug_after_the_answer_is_final_and_settles_the_usage(tmp_path: Path) -> None:
    broken = ReadOnly.open(str(tmp_path / "artifacts"))
    made = Bench(tmp_path, Script({"a": [Say("fine")]}), broken=broken)
    failure = await made.fail()
    assert (failure.kind, failure.sent, failure.usage_final) == ("Internal", True, True)
    assert failure.usage == Usage(100, 50)
    assert "secret" not in failure.message
    assert made.script.count() == 1


class Unencodable(LLMClient):
    """Answers with what no converter can write."""

    provider = "scripted"

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        yield ChatChunk(delta_text="fine")
        usage = Usage(100, 50, raw={"odd": object()})
        yield ChatChunk(finish_reason="stop", usage=usage)


async def test_a_reply_that_cannot_be_encoded_is_final_and_settled(tmp_path: Path) -> None:
    made = Bench(tmp_path, Script(), OwnClient(Unencodable()))
    failure = await made.fail()
    assert (failure.kind, failure.sent, failure.usage_final) == ("Internal", True, True)
    assert failure.usage == Usage(100, 50)


async def test_a_second_run_of_the_same_task_refuses(tmp_path: Path) -> None:
    made = bench(tmp_path)
    beat = CallProgress(phase="sent", prompt_tokens=90, completion_tokens=7)
    made.environment.info = dataclasses.replace(
        made.environment.info, attempt=2, heartbeat_details=[beat]
    )
    failure = await made.fail()
    assert (failure.kind, failure.sent) == ("StreamInterrupted", True)
    assert failure.usage is not None
    assert failure.usage.completion_tokens == 7
    assert made.script.count() == 0


@pytest.mark.parametrize(
    ("details", "kind"),
    [
        (ActivityCancellationDetails(cancel_requested=True), "Stopped"),
        (ActivityCancellationDetails(worker_shutdown=True), "WorkerStopping"),
    ],
)
async def test_a_cancelled_call_closes_its_stream_and_brings_its_bill(
    tmp_path: Path, details: ActivityCancellationDetails, kind: str
) -> None:
    made = bench(tmp_path, Say("one two three four", seconds=20))
    running = asyncio.create_task(made.fail())
    while made.script.in_flight == 0:
        await asyncio.sleep(0.01)
    made.environment.cancel(details)
    failure = await asyncio.wait_for(running, 30)
    assert failure.kind == kind
    assert made.script.in_flight == 0


async def test_heartbeats_go_on_while_the_model_thinks(tmp_path: Path) -> None:
    made = bench(tmp_path, Say("late", seconds=1.3))
    await made.call()
    assert len(made.beats) >= 2
    assert all(len(beat.model_dump_json()) <= 512 for beat in made.beats)


class Torrent(LLMClient):
    """Has its whole answer ready, as when a worker comes late to what a socket holds."""

    provider = "scripted"

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        for _ in range(100 * CHUNKS_A_TURN):
            yield ChatChunk(delta_text="x")
        yield ChatChunk(finish_reason="stop", usage=Usage(100, 50))


async def test_a_torrent_leaves_the_others_their_turn(tmp_path: Path) -> None:
    made = Bench(tmp_path, Script(), OwnClient(Torrent()))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += "sent" in {beat.phase for beat in made.beats}
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    reply = await made.call()
    beside.cancel()
    assert reply.output.preview.startswith("xxx")
    assert turns >= 100


async def test_a_candidate_with_prefill_is_given_its_own_words(tmp_path: Path) -> None:
    made = bench(tmp_path, Say("three four"))
    partial = await made.store.put_text("one two ")
    chain = plan(team(agent("a")), candidate(can_prefill=True))
    reply = await made.call(chain, continuation={"partial": partial.model_dump()})
    turns = made.script.requests[0][2].messages
    assert [turn.role for turn in turns] == ["user", "assistant"]
    assert reply.output.ref is not None
    assert (await made.store.get_text(reply.output.ref)).startswith("one two")
