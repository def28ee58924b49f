"""What of ended turns goes on into a new history: never more than a payload may have."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic_core import to_json

from contracts.artifacts import Value
from contracts.chats import ToolRecord, TurnResult
from contracts.runs import AttemptRecord
from contracts.teams import AgentStatus
from workflows.chat_fitting import LAST_TOOLS, fitting

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def turn(number: int, tools: int) -> TurnResult:
    record = ToolRecord(
        call_id="t1.1.1",
        name="look",
        arguments=Value(preview="x" * 160, size_bytes=900),
        status="completed",
        text=Value(preview="y" * 160, size_bytes=900),
        started_at=NOW,
        ended_at=NOW,
    )
    return TurnResult(turn=number, status=AgentStatus.COMPLETED, tools=(record,) * tools)


def attempts(number: int, count: int) -> list[AttemptRecord]:
    return [
        AttemptRecord(
            step=f"t{number}" if n % 2 else f"t{number}.1.{n}",
            number=n,
            provider="p",
            model="m",
            state="settled",
            reserved=Decimal(1),
            queued_at=NOW,
        )
        for n in range(1, count + 1)
    ]


def test_what_is_small_goes_on_whole() -> None:
    results = [turn(n, 3) for n in range(1, 6)]
    spent = [a for n in range(1, 7) for a in attempts(n, 4)]
    assert fitting(results, spent) == (tuple(results), tuple(spent))


@pytest.mark.parametrize(("turns", "calls"), [(20, 100), (3, 1000), (20, 1000)])
def test_never_more_goes_on_than_a_payload_may_have(turns: int, calls: int) -> None:
    results = [turn(n, calls) for n in range(1, turns + 1)]
    spent = [a for n in range(1, turns + 1) for a in attempts(n, calls)]
    kept, kept_attempts = fitting(results, spent)
    size = sum(len(to_json(one)) for one in (*kept, *kept_attempts))
    assert size < 600_000
    assert [one.turn for one in kept] == [one.turn for one in results]
    assert len(kept[-1].tools) in (LAST_TOOLS, calls)


def test_the_newest_turns_have_what_room_there_is() -> None:
    results = [turn(n, 20) for n in range(1, 11)]
    spent = [a for n in range(1, 11) for a in attempts(n, 20)]
    one = sum(len(to_json(x)) for x in (results[0], *attempts(1, 20)))
    kept, kept_attempts = fitting(results, spent, room=3 * one + 5_000)
    assert [bool(one.tools) for one in kept] == [False] * 7 + [True] * 3
    assert {a.step.partition(".")[0] for a in kept_attempts} == {"t8", "t9", "t10"}
