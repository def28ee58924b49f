"""A pause, as who is about to spend meets it: between two attempts, or once there is money."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from temporalio import workflow

Held = TypeVar("Held")


class Pausable(Protocol):
    """Whose work a person can hold back."""

    paused: bool


async def held_unpaused(
    state: Pausable, hold: Callable[[], Awaitable[Held]], release: Callable[[], None]
) -> Held:
    """Hold money for a call that may be sent at once; while the run is paused nothing is held."""
    while True:
        held = await hold()
        if not (state.paused and workflow.patched("attempts-pause")):
            return held
        release()
        await workflow.wait_condition(lambda: not state.paused)
