"""Claude by the Claude Agent SDK: one turn of the Claude Code program per call (seed 000).

Promise: see `providers.spi`. One call starts one program, makes one request and leaves nothing
behind: no child, no file, no session. The program has no tools, reads no file that a prompt
names, runs no command, and sees no variable of this process beyond its own credential.

Strategy: `claude_agent_request` says what to ask, `claude_agent_environment` what the program may
see, `claude_agent_process` runs it below the SDK's protocol, `claude_agent_events` reads its
answer. The program is ended as soon as the answer is whole: what it does afterwards (ask again
after a cut-off answer, write its records) is not wanted.

What the program hides: the wait that a 429 asks for, and a missing `message_stop` after a stop
reason. What it does against its settings: a 404 is asked twice, free of charge, and a redirect
is followed.

A start takes half a second and 200 MB, so that a client runs `processes` of them at once and
lets other calls wait, within their own clocks. The SDK is optional: it is imported when the first
client is made, or before that in `warm()`.
"""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from contracts.messages import ChatChunk, ChatRequest
from providers.claude_agent_environment import (
    KEYS,
    URLS,
    find_account,
    program_environment,
    seems_signed_in,
)
from providers.claude_agent_request import PROVIDER, AgentRequest, agent_request
from providers.exceptions import ProviderError, Unavailable
from providers.http_errors import Origin
from providers.loops import PerLoop
from providers.prompt_texts import prompt_texts
from providers.settings import checked_count, checked_model, checked_timeout
from providers.spi import LLMClient

if TYPE_CHECKING:
    from claude_agent_sdk import ClaudeSDKClient, Message

    from providers.claude_agent_events import AnswerReader
    from providers.claude_agent_process import ChildTransport

DEFAULT_MODEL = "claude-sonnet-5-5"


def warm() -> None:
    """Import the SDK: most of a second that no call has to wait for. Raises `ImportError`.

    Not where nobody is signed in: it takes 30 MB of a worker, and no call will succeed.
    """
    if not seems_signed_in(os.environ):
        return
    import providers.claude_agent_events
    import providers.claude_agent_process  # noqa: F401


class ClaudeAgentClient(LLMClient):
    """Client of the Claude Code program, by the SDK that brings it along.

    `api_key` and `base_url` come from EP_ANTHROPIC_API_KEY / ANTHROPIC_API_KEY and
    EP_ANTHROPIC_BASE_URL / ANTHROPIC_BASE_URL where not given. Without a key the program works
    with CLAUDE_CODE_OAUTH_TOKEN, else with the login of this machine's user. `timeout`: seconds
    for a whole call where `chat` is not told. `cli_path`: a program in place of the SDK's own or
    the one on PATH. `processes`: programs that may run at once.

    Raises `Unavailable` without SDK or program, `ValueError` for a key or address that cannot be.
    """

    provider: ClassVar[str] = PROVIDER

    def __init__(
        self,
        model: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
        cli_path: str | Path | None = None,
        processes: int = 8,
    ) -> None:
        checked_count("processes", processes)
        self.model = checked_model(model or DEFAULT_MODEL)
        self.timeout = checked_timeout(timeout)
        self._account = find_account(api_key, base_url)
        _load()
        from providers.claude_agent_process import find_program

        self._program = find_program(cli_path)
        self._is_checked = False
        self._places: PerLoop[asyncio.Semaphore] = PerLoop(
            lambda: asyncio.Semaphore(processes), _nothing
        )

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Run the program for one request and yield its chunks; `req.model` outranks the client's.

        Raises `InvalidRequest` for tools, schemas, JSON mode and files: the program has none.
        """
        from providers.claude_agent_events import AnswerReader

        model = req.model or self.model
        asked = agent_request(req, model)
        reader = AnswerReader(self._origin(req, model), asked.stops)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._places.get())
            folder = Path(tempfile.mkdtemp(prefix="callboard-claude-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            transport = await self._transport(asked, folder)
            chunks = _answer(transport, asked, reader)
            await stack.enter_async_context(contextlib.aclosing(chunks))
            async for chunk in chunks:
                if chunk.finish_reason and asked.notes:
                    chunk = replace(chunk, notes=tuple(asked.notes))
                yield chunk

    async def _transport(self, asked: AgentRequest, folder: Path) -> "ChildTransport":
        """Lay out the program's folder; nothing of a prompt stands in its arguments."""
        from providers.claude_agent_process import ChildTransport, check_version

        environment = program_environment(self._account, folder) | asked.environment
        if not self._is_checked:
            await check_version(self._program, environment)
            self._is_checked = True
        work, system = folder / "work", folder / "system.txt"
        work.mkdir()
        system.write_text(asked.system, encoding="utf-8")
        arguments = [
            *asked.arguments,
            *self._account.arguments,
            *("--system-prompt-file", str(system)),
        ]
        return ChildTransport(self._program, arguments, environment, work)

    def _origin(self, req: ChatRequest, model: str) -> Origin:
        return Origin(
            provider=self.provider,
            model=model,
            key_vars=KEYS,
            url_var=URLS[0],
            secrets=self._account.secrets,
            private=prompt_texts(req),
        )

    async def aclose(self) -> None:
        """Nothing is kept between calls. Safe to call twice."""
        await self._places.aclose()


