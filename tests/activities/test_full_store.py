"""A store that takes nothing more: no second payment, nothing lost that a vendor keeps already."""

import logging
import random

import pytest

from activities.failures import CallState, describe
from contracts.artifacts import ArtifactRef
from contracts.calls import CallFailure
from contracts.failures import FailureKind
from contracts.messages import Usage
from contracts.teams import AgentStatus
from providers.exceptions import ProviderError
from rules import attempts, execution
from rules.attempts import Attempted, GiveUp, Outcome
from stores.artifacts import ArtifactStore
from stores.backend import Backend
from stores.exceptions import StoreUnavailable
from tests.activities.test_keeping import cache, upload, worker
from tests.execution.fakes import FakeClient
from tests.execution.handling import fail, plan
from tests.support.keeping import Kept
from tests.support.teams import AT_ONCE

pytestmark = pytest.mark.unit

FULL = StoreUnavailable("file:///data/store: No space left on device")


class NoNames(ArtifactStore):
    """A store whose disk is full from the first note on."""

    async def note(self, name: str, ref: ArtifactRef) -> None:
        raise FULL


class TurnsFull(ProviderError):
    """What an answer that could not be stored becomes."""

    @property
    def kind(self) -> str:
        return FailureKind.NOT_KEPT


def failed(*, sent: bool) -> CallFailure:
    state = CallState("openai", "gpt-4o")
    state.sent, state.usage, state.usage_final = sent, Usage(10, 5), True
    return describe(FULL, state, None)


def test_an_answer_that_was_paid_for_and_cannot_be_stored_is_a_kind_of_its_own() -> None:
    paid, unsent = failed(sent=True), failed(sent=False)
    assert (paid.kind, paid.retryable, paid.sent) == (FailureKind.NOT_KEPT, False, True)
    assert paid.usage == Usage(10, 5)
    assert paid.message == (
        "what was paid for could not be stored: file:///data/store: No space left on device"
    )
    assert (unsent.kind, unsent.sent) == (FailureKind.INTERNAL, False)


def test_nobody_else_is_paid_for_an_answer_that_cannot_be_stored_either() -> None:
    history = [Attempted(candidate=0, kind=FailureKind.NOT_KEPT, retryable=False)]
    decision = attempts.decide(AT_ONCE, 3, 5, history, random.Random(1).random())
    assert decision == GiveUp(AgentStatus.FAILED, "gave up: the store took no answer")
    assert not execution.drops_cache(failed(sent=True))
    assert execution.wait_before_retry(failed(sent=True), 1, 0.0, 0.0) is None


def test_it_is_no_reason_to_pass_a_provider_over() -> None:
    outcomes = [Outcome(float(n), FailureKind.NOT_KEPT) for n in range(9)]
    assert not attempts.circuit_open(outcomes, 9.0)


async def test_an_execution_does_not_pay_its_fallback_either() -> None:
    client = FakeClient(TurnsFull("what was paid for could not be stored"))
    told = await fail(client, plan(fallback=plan(model="other")))
    assert len(client.requests) == 1
    assert "could not be stored" in told.message


async def test_B32_an_upload_is_used_and_known_though_no_note_of_it_can_be_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    store, kept = NoNames(Backend.open("memory://")), Kept()
    assert (await upload(worker(store, kept), store, "run-1")).uri == "file-1"
    made = await cache(worker(store, kept), "run-1", keep=False)
    assert (made.name, made.application) == ("cache-1", "created")
    told = [record.message for record in caplog.records]
    assert len([line for line in told if "is at the vendor" in line]) == 2
    assert all("No space left on device" in line for line in told)
