"""`watch` of a conversation: what others say to it and are answered, as it happens; read only.

Between two turns it is asked how it stands, twice a second at first and then every two seconds,
which leaves nothing in its history; within one it is followed as who talks follows it. Ctrl-C
leaves it alone. With a pipe stdout gets the answers alone, with --json a line for each turn.
"""

import asyncio
import sys
from typing import Any

import orjson

from client.chats import Chat, ChatOver, MoneyWanted
from client.cli.chat_files import said as what_was_said
from client.cli.chat_screen import PlainScreen, RichScreen, Screen, SilentScreen, question
from client.cli.chat_turns import show_result, show_turn, way_on
from client.cli.console import DONE, say, stdout
from client.cli.following import NO_SERVER, NO_WORKER
from client.connection import ServerUnreachable
from client.runs import NoWorker
from contracts.artifacts import Value
from contracts.chats import ChatView, PendingTool, TurnResult
from contracts.enclosures import Enclosed, MessageParts
from contracts.messages import Message
from contracts.parts import Part
from stores.transcripts import Transcripts
from stores.values import load_value

FIRST_LOOK_S, LATER_LOOK_S = 0.5, 2.0
SHOWN_CHARS = 2_000
"""Of what was said."""


async def watch_chat(chat: Chat, *, as_json: bool) -> int:
    """Show a conversation until it ends; return the exit code."""
    terminal = sys.stdout.isatty() and not as_json
    screen: Screen = RichScreen(stdout()) if terminal else PlainScreen()
    try:
        return await _Watch(chat, screen, as_json=as_json).run()
    except asyncio.CancelledError:
        screen.pause()
        how = f"python starter.py watch {chat.chat_id}"
        say(f"left; the conversation goes on. Watch it again with: {how}")
        raise


class _Watch:
    """`_seen` is the last turn that was shown, or had ended before; `_place` is behind it."""

    def __init__(self, chat: Chat, screen: Screen, *, as_json: bool) -> None:
        self._chat, self._screen, self._as_json = chat, screen, as_json
        self._seen = self._place = 0
        self._trouble = ""

    async def run(self) -> int:
        view = await self._view()
        self._greet(view)
        self._seen = view.turn - 1 if view.turn else view.last_turn - view.waiting
        wait = FIRST_LOOK_S
        while True:
            if self._seen < view.last_turn:
                await self._next_turn()
                wait = FIRST_LOOK_S
            elif view.phase == "terminated":
                self._screen.note("the conversation has ended")
                return DONE
            else:
                await asyncio.sleep(wait)
                wait = min(wait * 1.5, LATER_LOOK_S)
            place = await self._chat.place()
            view = await self._view()
            if view.last_turn == self._seen:
                self._place = place  # the next turn writes behind it

    def _greet(self, view: ChatView) -> None:
        self._screen.note(
            f"watching {view.chat_id}: {view.agent} · {view.model}, {view.messages} of "
            f"{view.max_messages} messages. Ctrl-C leaves; the conversation goes on"
        )

    async def _view(self) -> ChatView:
        """Return how it stands, however long nobody can say so. Raises UnknownChat."""
        while True:
            try:
                view = await self._chat.view()
            except (NoWorker, ServerUnreachable) as error:
                self._tell(NO_WORKER if isinstance(error, NoWorker) else NO_SERVER)
                await asyncio.sleep(FIRST_LOOK_S)
            else:
                self._tell("")
                return view

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            self._screen.note(f"note: {trouble}")
        self._trouble = trouble

    async def _next_turn(self) -> None:
        """Show the turn after the last one seen, from its beginning to its end."""
        turn = self._seen + 1
        try:
            said = await self._said(turn)
            if said and not self._as_json:
                self._screen.note(f"> {said}")
            result = await self._shown(turn)
            if self._as_json:
                await self._write(result, said or await self._said(turn))
            else:
                await show_result(self._chat, self._screen, result)
        except ChatOver:
            pass  # it ended long ago, or was given up with the conversation
        except (NoWorker, ServerUnreachable):
            self._screen.note("(shown again from its beginning once somebody answers)")
            return
        self._seen = turn

    async def _shown(self, turn: int) -> TurnResult:
        """Follow a turn; with --json for its end alone."""
        screen = SilentScreen() if self._as_json else self._screen
        result = await show_turn(self._chat, screen, turn, self._place, self._asked)
        assert result is not None
        return result

    async def _asked(self, wanted: PendingTool | MoneyWanted) -> bool:
        if isinstance(wanted, MoneyWanted):
            self._screen.note(f"waiting for money: {wanted.why}")
        else:
            self._screen.note(f"waiting for a person: {question(wanted)}")
        self._screen.note(way_on(self._chat.chat_id, wanted))
        return True

    async def _said(self, turn: int) -> str:
        """Return what a turn answers; "" where that is not known (any more)."""
        view = await self._chat.turn(turn)
        text = await self._loaded(view.said, view.enclosed) if view.said else ""
        if view.result is not None and view.result.transcript is not None:
            messages = await Transcripts(self._chat.store).read(view.result.transcript)
            text = next((what_was_said(m) for m in reversed(messages) if m.role == "user"), "")
        return text if len(text) <= SHOWN_CHARS or self._as_json else f"{text[:SHOWN_CHARS]}…"

    async def _loaded(self, said: Value, enclosed: Enclosed | None) -> str:
        store = self._chat.store
        parts: tuple[Part, ...] = ()
        if enclosed is not None:
            parts = (await store.get_model(enclosed.parts, MessageParts)).parts
        text = str(await load_value(store, said))
        return what_was_said(Message("user", text, parts=parts))

    async def _write(self, result: TurnResult, said: str) -> None:
        line: dict[str, Any] = result.model_dump(mode="json", exclude_none=True)
        line |= {"said": said, "output": await self._chat.output(result)}
        sys.stdout.write(orjson.dumps(line).decode() + "\n")
        sys.stdout.flush()
