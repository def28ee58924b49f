"""What follows a model's answer within a turn of a conversation. Pure.

| the model's answer | then |
| --- | --- |
| asks for no tool | it is the turn's answer |
| asks for tools, calls are left | the tools are called, some after a person's word |
| asks for tools, no call of the model is left | the turn ends: its answer could not be heard |
| tools called, a critical one failed | the turn ends |
| tools called, some arguments did not fit, repairs are left | the model is told, and asked again |
| the same, no repair is left | the turn ends |
| tools called otherwise, however they ended | the model is told, and asked again |

Money is `rules.ledger`'s, attempts at one answer are `rules.attempts`'.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

WARN_AT_PERCENT = 80
"""Of `max_messages`: then people are told that the conversation grows long."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one turn: calls of the model, and how often arguments may be mended."""

    max_calls: int
    argument_repairs: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a turn is: calls of the model that were answered, repairs that were asked for."""

    calls: int = 0
    repairs: int = 0


@dataclass(frozen=True, slots=True)
class Called:
    """How one tool call ended. `misfit`: its arguments, or its name, were the model's mistake."""

    name: str
    failed: bool = False
    misfit: bool = False
    critical: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Finish:
    """The answer is the turn's."""


@dataclass(frozen=True, slots=True)
class CallTools:
    """The tools that were asked for are called."""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """The model is given the results and asked again."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Stop:
    """The turn ends without an answer. `kind` is the result's, `reason` is for people."""

    kind: str
    reason: str


def after_answer(asked: int, progress: Progress, limits: Limits) -> Finish | CallTools | Stop:
    """Return what follows an answer that asks for so many tools.

    `progress` counts that answer. The last call that a turn has must be its answer: tools are
    not called when nobody could be told what they gave.
    """
    if not asked:
        return Finish()
    if progress.calls >= limits.max_calls:
        return Stop(
            "TurnLimit",
            f"the model still asks for tools after {progress.calls} calls "
            f"(execution.max_turns {limits.max_calls})",
        )
    return CallTools()


def after_tools(called: Sequence[Called], progress: Progress, limits: Limits) -> AskAgain | Stop:
    """Return what follows once all tools of an answer have ended."""
    for one in called:
        if one.failed and one.critical:
            return Stop("ToolFailed", f"the critical tool {one.name} failed: {one.error}")
    misfits = [one for one in called if one.misfit]
    if not misfits:
        return AskAgain(progress)
    if progress.repairs >= limits.argument_repairs:
        first = misfits[0]
        return Stop(
            "ToolArguments",
            f"the arguments for {first.name} do not fit after {progress.repairs} repairs: "
            f"{first.error}",
        )
    return AskAgain(replace(progress, repairs=progress.repairs + 1))


def near_limit(messages: int, max_messages: int) -> bool:
    """Whether a conversation has reached WARN_AT_PERCENT of its messages; never before the first.

    The threshold is rounded down: 2 of 3, 8 of 10, 40 of 50.
    """
    return messages > 0 and messages >= max_messages * WARN_AT_PERCENT // 100
