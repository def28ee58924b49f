"""What a paid call's activity lets out, run alone: its reply is encoded already."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from temporalio.common import RawValue
from temporalio.testing import ActivityEnvironment

R = TypeVar("R")


async def replied(
    environment: ActivityEnvironment,
    activity: Callable[..., Awaitable[R]],
    call: Any,
    kind: type[R],
) -> R:
    """Run an activity and return its reply, as the workflow will read it."""
    made = await environment.run(activity, call)
    assert isinstance(made, RawValue)
    (reply,) = environment.payload_converter.from_payloads([made.payload], [kind])
    assert isinstance(reply, kind)
    return reply
