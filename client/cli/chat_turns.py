"""A turn of a conversation on a screen: the same for who talks and for who watches."""

import contextlib
from collections.abc import Awaitable, Callable

import orjson

from client.chats import Chat, MoneyWanted, StreamTrouble, TextPart
from client.cli.chat_screen import Screen, figures, trouble
from client.cli.invocation import pasteable
from contracts.base import Json
from contracts.chats import PendingTool, TurnResult
from contracts.spools import SpoolRecord
from contracts.teams import AgentStatus
from rules.turns import near_limit

Asked = Callable[[PendingTool | MoneyWanted], Awaitable[bool]]
"""Is told what waits for a person: a tool call, or money; False ends the showing."""


async def show_turn(
    chat: Chat, screen: Screen, turn: int, place: int, asked: Asked
) -> TurnResult | None:
    """Show a turn as it is written; return its result, or None where `asked` ended it.

    `place` is a place of the spool before its first text. Raises as `Chat.follow` does.
    """
    screen.wait()
    async with contextlib.aclosing(chat.follow(turn, place)) as events:
        async for event in events:
            match event:
                case TextPart():
                    screen.text(event.unit, event.keep, event.added)
                case SpoolRecord():
                    screen.tool(event)
                    screen.wait()
                case StreamTrouble():
                    screen.note(trouble(event))
                case PendingTool() | MoneyWanted():
                    screen.pause()
                    if not await asked(event):
                        return None
                    screen.wait()
                case TurnResult():
                    return event
    raise AssertionError("unreachable: a turn that is followed has a result")


async def show_result(
    chat: Chat, screen: Screen, result: TurnResult, most: int | None = None
) -> None:
    """End what was shown of a turn: the whole answer, or why there is none, and its figures.

    `most` messages, where it is given, are what this terminal is warned by, however many the
    conversation began with.
    """
    if result.status is AgentStatus.COMPLETED:
        screen.finish(text_of(await chat.output(result)))
    else:
        screen.pause()
        stopped = result.status is AgentStatus.CANCELLED
        screen.note("stopped" if stopped else f"error: {result.error}")
    view = await chat.view()
    if most is not None:
        view = view.model_copy(update={"max_messages": most})
    for note in result.notes:
        screen.note(f"note: {note}")
    screen.note(figures(view, result))
    if near_limit(view.messages, view.max_messages):
        screen.note(
            f"note: {view.messages} of {view.max_messages} messages; /compact sums them up, "
            "/clear begins anew"
        )
    screen.part()


def way_on(chat_id: str, wanted: PendingTool | MoneyWanted) -> str:
    """Return the command that gives what a turn waits for, as it can be pasted."""
    if isinstance(wanted, MoneyWanted):
        return pasteable(f"go on with: python starter.py budget {chat_id} --raise DOLLARS")
    call = f"{chat_id} {wanted.call_id}"
    return pasteable(f"go on with: python starter.py approve {call} approve|reject")


def text_of(output: Json) -> str:
    """Return an answer as Markdown: a text as it is, anything else as JSON."""
    if isinstance(output, str):
        return output
    return f"```json\n{orjson.dumps(output, option=orjson.OPT_INDENT_2).decode()}\n```"
