"""Which activities a worker's queues have: all that the stubs of `contracts` declare, bound.

The names come from the stubs, so that an activity that is declared and not served cannot be.
"""

from collections.abc import Callable
from typing import Any

from activities.chats import CallTurn
from activities.execution import ExecutionWork
from activities.models import CallModel
from activities.runs import RunWork
from activities.tools import RunTools
from contracts.activities import RunActivities, SliceActivities
from contracts.execution_activities import ExecutionActivities
from contracts.tool_activities import ToolActivities

Activities = list[Callable[..., Any]]


def activities_of(work: RunWork) -> Activities:
    """Return the light activities, bound to their store."""
    stubs = RunActivities.__abstractmethods__ | SliceActivities.__abstractmethods__
    return [getattr(work, name) for name in sorted(stubs)]


def asking_activities(model: CallModel, turn: CallTurn) -> Activities:
    """Return the activities that ask a model, which every provider's queue has."""
    return [model.call_model, model.count_tokens, model.give_back, turn.call_turn, turn.count_turn]


def execution_activities(work: ExecutionWork) -> Activities:
    """Return the activities of executions, which every provider's queue has."""
    return [getattr(work, name) for name in sorted(ExecutionActivities.__abstractmethods__)]


def tool_activities(tools: RunTools) -> Activities:
    """Return the activities of the tools' queues."""
    return [getattr(tools, name) for name in sorted(ToolActivities.__abstractmethods__)]
