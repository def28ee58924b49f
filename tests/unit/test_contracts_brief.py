"""What turns write into their histories: short, read back as it was, and found by collectors."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from contracts.artifacts import ArtifactRef, Value
from contracts.brief import JSON_TYPE, TEXT_TYPE, BriefRef, small_json
from contracts.chats import (
    IN_TOOLBOX,
    AgentChange,
    AgentHeader,
    AskedTool,
    ChatStart,
    NewMessage,
    TurnCall,
    TurnReply,
)
from contracts.messages import Usage
from contracts.plans import Candidate, StepNode
from contracts.prices import Price, Rate
from contracts.retry import RetryRule
from contracts.tools import ToolOutcome, ToolRequest
from stores.scanning import ReferenceScanner, digests_in

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 4, 12, 30, 1, 250_000, UTC)
refs = st.builds(
    lambda data, size, kind: ArtifactRef(
        sha256=sha256(data).hexdigest(), size_bytes=size, media_type=kind
    ),
    st.binary(max_size=8),
    st.integers(0, 10**12),
    st.sampled_from([TEXT_TYPE, JSON_TYPE, "image/png", "text/html; charset=utf-8"]),
)
values = st.one_of(
    st.builds(
        lambda ref, kind: Value.model_validate(
            {"kind": kind, "ref": ref, "size_bytes": ref.size_bytes}
        ),
        refs,
        st.sampled_from(["text", "json"]),
    ),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3).map(small_json),
    st.text(max_size=400).map(
        lambda t: Value(kind="text", inline=t, has_inline=True, size_bytes=len(t.encode()))
    ),
)
usages = st.builds(
    Usage,
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.just(0),
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
    st.booleans(),
    st.one_of(st.none(), st.just({"prompt_tokens": 3})),
)


@given(refs, values)
def test_a_call_is_read_as_it_was_written(ref: ArtifactRef, value: Value) -> None:
    call = TurnCall(
        unit="t1.2",
        attempt=2,
        max_tokens=10,
        input_bound=20,
        transcript=ref,
        messages=(NewMessage(role="tool", content=value), NewMessage(content=value)),
        toolboxes=(ref,),
    )
    assert TurnCall.model_validate_json(to_json(call)) == call
    request = ToolRequest(toolbox=ref, name="look", call_id="t1.2.1", arguments=value)
    assert ToolRequest.model_validate_json(to_json(request)) == request


@given(refs, values, usages)
def test_an_answer_is_read_as_it_was_written(ref: ArtifactRef, value: Value, usage: Usage) -> None:
    reply = TurnReply(
        usage=usage,
        started_at=NOW,
        ended_at=NOW,
        transcript=ref,
        size=1,
        length=2,
        asked=(AskedTool(name="look", arguments=value),),
    )
    assert TurnReply.model_validate_json(to_json(reply)) == reply
    outcome = ToolOutcome(text=value, whole=ref, started_at=NOW, ended_at=NOW)
    assert ToolOutcome.model_validate_json(to_json(outcome)) == outcome


@given(refs, st.integers(1, 200))
def test_whatever_is_referred_to_is_found_by_who_collects(ref: ArtifactRef, cut: int) -> None:
    request = ToolRequest(toolbox=ref, name="look", call_id="t1.2.1", arguments=small_json({}))
    data = to_json(request)
    assert ref.sha256 in digests_in(data)
    scanner = ReferenceScanner()
    for at in range(0, len(data), cut):
        scanner.feed(data[at : at + cut])
    assert ref.sha256 in scanner.found


def test_the_long_spelling_of_an_earlier_version_is_read() -> None:
    ref = {"sha256": "a" * 64, "size_bytes": 5, "media_type": JSON_TYPE}
    text = {"ref": ref, "kind": "json", "size_bytes": 5, "preview": "{}"}
    call = TurnCall.model_validate(
        {
            "run_id": "chat",
            "plan": ref,
            "step": "turn",
            "unit": "t1.1",
            "attempt": 1,
            "candidate": 0,
            "max_tokens": 5,
            "input_bound": 5,
            "timeout": 300.0,
            "first_token_timeout": 120.0,
            "idle_timeout": 60.0,
            "messages": [{"role": "tool", "content": text, "name": "f", "tool_call_id": "c1"}],
            "toolboxes": [ref],
        }
    )
    assert call.plan == ArtifactRef.model_validate(ref)
    assert call.messages[0].tool_call_id == "c1"
    assert call.plan != IN_TOOLBOX


def test_times_are_spelled_from_the_first_on() -> None:
    later = NOW + timedelta(milliseconds=12)
    outcome = ToolOutcome(text=small_json({}), started_at=NOW, ended_at=later)
    assert b'"times":[1777897801250,12]' in to_json(outcome)
    assert outcome.model_dump()["ended_at"] == later
    reply = TurnReply(
        usage=Usage(1, 2),
        started_at=NOW,
        first_token_at=later,
        ended_at=later,
        transcript=ArtifactRef(sha256="a" * 64, size_bytes=1),
        size=1,
        length=1,
    )
    assert TurnReply.model_validate_json(to_json(reply)) == reply
    assert TurnReply.model_validate(reply.model_dump()) == reply
    spelled = {"text": {"json": {}}, "started_at": NOW.isoformat(), "ended_at": later.isoformat()}
    assert ToolOutcome.model_validate(spelled) == outcome


def test_what_is_no_reference_is_refused() -> None:
    for wrong in ("", "short:3", "!" * 43 + ":3", "a" * 43):
        with pytest.raises(ValidationError):
            TypeAdapter(BriefRef).validate_python(wrong)


def test_a_tool_turn_is_spelled_in_a_few_hundred_bytes() -> None:
    ref = ArtifactRef(sha256="f" * 64, size_bytes=2_008, media_type=TEXT_TYPE)
    result = Value(ref=ref, size_bytes=2_008)
    call = TurnCall(
        unit="t1.200",
        attempt=200,
        max_tokens=4_096,
        input_bound=123_456,
        transcript=ref,
        messages=(NewMessage(role="tool", content=result),),
        toolboxes=(ref,),
    )
    assert len(to_json(call)) < 290
    asked = AskedTool(name="read_file", arguments=small_json({"path": "2000/200.txt"}))
    reply = TurnReply(
        usage=Usage(100, 20),
        started_at=NOW,
        ended_at=NOW,
        transcript=ref,
        size=123_456,
        length=400,
        asked=(asked,),
    )
    assert len(to_json(reply)) < 190


@pytest.mark.parametrize(
    ("unit", "attempt", "written"),
    [("t1.2", 2, False), ("t1.2", 3, True), ("t1.2.1.10", 10, False), ("research", 1, True)],
)
def test_an_attempt_goes_without_saying_where_its_unit_says_it(
    unit: str, attempt: int, written: bool
) -> None:
    call = TurnCall(unit=unit, attempt=attempt, max_tokens=10, input_bound=20)
    assert ("attempt" in json.loads(to_json(call))) is written
    assert TurnCall.model_validate_json(to_json(call)) == call


def test_an_attempt_that_nothing_says_is_missed() -> None:
    for unit in ("research", 3):
        with pytest.raises(ValidationError, match="attempt"):
            TurnCall.model_validate({"unit": unit, "max_tokens": 10, "input_bound": 20})


@pytest.mark.parametrize(
    ("more", "pair"),
    [({}, True), ({"id": "call_1"}, False), ({"problem": "no JSON object"}, False)],
)
def test_a_call_that_is_asked_for_is_a_pair_where_it_has_no_more(
    more: dict[str, str], pair: bool
) -> None:
    arguments = small_json({"path": ["a", None], "json": 1})
    reply = TurnReply(
        usage=Usage(1, 2),
        started_at=NOW,
        ended_at=NOW,
        transcript=ArtifactRef(sha256="f" * 64, size_bytes=1, media_type=JSON_TYPE),
        size=1,
        length=2,
        asked=(AskedTool(name="look", arguments=arguments, **more),),
    )
    written = json.loads(to_json(reply))["asked"]
    assert (written == [["look", {"path": ["a", None], "json": 1}]]) is pair
    assert TurnReply.model_validate_json(to_json(reply)) == reply


def test_an_agents_header_is_written_without_what_goes_without_saying() -> None:
    ref = ArtifactRef(sha256="a" * 64, size_bytes=3, media_type=JSON_TYPE)
    price = Price(
        model="m",
        input=Rate(base=Decimal(1)),
        output=Rate(base=Decimal(2)),
        source="s",
        version="1",
    )
    first = Candidate(provider="p", model="m", queue="q", price=price)
    second = first.model_copy(update={"context_window": 1000, "options": {"log": None}})
    header = AgentHeader(
        name="asked",
        plan=ref,
        agent=ref,
        candidates=(first, second),
        retry=RetryRule(max_retries=7),
        node=StepNode(name="turn", kind="model", candidates=(0, 1), max_tokens=50),
        budget=Decimal("1.50"),
        max_calls=61,
        queues=(None, "gpu"),
        children={"law": ref},
    )
    start = ChatStart(chat_id="c", header=header)
    written = to_json(start)
    assert ChatStart.model_validate_json(written) == start
    whole = to_json(start.model_dump() | {"header": header.model_dump()})
    assert ChatStart.model_validate_json(whole) == start
    assert len(written) < len(whole) / 1.5
    assert AgentChange.model_validate_json(to_json(AgentChange(header=header))).header == header
