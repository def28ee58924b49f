"""`chat`: talk to an agent in the terminal; the conversation outlives the terminal.

The agent is loaded and planned before a server is touched. On a terminal there is a prompt and
Markdown; with a pipe each line is a message and stdout gets the answers. Ctrl-C stops the answer
under way, at the prompt it leaves; leaving never ends a conversation, `--session` comes back to
it, also in the middle of an answer.
"""

import asyncio
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from client.agent_plans import PlannedAgent
from client.chat.messages import MessageValidator
from client.chats import Chat, ChatError, ChatOver, MoneyWanted
from client.cli.chat_commands import COMMANDS, run_command
from client.cli.chat_files import Files, FileTrouble, kinds_of, split
from client.cli.chat_input import HINT, Input, PipeInput, TerminalInput
from client.cli.chat_rejoining import rejoin
from client.cli.chat_screen import PlainScreen, RichScreen, Screen, question
from client.cli.chat_turns import show_result, show_turn, way_on
from client.cli.chats_found import chat_to_join
from client.cli.chats_shown import chats_table
from client.cli.console import (
    DONE,
    FAILED,
    INTERRUPTED,
    WAITING,
    Refusal,
    run_async,
    say,
    stdout,
)
from client.cli.places import Planning, conversations, given_model
from client.cli.preparing import dollars, refuse_absent
from client.cli.session import RUN_ID, Session, open_session
from client.cli.spelling import plural
from client.cli.telemetry import note_turn
from client.connection import ServerUnreachable
from client.planning import PlanError
from client.runs import NoWorker, new_run_id
from config.agentfile import LoadedAgent, load_agent
from config.problems import ConfigError
from contracts.chats import AgentHeader, AgentPlan, PendingTool, TurnResult
from contracts.parts import FileInlinePart
from contracts.teams import AgentStatus
from contracts.updates import BudgetRaise
from providers.exceptions import ExecutionPlatformError
from stores.exceptions import StoreError

LEAVE = frozenset({"exit", "quit"})
MOST_MESSAGES = 50
"""In a conversation, before it is warned of its length; nothing is refused beyond them."""


@dataclass(frozen=True)
class ChatWanted:
    """What was asked for on the command line. `files` go with the first message."""

    file: Path
    session: str | None = None
    provider: str | None = None
    simulation: Path | None = None
    model: str | None = None
    max_messages: int | None = None
    verbose: bool = False
    files: Sequence[str] = ()


def chat(wanted: ChatWanted) -> int:
    """Talk to an agent; return the exit code."""
    refuse_absent(wanted.file)
    if wanted.session is not None and RUN_ID.fullmatch(wanted.session) is None:
        raise Refusal(
            f"--session {wanted.session}: letters, digits, '.', '_' and '-', 200 at most, and a "
            "letter or a digit first"
        )
    files = _given_files(wanted.files)
    session = open_session()
    loaded = load_agent(wanted.file, given=given_model(wanted.model))
    return run_async(lambda: _chat(session, wanted, loaded, files))


def _given_files(paths: Sequence[str]) -> Files:
    """Return the files of the command line. Raises Refusal."""
    files = Files()
    try:
        parts, notes = files.read(paths)
    except FileTrouble as error:
        raise Refusal(f"--file: {error}") from None
    files.add(parts)
    for note in notes:
        say(f"note: {note}")
    return files


def list_chats(limit: int) -> int:
    """List the latest conversations."""
    session = open_session()

    async def main() -> int:
        async with conversations(session) as chats:
            lines = await chats.latest(limit)
        if lines:
            stdout().print(chats_table(lines))
        else:
            say("there are no conversations yet")
        return DONE

    return run_async(main)


async def _chat(session: Session, wanted: ChatWanted, loaded: LoadedAgent, files: Files) -> int:
    plan = await Planning.of(session, wanted.provider, wanted.simulation)
    planned = plan(loaded)
    if files.kinds:
        plan.taking(planned, files.kinds, ", ".join(files.names))
    for note in planned.notes:
        say(f"note: {note}")
    if session.address is None and sys.stdout.isatty():
        say("starting the server and its worker: a few seconds")
    async with conversations(session, wanted.provider) as chats:
        header = await planned.stored(session.storage.store)
        name = planned.agent.name
        chat_id = new_run_id(name)
        if wanted.session is not None:
            chat_id = await chat_to_join(chats, wanted.session, name)
        chat = await chats.open(chat_id, header, wanted.max_messages or MOST_MESSAGES)
        if wanted.session is not None:
            # Who does not take what the conversation shows stays left out.
            kinds = (await chat.active()).files.kinds
            fitting = plan.taking(planned, kinds) if kinds else planned
            header = await fitting.stored(session.storage.store)
            if changed := await rejoin(chat, header):
                say(f"note: {changed}")
        talk = Talk(plan, wanted, chat, planned, files)
        return await talk.run()


