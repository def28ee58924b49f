"""What of ended turns goes on into a new history: the newest whole, as far as there is room.

A payload of the server has 2 MB at most, and a turn with a thousand calls of tools has nearly
one. Of what does not fit the result goes on without its attempts, which the history before has,
and with the last of its tools, without their texts.
"""

from collections.abc import Iterable, Sequence

from pydantic_core import to_json

from contracts.chats import TurnResult, turn_unit
from contracts.runs import AttemptRecord
from workflows.parked import slim

ROOM_BYTES = 400_000
LAST_TOOLS = 100


def fitting(
    results: Sequence[TurnResult], attempts: Iterable[AttemptRecord], room: int = ROOM_BYTES
) -> tuple[tuple[TurnResult, ...], tuple[AttemptRecord, ...]]:
    """Return the results and the attempts that go on, both in the order that they have.

    Attempts of no ended turn all do.
    """
    by_turn: dict[str, list[AttemptRecord]] = {}
    for attempt in attempts:
        by_turn.setdefault(attempt.step.partition(".")[0], []).append(attempt)
    kept: list[TurnResult] = []
    for result in reversed(results):
        own = by_turn.get(turn_unit(result.turn), [])
        size = len(to_json(result)) + sum(len(to_json(attempt)) for attempt in own)
        if size > room:
            by_turn.pop(turn_unit(result.turn), None)
            tools = tuple(slim(record) for record in result.tools[-LAST_TOOLS:])
            result = result.model_copy(update={"tools": tools if not kept else ()})
            size = len(to_json(result))
        room -= size
        kept.append(result)
    going_on = tuple(attempt for own in by_turn.values() for attempt in own)
    return tuple(reversed(kept)), going_on
