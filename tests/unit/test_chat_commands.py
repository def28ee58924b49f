"""Commands of the chat that are mistyped, and those that need no server."""

from typing import Any, cast

import pytest

from client.cli.chat_commands import Talk, run_command
from client.cli.chat_screen import SilentScreen

pytestmark = pytest.mark.unit


class Noting(SilentScreen):
    """Remembers the lines that are no part of an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


class Nobody:
    """A talk whose conversation is not asked for anything."""

    def __init__(self) -> None:
        self.screen = Noting()


@pytest.mark.parametrize(
    ("typed", "meant"), [("/hlep", "/help"), ("/COTS", "/cost"), ("/exti now", "/exit")]
)
async def test_a_mistyped_command_is_told_with_the_nearest(typed: str, meant: str) -> None:
    talk: Any = Nobody()
    assert await run_command(cast("Talk", talk), typed)
    (note,) = talk.screen.notes
    assert f'Did you mean "{meant}"?' in note
    assert "/help lists them" in note


async def test_one_that_is_like_none_is_told_too() -> None:
    talk: Any = Nobody()
    assert await run_command(cast("Talk", talk), "/xyzzy")
    assert talk.screen.notes == ["there is no command /xyzzy. /help lists them"]


async def test_leaving_asks_nobody() -> None:
    assert not await run_command(cast("Talk", Nobody()), "/exit")
