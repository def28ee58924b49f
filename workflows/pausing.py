"""A pause, as who is about to spend meets it: between two attempts, or once there is money."""

from typing import Protocol

from temporalio import workflow


class Pausable(Protocol):
    """Whose work a person can hold back."""

    paused: bool


async def resumed(state: Pausable) -> None:
    """Return at once, or where the run is paused when it goes on."""
    if state.paused and workflow.patched("attempts-pause"):
        await workflow.wait_condition(lambda: not state.paused)
