"""What can be typed in a chat beside messages: /cost, /history, /clear, /model, …"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from client.chats import Chat
from client.cli.chat_files import said
from client.cli.chat_screen import Screen, listed, question
from client.cli.console import clean
from config.problems import did_you_mean
from contracts.chats import AgentHeader

COMMANDS = {
    "/help": "this list",
    "/file": "PATH…: files for the next message; alone: which there are; with -: none of them",
    "/cost": "what the conversation has cost, attempt by attempt",
    "/history": "what the agent remembers",
    "/compact": "sum up what was said: the agent goes on from the summary; one paid call",
    "/clear": "forget what was said; what it cost stays counted",
    "/model": "who answers; with a name (MODEL or PROVIDER/MODEL): who shall from now on",
    "/approve": "tool calls that wait for a person; with an id: allow that call",
    "/reject": "with an id: decline that call",
    "/end": "end the conversation for good, and leave",
    "/exit": "leave; the conversation can be come back to",
}

FILE_COMMANDS = ("/file", "/attach")

SHOWN_CHARS = 400


class Talk(Protocol):
    """The conversation at a terminal that commands are about."""

    chat: Chat
    screen: Screen
    ended: bool

    async def follow(self, turn: int, place: int = 0) -> None:
        """Show a turn to its end."""
        ...

    async def planned(self, model: str) -> AgentHeader:
        """Return the agent with another model, which takes what the conversation shows."""
        ...

    async def attach(self, typed: str) -> None:
        """Add files to the next message."""
        ...


async def run_command(talk: Talk, line: str) -> bool:
    """Carry out a command; return whether the chat goes on."""
    name, _, argument = line.strip().partition(" ")
    name, argument = name.lower(), argument.strip()
    if name in ("/exit", "/quit"):
        return False
    if name == "/end":
        await talk.chat.end("by /end")
        talk.ended = True
        return False
    known: dict[str, Callable[[Talk, str], Awaitable[None]]] = {
        "/help": _help,
        "/file": _file,
        "/attach": _file,
        "/cost": _cost,
        "/history": _history,
        "/compact": _compact,
        "/clear": _clear,
        "/model": _model,
        "/approve": _approve,
        "/reject": _reject,
    }
    if name not in known:
        near = did_you_mean(name, (*known, "/exit", "/quit", "/end"))
        talk.screen.note(f"there is no command {name}.{near} /help lists them")
        return True
    await known[name](talk, argument)
    return True


async def _help(talk: Talk, _: str) -> None:
    for line in listed(list(COMMANDS.items())):
        talk.screen.note(line)


async def _file(talk: Talk, typed: str) -> None:
    await talk.attach(typed)


async def _cost(talk: Talk, _: str) -> None:
    view = await talk.chat.view()
    rows = [
        (a.id, f"{a.provider} {a.model}", a.outcome, f"{_tokens(a.usage)} tokens", f"${a.cost:.6f}")
        for a in view.attempts
    ]
    for line in listed(rows):
        talk.screen.note(line)
    most = f" (at most: {view.uncertain:.6f} of it is not known for sure)" if view.uncertain else ""
    talk.screen.note(
        f"${view.cost:.6f} of ${view.budget:.2f}, {view.tokens:,} tokens, "
        f"{view.last_turn} messages{most}"
    )


def _tokens(usage: object) -> str:
    return f"{getattr(usage, 'total_tokens', 0):,}"


async def _history(talk: Talk, _: str) -> None:
    messages = await talk.chat.messages()
    if not messages:
        talk.screen.note("nothing was said yet")
    for message in messages:
        asked = ", ".join(call.name for call in message.tool_calls)
        whole = said(message)
        text = whole if len(whole) <= SHOWN_CHARS else f"{whole[:SHOWN_CHARS]}…"
        talk.screen.note(f"{message.role}: {clean(text)}{f' (calls {asked})' if asked else ''}")


async def _clear(talk: Talk, _: str) -> None:
    await talk.chat.clear()
    talk.screen.note("forgotten")


async def _compact(talk: Talk, _: str) -> None:
    place = await talk.chat.place()
    said = await talk.chat.compact()
    await talk.follow(said.turn, place)


async def _model(talk: Talk, argument: str) -> None:
    if argument:
        header = await talk.planned(argument)
        await talk.chat.use_agent(header)
    talk.screen.note((await talk.chat.view()).model)


async def _approve(talk: Talk, call_id: str) -> None:
    await _word(talk, call_id, approved=True)


async def _reject(talk: Talk, call_id: str) -> None:
    await _word(talk, call_id, approved=False)


async def _word(talk: Talk, call_id: str, *, approved: bool) -> None:
    pending = (await talk.chat.view()).pending
    if not pending:
        talk.screen.note("nothing waits for a person")
        return
    if not call_id:
        for one in pending:
            talk.screen.note(f"{one.call_id}: {question(one)}")
        return
    await talk.chat.decide(call_id, approved=approved)
    turn = next((one.turn for one in pending if one.call_id == call_id), None)
    if turn is not None:
        await talk.follow(turn)