def way_back(wanted: ChatWanted, chat_id: str) -> str:
    """Return how to come back to a conversation, with the same who answers."""
    options = {
        "--session": chat_id,
        "--provider": wanted.provider,
        "--simulation": wanted.simulation,
        "--model": wanted.model,
        "--max-messages": wanted.max_messages,
    }
    given = [word for name, value in options.items() if value for word in (name, str(value))]
    return f"Come back with: python starter.py chat {shlex.join([str(wanted.file), *given])}"


class Talk:
    """One conversation at one terminal."""

    def __init__(
        self, plan: Planning, wanted: ChatWanted, chat: Chat, planned: PlannedAgent, files: Files
    ) -> None:
        self._plan, self._wanted, self.chat = plan, wanted, chat
        self._planned, self._files = planned, files
        self.ended = False
        self._answered = self._failed = 0
        self._waiting = self._interrupted = False
        self._validator = MessageValidator()
        self._terminal = sys.stdin.isatty() and sys.stdout.isatty()
        self.screen: Screen = PlainScreen(verbose=wanted.verbose)
        self._input: Input = PipeInput()
        if self._terminal:
            self.screen = RichScreen(stdout(), verbose=wanted.verbose)
            self._input = TerminalInput(plan.session.storage.data.root / "chat-history", COMMANDS)

    async def run(self) -> int:
        """Talk until the person leaves; return the exit code."""
        try:
            await self._greet()
            code = await self._converse()
        except ChatOver as error:
            self.screen.note(str(error))
            self.ended, code = True, FAILED
        except KeyboardInterrupt:
            code = INTERRUPTED
        except asyncio.CancelledError:
            if not self._interrupted:
                raise
            code = INTERRUPTED
        finally:
            self.screen.pause()
            if not self.ended:
                say(way_back(self._wanted, self.chat.chat_id))
        if code == DONE and self._failed and not self._answered:
            return FAILED
        return code

    async def _greet(self) -> None:
        view = await self.chat.active()
        for problem in view.problems:
            self.screen.note(f"note: {problem}")
        if self._terminal:
            self.screen.note(f"{view.agent} · {view.model} · {HINT}")
        if view.last_turn:
            remembered = plural(view.messages, "message")
            self.screen.note(f"back in {self.chat.chat_id}, {remembered} remembered")
        if view.turn is not None:
            self.screen.note("an answer is under way:")
            await self.follow(view.turn)

    async def _converse(self) -> int:
        while not self._waiting:
            line = await self._input.next(self._files.labels)
            if line is None or line.strip().lower() in LEAVE:
                return DONE
            if not line.strip():
                continue
            if line.strip().startswith("/"):
                if not await self._command(line):
                    return DONE
                continue
            await self._say(line)
        return WAITING

    async def _command(self, line: str) -> bool:
        try:
            return await run_command(self, line)
        except (ChatError, ConfigError, PlanError, ExecutionPlatformError, NoWorker) as error:
            if isinstance(error, ChatOver):
                raise
            self.screen.note(f"error: {error}")
            return True

    async def _say(self, text: str) -> None:
        """Say something and show the answer; whatever fails, the chat goes on."""
        valid, why = self._validator.validate(text)
        if not valid:
            self.screen.note(f"error: {why}")
            self._failed += 1
            return
        place, parts = await self.chat.place(), self._files.parts
        try:
            if parts:
                await self._find_taker(parts)
            said = await self.chat.say(text, parts=parts)
        except ChatOver:
            raise
        except (ChatError, PlanError, NoWorker, ServerUnreachable, StoreError) as error:
            self.screen.note(f"error: {error}")
            self._failed += 1
            return
        self._files.clear()
        await self.follow(said.turn, place)

    # files

    async def attach(self, typed: str) -> None:
        """Add files to the next message, tell which there are, or (-) take them back.

        Raises PlanError where nobody who answers takes them, naming who would.
        """
        if typed == "-":
            self._files.clear()
        elif typed:
            try:
                parts, notes = self._files.read(
                    split(typed), None if self._terminal else Path.cwd()
                )
            except FileTrouble as error:
                self.screen.note(f"error: {error}")
                self._failed += 1
                return
            await self._taker((*self._files.parts, *parts))
            self._files.add(parts)
            for note in notes:
                self.screen.note(f"note: {note}")
        told = " ".join(self._files.labels) or "no files"
        if not self._terminal or typed in ("", "-"):  # else the prompt shows them
            self.screen.note(f"with the next message: {told}")

    async def _find_taker(self, parts: Sequence[FileInlinePart]) -> None:
        """Leave out from now on who does not take the files of the conversation and these."""
        planned = await self._taker(parts)
        if planned is not None:
            await self.chat.use_agent(await planned.stored(self.chat.store))
            asked = ", ".join(f"{one.provider} {one.model}" for one in planned.plan.candidates)
            self.screen.note(f"note: who takes such files answers from now on: {asked}")

    async def _taker(self, parts: Sequence[FileInlinePart]) -> PlannedAgent | None:
        """Return who shall answer, where not all who do take such files. Raises PlanError."""
        view = await self.chat.view()
        kinds = tuple(dict.fromkeys((*view.files.kinds, *kinds_of(parts))))
        now = await self.chat.store.get_model(view.plan, AgentPlan)
        if self._plan.takes(now.candidates, kinds):
            return None
        named = ", ".join(part.name or part.mime_type for part in parts if kinds_of([part]))
        return self._plan.taking(self._planned, kinds, named)

    async def follow(self, turn: int, place: int = 0) -> None:
        """Show a turn to its end. Ctrl-C stops the answer, a second one leaves."""
        me = asyncio.current_task()
        assert me is not None
        loop, stops = asyncio.get_running_loop(), [0]

        def leave() -> None:
            self._interrupted = True
            me.cancel()

        def interrupt() -> None:
            stops[0] += 1
            if stops[0] > 1:
                leave()
            else:
                stopping.append(asyncio.ensure_future(self.chat.stop(turn)))

        stopping: list[asyncio.Future[Any]] = []
        if self._terminal:
            loop.add_signal_handler(signal.SIGINT, interrupt)
        try:
            result = await show_turn(self.chat, self.screen, turn, place, self._asked)
            if result is not None:
                await self._end(result)
        except (NoWorker, ServerUnreachable) as error:
            self.screen.note(f"error: {error}")
            self._failed += 1
        finally:
            if self._terminal:
                loop.add_signal_handler(signal.SIGINT, leave)
            await asyncio.gather(*stopping, return_exceptions=True)

    async def _asked(self, wanted: PendingTool | MoneyWanted) -> bool:
        """Ask the person for a word or for money; False where nobody is there."""
        if isinstance(wanted, MoneyWanted):
            return await self._asked_for_money(wanted)
        word = await self._input.agree(question(wanted))
        if word is None:
            self.screen.note(f"waiting for a person: {question(wanted)}")
            self.screen.note(way_on(self.chat.chat_id, wanted))
            self._waiting = True
            return False
        await self.chat.decide(wanted.call_id, approved=word)
        return True

    async def _asked_for_money(self, wanted: MoneyWanted) -> bool:
        self.screen.note(f"waiting for money: {wanted.why}")
        while True:
            told = await self._input.ask("The new budget in dollars (Enter: stop the answer): ")
            if told is None:
                self.screen.note(way_on(self.chat.chat_id, wanted))
                self._waiting = True
                return False
            if not told.strip():
                await self.chat.stop()
                return True
            try:
                await self.chat.raise_budget(BudgetRaise(to=dollars(told.strip(), "budget")))
            except (ChatError, Refusal) as error:
                self.screen.note(f"error: {error}")
            else:
                return True

    async def _end(self, result: TurnResult) -> None:
        self._answered += result.status is AgentStatus.COMPLETED
        self._failed += result.status not in (AgentStatus.COMPLETED, AgentStatus.CANCELLED)
        await show_result(self.chat, self.screen, result, self._wanted.max_messages)
        await note_turn(self._planned.agent, self.chat.chat_id, result)

    async def planned(self, model: str) -> AgentHeader:
        """Return the agent with another model, which takes what the conversation shows.

        Raises PlanError where it does not, naming who would.
        """
        planned = self._plan(load_agent(self._wanted.file, given=given_model(model)))
        kinds = (*(await self.chat.view()).files.kinds, *self._files.kinds)
        fitting = self._plan.taking(planned, kinds) if kinds else planned
        header = await fitting.stored(self.chat.store)
        self._planned = planned
        self._wanted = replace(self._wanted, model=model)
        return header
