"""Conversations by the commands for runs: listed, shown, ended, decided about."""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.table import Table
from rich.text import Text
from temporalio.service import RPCError

from client.chats import Chat, ChatLine, MoneyWanted
from client.cli.chat_screen import question
from client.cli.chat_turns import way_on
from client.cli.console import DONE, WAITING, Refusal, clean, say, stdout
from client.cli.spelling import cap, elapsed, moment, money, plural
from client.cli.tables import new_table, plain
from client.runs import ASK_LIMIT
from contracts.chats import ChatView
from contracts.updates import BudgetRaise

CANCEL_S = 15.0
SHOWN_ATTEMPTS = 10
MINUTES = len("2026-01-01 12:00")
_STYLES = {"initializing": "dim", "active": "cyan", "terminated": "dim", "": "dim"}


# looking


def chats_table(lines: Sequence[ChatLine]) -> Table:
    """Return conversations, a line each."""
    table = new_table(
        "conversation", "state", "started", "agent", "begins with", "cost", right=("cost",)
    )
    for column in table.columns:
        column.no_wrap = column.header != "begins with"  # the only one that may be squeezed
    for line in lines:
        state = "open" if line.open else "ended"
        table.add_row(
            Text(line.chat_id),
            Text(state, style="cyan" if line.open else "dim"),
            moment(line.started_at)[:MINUTES],
            plain(line.agent),
            plain(line.title),
            "" if line.cost is None else money(line.cost),
        )
    return table


def listed(line: ChatLine) -> dict[str, Any]:
    """Return a conversation as JSON; dollars are exact decimals in strings."""
    return {
        "kind": "chat",
        "run_id": line.chat_id,
        "team": line.agent,
        "title": line.title,
        "status": "open" if line.open else "ended",
        "cost": None if line.cost is None else str(line.cost),
        "tokens": line.tokens,
        "started_at": line.started_at.isoformat() if line.started_at else None,
        "completed_at": line.closed_at.isoformat() if line.closed_at else None,
    }


async def show_chat(chat: Chat, *, as_json: bool) -> int:
    """Show how a conversation stands; return the exit code."""
    view = await chat.view()
    waits = bool(view.pending or view.paused_for)
    if as_json:
        print(view.model_dump_json(indent=2))
        return WAITING if waits else DONE
    console = stdout()
    console.print(Text(view.phase, style=_STYLES[view.phase]), view.chat_id)
    console.print(_calls(view))
    console.print(clean(_figures(view)))
    for pending in view.pending:
        console.print(clean(question(pending)), soft_wrap=True)
        console.print(Text(way_on(view.chat_id, pending)), soft_wrap=True)
    if view.paused_for:
        console.print(clean(view.paused_for), soft_wrap=True)
        console.print(Text(way_on(view.chat_id, MoneyWanted(view.paused_for))), soft_wrap=True)
    return WAITING if waits else DONE


def _calls(view: ChatView) -> Table:
    table = new_table("call", "by", "outcome", "tokens", "cost", "time", right=("tokens", "cost"))
    for one in view.attempts[-SHOWN_ATTEMPTS:]:
        table.add_row(
            Text(one.id),
            plain(f"{one.provider} {one.model}"),
            plain(one.outcome),
            f"{one.usage.total_tokens:,}" if one.usage else "",
            money(one.cost),
            elapsed(one.started_at, one.ended_at),
        )
    return table


def _figures(view: ChatView) -> str:
    parts = [
        f"{view.agent} by {view.model}",
        f"{plural(view.messages, 'message')} remembered",
        f"{money(view.cost)} of {cap(view.budget)}",
        f"{view.tokens:,} tokens",
    ]
    if view.turn is not None:
        parts.append(f"message {view.turn} is being answered")
    if view.waiting:
        parts.append(f"{view.waiting} wait")
    return ", ".join(parts)


# ending


async def cancel_chat(chat: Chat) -> int:
    """End a conversation for good; what is under way is stopped and settled."""
    view = await chat.view()
    if view.phase == "terminated":
        say(f"conversation {chat.chat_id} has ended already")
        return DONE
    try:
        await chat.handle.cancel(rpc_timeout=ASK_LIMIT)
    except RPCError as error:
        raise Refusal(f"conversation {chat.chat_id}: {error.message}") from None
    ended = await _ended(chat)
    if ended is not None:
        say(f"conversation {chat.chat_id} has ended: {money(ended.cost)} was spent")
    else:
        say(f"conversation {chat.chat_id} was asked to end; a worker has to settle its calls first")
    return DONE


async def _ended(chat: Chat) -> ChatView | None:
    """Return how a conversation stands at its end; None if that takes too long."""
    until = time.monotonic() + CANCEL_S
    while time.monotonic() < until:
        view = await chat.view()
        if view.phase == "terminated":
            return view
        await asyncio.sleep(0.2)
    return None


# deciding

WORDS = ("approve", "reject")
"""What a person may say of a tool call."""


async def approve_call(chat: Chat, call_id: str | None, choice: str, comment: str) -> str:
    """Give a person's word on a tool call; on the only one that waits, where none is named."""
    waiting = [one.call_id for one in (await chat.view()).pending]
    named, word = answered_call(waiting, chat.chat_id, call_id, choice)
    await chat.decide(named, approved=word == "approve", comment=comment)
    return f"{named}: {word}"


def answered_call(
    waiting: Sequence[str], chat_id: str, call_id: str | None, choice: str
) -> tuple[str, str]:
    """Return which call a word is about, and the word. Raises Refusal where that is not clear.

    Where one call waits, it need not be named, whatever the word.
    """
    if call_id is not None and call_id in WORDS and choice == WORDS[0]:  # no call is called so
        choice, call_id = call_id, None
    if choice not in WORDS:
        raise Refusal(f"{choice}: a tool call takes {' or '.join(WORDS)}")
    if not waiting:
        raise Refusal(f"no tool call of {chat_id} waits for a word")
    if call_id is None and len(waiting) > 1:
        raise Refusal(f"{chat_id} asks {', '.join(waiting)}: name the call")
    return call_id or waiting[0], choice


async def raise_chat_budget(chat: Chat, to: Decimal) -> str:
    """Raise what a conversation may cost; what waits for money goes on."""
    view = await chat.raise_budget(BudgetRaise(to=to))
    return f"the budget is {cap(view.budget)} now, of which {money(view.cost)} is spent"