def _load() -> None:
    try:
        warm()
    except ImportError as error:
        raise Unavailable(
            f"{PROVIDER}: the Python package 'claude_agent_sdk' cannot be imported ({error}). "
            "Run make venv EXTRA=claude, uv sync --extra claude, or pip install claude-agent-sdk",
            provider=PROVIDER,
        ) from None


async def _answer(
    transport: "ChildTransport", asked: AgentRequest, reader: "AnswerReader"
) -> AsyncGenerator[ChatChunk, None]:
    """Ask and yield the answer; the program is gone when this is over, however it ends."""
    from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, ClaudeSDKError

    from providers.claude_agent_process import ProgramFailed

    client = ClaudeSDKClient(ClaudeAgentOptions(verbatim_prompts=True), transport)
    try:
        await _greet(client)
        messages = client.receive_messages()
        await _tell(client, messages, asked.turns[:-1])
        transport.sent = True
        await client.query(_one(asked.turns[-1]))
        async for message in messages:
            for chunk in reader.feed(message):
                yield chunk
            if reader.done:
                break
        transport.kill()
        for chunk in reader.close():
            yield chunk
    except ProgramFailed as error:
        why = f"{error}: {error.complaint}" if error.complaint else str(error)
        raise reader.failed(why, error.sent) from None
    except ClaudeSDKError as error:
        why = f"wrote what its SDK does not take ({type(error).__name__})"
        raise reader.failed(why, transport.sent) from None
    finally:
        transport.kill()  # before anything that could be cancelled
        await client.disconnect()


async def _greet(client: "ClaudeSDKClient") -> None:
    """Start the program and agree on the protocol, whose errors have no class of their own."""
    from claude_agent_sdk import ClaudeSDKError

    from providers.claude_agent_process import ProgramFailed

    try:
        await client.connect()
    except (ProgramFailed, ProviderError, ClaudeSDKError):
        raise
    except Exception as error:
        why = f"did not agree on the SDK's protocol ({str(error)[:100]})"
        raise ProgramFailed(why, sent=False) from None


async def _tell(
    client: "ClaudeSDKClient", messages: "AsyncIterator[Message]", turns: list[dict[str, Any]]
) -> None:
    """Give the program the earlier turns, each in its role, without asking anything.

    A user's turn is only queued at first: its result says that it stands in the transcript, and
    that the next turn will not come before it.
    """
    from claude_agent_sdk import ResultMessage

    for turn in turns:
        silent = {"shouldQuery": False} if turn["role"] == "user" else {}
        await client.query(_one(turn, **silent))
        if silent:
            async for message in messages:
                if isinstance(message, ResultMessage):
                    break


async def _one(turn: dict[str, Any], **fields: Any) -> AsyncIterator[dict[str, Any]]:
    yield {"type": turn["role"], "message": turn, "parent_tool_use_id": None, **fields}


async def _nothing(_: object) -> None:
    return None
