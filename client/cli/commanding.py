"""Commands that change a run: cancel, approve, pause, resume, budget, skip, retry, edit.

Each says what it did on stderr. What the run refuses, and whatever is asked of one that has ended,
is exit code 2 with the reason; nothing has changed then.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from client.chats import Chat
from client.cli.chats_found import found_chat
from client.cli.chats_shown import approve_call, cancel_chat, raise_chat_budget
from client.cli.console import DONE, Refusal, run_async, say
from client.cli.preparing import dollars
from client.cli.session import Session, open_session
from client.cli.spelling import cap, money
from client.cli.waiting import Waiting, waiting
from client.runs import NoWorker, Run
from contracts.runs import Question, step_of
from contracts.updates import (
    MOST_PROMPT_BYTES,
    Accepted,
    Answer,
    BudgetRaise,
    PauseRequest,
    PromptEdit,
    RetryRequest,
    SkipRequest,
)

T = TypeVar("T")

CANCEL_S = 15.0
"""How long a command is waited for."""

SETTLES_S = 1.0
"""How long a command may take to reach the runs within."""


def cancel(name: str) -> int:
    """Ask a run or a conversation to end, and wait a little until it has."""
    session = open_session()

    async def main() -> int:
        async with found_chat(session, name) as chat:
            if chat is not None:
                return await cancel_chat(chat)
        run = await session.find(name)
        record = await run.record()
        if record is not None:
            say(f"run {run.run_id} has ended already: {record.status.value.replace('_', ' ')}")
            return DONE
        run = await session.find_on_server(run.run_id)
        await run.cancel()
        if await _ends(run):
            status = await run.status()
            at_most = "at most " if status.uncertain else ""
            say(f"run {run.run_id} {status.status.value}: {at_most}{money(status.cost)} was spent")
        else:
            say(f"run {run.run_id} was asked to end; a worker has to settle its calls first")
        return DONE

    return run_async(main)


async def _ends(run: Run) -> bool:
    deadline = time.monotonic() + CANCEL_S
    while time.monotonic() < deadline:
        if await run.ended():
            return True
        await asyncio.sleep(0.2)
    return False


def approve(name: str, step: str | None, choice: str, comment: str) -> int:
    """Answer a question of a run; the only one, where no step is named.

    Of a conversation, `step` is the tool call that waits.
    """

    async def act(run: Run) -> str:
        step_asked, chosen = answered((await run.status()).questions, run.run_id, step, choice)
        answer = Answer(step=step_asked, choice=chosen, comment=comment)
        await _commanded(run.answer(answer))
        return f"{answer.step}: {answer.choice}"

    return _told_to(name, act, lambda chat: approve_call(chat, step, choice, comment))


YES = "approve"
"""What is answered where nothing is said."""


def answered(
    questions: Sequence[Question], run_id: str, step: str | None, choice: str
) -> tuple[str, str]:
    """Return which question is answered, and how. Raises Refusal where that is not clear.

    Where a run asks one thing only, its step need not be named, whatever the choice.
    """
    asked = [question.step for question in questions]
    if step is None:
        if len(asked) != 1:
            raise Refusal(f"{run_id} asks {', '.join(asked) or 'nothing'}: name the step")
        return asked[0], choice
    if len(asked) == 1 and step not in asked and choice == YES and step in questions[0].choices:
        return asked[0], step
    own = [name for name in asked if step_of(name) == step]
    if step not in asked and len(own) > 1:
        raise Refusal(f"{step} asks {', '.join(own)}: name one of them")
    return step, choice


def pause(name: str, *, paused: bool) -> int:
    """Let a run start no further call, or go on."""

    async def act(run: Run) -> str:
        await _commanded(run.pause(PauseRequest(paused=paused)))
        if paused:
            done = f"run {run.run_id} starts no further call; those handed out are still made"
            return str(Waiting.until(done, f"resume {run.run_id}"))
        return f"run {run.run_id} goes on{await _still_waiting(run)}"

    return _told_to(name, act)


async def _still_waiting(run: Run) -> str:
    """Say what else a run waits for after a command; nothing where it goes on."""
    deadline = time.monotonic() + SETTLES_S
    while waits := waiting(await run.status()):
        if time.monotonic() > deadline:
            return "; it still waits: " + "\n".join(map(str, waits))
        await asyncio.sleep(0.2)
    return ""


def raise_budget(name: str, amount: str) -> int:
    """Raise a run's or a conversation's budget to so many dollars in all."""
    to = dollars(amount, "--raise")

    async def act(run: Run) -> str:
        view = await _commanded(run.raise_budget(BudgetRaise(to=to)))
        said = f"the budget is {cap(view.budget)} now, of which {money(view.cost)} is spent"
        return said + await _still_waiting(run)

    return _told_to(name, act, lambda chat: raise_chat_budget(chat, to))


def skip(name: str, agent: str, reason: str) -> int:
    """Leave out an agent that has not started, and what needs it."""

    async def act(run: Run) -> str:
        done = await _commanded(run.skip(SkipRequest(step=agent, reason=reason)))
        return _told(done, f"{agent} is skipped, and what needs it", f"{agent} was skipped before")

    return _told_to(name, act)


def retry(name: str, agent: str, reason: str) -> int:
    """Run a failed agent again, and what was skipped because of it."""

    async def act(run: Run) -> str:
        done = await _commanded(run.retry(RetryRequest(step=agent, reason=reason)))
        return _told(done, f"{agent} runs again", f"{agent} runs again already")

    return _told_to(name, act)


def edit(name: str, agent: str, prompt: str | None, file: Path | None) -> int:
    """Give an agent that has not started, or has failed, another prompt."""
    text = _prompt(prompt, file)

    async def act(run: Run) -> str:
        done = await _commanded(run.edit_prompt(PromptEdit(step=agent, prompt=text)))
        return _told(done, f"{agent} has its new prompt", f"{agent} had that prompt before")

    return _told_to(name, act)


def _prompt(prompt: str | None, file: Path | None) -> str:
    """Return the new prompt. Raises Refusal."""
    if (prompt is None) == (file is None):
        raise Refusal("give the new prompt with --prompt TEXT or --prompt-file FILE, one of them")
    text = prompt if file is None else _read(file)
    if not text or not text.strip():
        raise Refusal(f"{'--prompt' if file is None else f'--prompt-file {file}'}: it is empty")
    return text


def _read(file: Path) -> str:
    flag = f"--prompt-file {file}"
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MOST_PROMPT_BYTES + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(MOST_PROMPT_BYTES + 1)
    except FileNotFoundError:
        raise Refusal(f"{flag}: no such file") from None
    except OSError as error:
        raise Refusal(f"{flag}: cannot be read: {error.strerror}") from None
    if len(data) > MOST_PROMPT_BYTES:
        raise Refusal(
            f"{flag}: is larger than {MOST_PROMPT_BYTES:,} bytes: put what is longer into an input"
        )
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refusal(f"{flag}: is not UTF-8") from None


def _told(done: Accepted, what: str, unchanged: str) -> str:
    return what if done.status == "done" else unchanged


def _told_to(
    name: str,
    act: Callable[[Run], Awaitable[str]],
    chat_act: Callable[[Chat], Awaitable[str]] | None = None,
) -> int:
    """Tell a run something, or a conversation, and say what came of it."""
    session = open_session()

    async def main() -> int:
        async with found_chat(session, name) as chat:
            if chat is not None:
                if chat_act is None:
                    raise Refusal(f"{name} is a conversation: that can be said to runs only")
                say(await chat_act(chat))
                return DONE
        say(await act(await _open_run(session, name)))
        return DONE

    return run_async(main)


async def _open_run(session: Session, name: str) -> Run:
    """Return a run that goes on. Raises Refusal for one that has ended, UnknownRun, NoServer."""
    run = await session.find(name)
    record = await run.record()
    if record is not None:
        raise Refusal(f"run {run.run_id} has ended: {record.status.value.replace('_', ' ')}")
    return await session.find_on_server(run.run_id)


async def _commanded(command: Awaitable[T]) -> T:
    """Await a command to a run. Raises Refusal where it is refused, NoWorker."""
    try:
        async with asyncio.timeout(CANCEL_S):
            return await command
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        told = cause.message if isinstance(cause, ApplicationError) else str(cause or error)
        raise Refusal(told) from None
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        raise NoWorker(
            "no worker answers for the run: start one, see `starter.py dev`. The command may have "
            "been taken, and is carried out then"
        ) from None
    except RPCError as error:
        raise Refusal(f"the run takes no commands: {error.message}") from None
