"""The pure rules of executions: waits, concurrency, identity, stages by themselves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.execution import (
    APICall,
    CachePlan,
    ExecutionPlan,
    ExecutionState,
    FilePlaceholder,
    FileRefPart,
    SourceFile,
    TextPart,
    UploadTask,
)
from contracts.calls import CallFailure
from contracts.execution import Capabilities, ExecutionStage
from contracts.failures import FailureKind
from contracts.retry import RetryRule
from rules import execution
from rules.identity import content_key
from rules.stages import CacheStage, UploadStage

pytestmark = pytest.mark.unit

FILE = SourceFile(path="/a", mime_type="application/pdf", size_bytes=3, sha256="0" * 64)


def failure(kind: str = FailureKind.RATE_LIMITED, **more: Any) -> CallFailure:
    more.setdefault("retryable", True)
    return CallFailure(kind=kind, message="no", sent=more.pop("sent", True), **more)


def plan(*parts: Any, **more: Any) -> ExecutionPlan:
    return ExecutionPlan(calls=(APICall(model="m", parts=parts),), files=(FILE,), **more)


def state(*parts: Any, **more: Any) -> ExecutionState:
    return ExecutionState.of(plan(*parts, **more), 0)


def test_B31_waits_without_jitter() -> None:
    patient = execution.RETRIES.model_copy(update={"max_retries": 9})
    waits = [execution.wait_before_retry(failure(), n, 0.0, 0.0, rule=patient) for n in range(1, 7)]
    assert waits == [0.5, 1, 2, 4, 5, 5]
    jittered = execution.wait_before_retry(failure(), 1, 0.0, 1.0)
    assert jittered == 0.625


def test_B31_the_provider_is_heard_and_15_seconds_are_the_end() -> None:
    asked = failure(retry_after=7.0)
    assert execution.wait_before_retry(asked, 1, 0.0, 0.0) == 7.0
    assert execution.wait_before_retry(asked, 2, 7.0, 0.0) == 7.0
    assert execution.wait_before_retry(asked, 2, 9.0, 0.0) is None


@given(
    st.floats(0, 1), st.lists(st.floats(0, 30) | st.none(), min_size=1, max_size=20),
)  # fmt: skip
def test_B31_never_more_than_15_seconds_in_all(random: float, asked: list[float | None]) -> None:
    rule, waited = RetryRule(max_retries=50, base_delay=0.5, max_delay=5.0), 0.0
    for number, seconds in enumerate(asked, 1):
        wait = execution.wait_before_retry(
            failure(retry_after=seconds), number, waited, random, rule=rule
        )
        if wait is None:
            break
        waited += wait
    assert waited <= 15.0


@pytest.mark.parametrize(
    ("failed", "creates", "again"),
    [
        (failure(), True, True),
        (failure(FailureKind.CONTEXT_TOO_LONG), False, False),
        (failure(FailureKind.INVALID_REQUEST, retryable=False), False, False),
        (failure(FailureKind.TIMEOUT), False, True),
        (failure(FailureKind.TIMEOUT), True, False),
        (failure(FailureKind.UNREACHABLE, sent=False), True, True),
        (failure(FailureKind.SERVER_FAILED, status=503), True, True),
        (failure(FailureKind.STREAM_INTERRUPTED), True, False),
        (failure(FailureKind.WORKER_LOST), True, True),
        (failure(FailureKind.STOPPED), False, False),
    ],
)
def test_B30_what_is_tried_again(failed: CallFailure, creates: bool, again: bool) -> None:
    status = {"status": 429} if failed.kind == FailureKind.RATE_LIMITED else {}
    told = failed.model_copy(update=status)
    wait = execution.wait_before_retry(told, 1, 0.0, 0.0, creates=creates)
    assert (wait is not None) == again


@pytest.mark.parametrize(
    ("calls", "option", "config", "constrained", "expected"),
    [
        (0, None, None, False, 1),
        (0, 3, 9, False, 1),
        (5, 3, 9, True, 1),
        (5, 3, 9, False, 3),
        (5, None, 4, False, 4),
        (5, None, None, False, 5),
    ],
)
def test_B26_concurrency(
    calls: int, option: int | None, config: int | None, constrained: bool, expected: int
) -> None:
    found = execution.concurrency(calls, option, config, rate_constrained=constrained)
    assert found == expected


PLACEHOLDER = FilePlaceholder(index=0)
REFERENCE = FileRefPart(uri="f", mime_type="application/pdf")
TEXT = TextPart(text="t")


@pytest.mark.parametrize(
    ("stage", "given_state", "applies"),
    [
        (UploadStage(), state(TEXT), False),
        (UploadStage(), state(TEXT, PLACEHOLDER), True),
        (UploadStage(), state(TEXT, REFERENCE, upload_tasks=(UploadTask(part_index=1),)), False),
        (UploadStage(), state(TEXT, upload_tasks=(UploadTask(part_index=1),)), True),
        (UploadStage(), state(TEXT, upload_tasks=(UploadTask(part_index=1, call=1),)), False),
        (UploadStage(), state(TEXT, PLACEHOLDER).but(declined=("upload",)), False),
        (UploadStage(), state(TEXT, shared_parts=(PLACEHOLDER,)), True),
        (CacheStage(), state(TEXT), False),
        (CacheStage(), state(TEXT, cache=CachePlan()), True),
        (CacheStage(), state(TEXT, cache=CachePlan()).but(declined=("cache",)), False),
    ],
)
def test_B9_a_stage_knows_its_work(
    stage: ExecutionStage, given_state: ExecutionState, applies: bool
) -> None:
    assert isinstance(stage, ExecutionStage)
    assert stage.applies_to(given_state) is applies


def test_deciding_and_transforming_leave_the_state_as_it_was() -> None:
    before = state(TEXT, PLACEHOLDER, upload_tasks=(UploadTask(part_index=1),))
    told = before.model_dump_json()
    stage = UploadStage()
    decision = stage.decide(before, Capabilities(names=frozenset({"generation", "uploads"})))
    key = decision.effects[0].key  # type: ignore[union-attr]
    after = stage.transform(before, {key: REFERENCE})
    assert after.parts == (TEXT, REFERENCE)
    assert before.model_dump_json() == told


def test_an_optional_upload_that_failed_leaves_its_placeholder() -> None:
    after = UploadStage().transform(state(TEXT, PLACEHOLDER), {})
    assert after.parts == (TEXT, PLACEHOLDER)
    assert not UploadStage().applies_to(after)


def test_B12_identity_is_content_and_not_name_or_size() -> None:
    def key(**changed: Any) -> str:
        return content_key("m", "system", (PLACEHOLDER,), (FILE.model_copy(update=changed),))

    assert key(path="/elsewhere", name="b", size_bytes=9) == key()
    assert key(sha256="1" * 64) != key()
    assert key(mime_type="text/plain") != key()
    assert content_key("n", "system", (PLACEHOLDER,), (FILE,)) != key()
    assert content_key("m", None, (PLACEHOLDER,), (FILE,)) != key()
