"""ClaudeAgentClient over real pipes: a program that fails, stalls and dies as told."""

import asyncio
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("claude_agent_sdk", reason="needs the extra: uv sync --extra claude")

from providers.claude_agent import ClaudeAgentClient
from providers.exceptions import (
    ExecutionPlatformError,
)
from providers.spi import ChatRequest, Message, Timeouts
from tests.providers.fake_claude import (
    KEY,
    PROMPT,
    FakeClaude,
    Make,
    connected,
    end,
    event,
    failed,
    is_gone,
    result,
    start,
    texts,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("own_places", "discreet_logs"),
]

ROOT = Path(__file__).parents[2]
QUOTED = f"refused: {PROMPT} {KEY}"
HI = ChatRequest([Message("user", PROMPT)])
PATIENT = Timeouts(first_token=30, idle=30, total=30)
BEGUN = [start(), *texts("Hel", "lo")]


async def error_of(program: FakeClaude, req: ChatRequest = HI, **clocks: float) -> Any:
    """The error that a call ends with; it must keep the key and the prompt to itself."""
    async with connected(program) as client:
        timeouts = Timeouts(**{"first_token": 30, "idle": 30, "total": 30, **clocks})
        stream = client.open(req, timeouts)
        with pytest.raises(ExecutionPlatformError) as caught:
            await stream
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert KEY not in shown
    assert PROMPT not in shown
    error: Any = caught.value
    assert error.provider == "claude_agent"
    assert error.partial_text == stream.text
    return error


_TRUNCATED = (
    "API Error: Connection to the API was lost (StreamTruncated). This is usually temporary"
)


@pytest.mark.parametrize(
    ("acts", "kind", "retryable", "status"),
    [
        (failed(f"API Error: 400 {QUOTED}", 400), "InvalidRequest", False, 400),
        (
            failed(
                f"Failed to authenticate. API Error: 401 {QUOTED}", 401, "authentication_failed"
            ),
            "AuthenticationFailed",
            False,
            401,
        ),
        (failed("There's an issue", 404, "model_not_found"), "ModelNotFound", False, 404),
        (
            failed(f"API Error: Request rejected (429) · {QUOTED}", 429, "rate_limit"),
            "RateLimited",
            True,
            429,
        ),
        (failed("Credit balance is too low", 400, "billing_error"), "RateLimited", False, 400),
        (failed(f"API Error: 500 {QUOTED}", 500, "server_error"), "ServerFailed", True, 500),
        (failed("API Error: Overloaded", 529), "Overloaded", True, 529),
        (
            failed("Prompt is too long", 400, terminal_reason="prompt_too_long"),
            "ContextTooLong",
            False,
            400,
        ),
        (
            failed("Not logged in · Please run /login", None, "authentication_failed"),
            "AuthenticationFailed",
            False,
            None,
        ),
        (
            failed("API Error: Connection refused (ECONNREFUSED)", None, "server_error"),
            "Unreachable",
            True,
            None,
        ),
        (
            failed("API Error: Connection dropped (ECONNRESET).", None, "server_error"),
            "Unreachable",
            True,
            None,
        ),
        (failed("API Error: Stream ended without any events"), "StreamInterrupted", True, None),
        ([("say", result(result=""))], "StreamInterrupted", True, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_error_before_any_text(
    fake: Make, acts: list[Any], kind: str, retryable: bool, status: int | None
) -> None:
    program = fake(*acts)
    error = await error_of(program)
    assert (error.kind, error.retryable, error.status) == (kind, retryable, status)
    assert is_gone(program.record["pid"])


async def test_an_error_says_what_the_api_said_and_what_to_do(fake: Make) -> None:
    acts = failed("Failed to authenticate. API Error: 401 bad key", 401, "authentication_failed")
    error = await error_of(fake(*acts))
    assert str(error) == (
        "claude_agent: bad key (401, authentication_error). "
        "Set EP_ANTHROPIC_API_KEY or ANTHROPIC_API_KEY to a key that is valid here"
    )


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("API Error: Connection refused (ECONNREFUSED)", False),
        ("API Error: Can't reach the API server (ENOTFOUND)", False),
        ("API Error: Connection dropped (ECONNRESET)", True),
    ],
)
async def test_whether_a_request_left(fake: Make, text: str, sent: bool) -> None:
    error = await error_of(fake(*failed(text, None, "server_error")))
    assert error.sent is sent


_IN_MID_ANSWER: dict[str, list[Any]] = {
    "truncated, closed by the program": [*end(None), *failed(_TRUNCATED, None, "server_error")],
    "truncated, hidden by the budget": [
        *end(None),
        *failed(_TRUNCATED, None, "server_error")[:1],
        ("say", result(is_error=True, subtype="error_max_budget_usd", errors=["Reached maximum"])),
    ],
    "death": [("die", signal.SIGKILL)],
    "exit code 0 without a result": [("exit", 0)],
    "exit code 1": [("complain", f"Fatal: {QUOTED}\n"), ("exit", 1)],
    "a line that is no JSON": [("raw", '{"type": "stream_ev\n')],
    "an endless line": [("flood", 400)],
    "half a line": [("raw", '{"type": "stream_event", "eve'), ("exit", 0)],
    "a message of a wrong shape": [("say", {"type": "result"})],
    "an event of a wrong shape": [event({"type": "content_block_delta", "index": 0})],
    "a result in place of an end": [("say", result())],
}


@pytest.mark.parametrize("acts", _IN_MID_ANSWER.values(), ids=_IN_MID_ANSWER.keys())
async def test_an_answer_that_breaks_off(fake: Make, acts: list[Any]) -> None:
    error = await error_of(fake(*BEGUN, *acts))
    assert error.kind == "StreamInterrupted", str(error)
    assert error.retryable
    assert error.partial_text == "Hello"
    assert error.usage is not None
    assert error.usage.prompt_tokens == 12
    assert error.response_id == "msg_1"
    assert "maximum" not in str(error)


async def test_an_error_of_the_api_in_mid_answer(fake: Make) -> None:
    error = await error_of(fake(*BEGUN, *end(None), *failed("API Error: Overloaded", 529)))
    assert (error.kind, error.partial_text) == ("Overloaded", "Hello")


@pytest.mark.parametrize(
    ("options", "sent"),
    [({"before": [("exit", 3)]}, False), ({"before": [("die", 9)]}, False), ({}, True)],
    ids=["exit", "killed", "after the question"],
)
async def test_a_program_that_ends_before_it_answers(
    fake: Make, options: dict[str, Any], sent: bool
) -> None:
    error = await error_of(fake(("exit", 3), **options))
    assert (error.kind, error.retryable, error.sent) == ("ServerFailed", True, sent)


async def test_an_end_tells_the_code_and_the_last_complaint(fake: Make) -> None:
    complaint = ("complain", "warning\nerror: unknown option '--bare'\n")
    error = await error_of(fake(before=[complaint, ("exit", 1)]))
    assert str(error) == (
        "claude_agent: Claude Code ended with exit code 1: error: unknown option '--bare'"
    )


async def test_the_next_turn_is_told_when_the_one_before_stands(fake: Make) -> None:
    program = fake(noted={"type": "x"})
    turns = [Message("user", "U1"), Message("assistant", "A1"), Message("user", "U2")]
    error = await error_of(program, ChatRequest(turns), first_token=0.7)
    assert error.kind == "Timeout"
    assert len(program.told) == 1


# Clocks, leaving, cancelling


async def test_A20_silence_before_the_first_token(fake: Make) -> None:
    program = fake(("stall", None))  # which has to start before the clock rings
    error = await error_of(program, first_token=3)
    assert (error.kind, error.which) == ("Timeout", "first_token")
    assert isinstance(error, TimeoutError)
    assert is_gone(program.record["pid"])


async def test_silence_in_mid_answer(fake: Make) -> None:
    program = fake(*BEGUN, ("stall", None))
    error = await error_of(program, idle=0.3)
    assert (error.kind, error.which, error.partial_text) == ("Timeout", "idle", "Hello")
    assert is_gone(program.record["pid"])


async def test_leaving_early_ends_the_program_at_once(fake: Make, own_places: Path) -> None:
    """The SDK itself would wait five seconds; this program ignores SIGTERM besides."""
    program = fake(*BEGUN, ("stall", None))
    async with connected(program) as client:
        async with client.open(HI, PATIENT) as stream:
            async for chunk in stream:
                if chunk.delta_text:
                    break
            left = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - left < 1
        assert is_gone(program.record["pid"])
    assert list(own_places.iterdir()) == []


async def test_cancelling_ends_the_program_at_once(fake: Make, own_places: Path) -> None:
    program = fake(*BEGUN, ("stall", None))
    async with connected(program) as client:
        stream = client.open(HI, PATIENT)
        task = asyncio.ensure_future(stream.collect())
        async with asyncio.timeout(30):
            while not stream.text:
                await asyncio.sleep(0.01)
        left = asyncio.get_running_loop().time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() - left < 1
    assert is_gone(program.record["pid"])
    assert list(own_places.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux ends a child by itself")
async def test_a_killed_worker_leaves_no_program_behind(fake: Make, own_places: Path) -> None:
    program = fake(*BEGUN, ("stall", None))
    code = (
        "import asyncio, sys\n"
        "from providers.claude_agent import ClaudeAgentClient\n"
        "from providers.spi import ChatRequest, Message\n"
        f"client = ClaudeAgentClient(api_key='k', cli_path={str(program.path)!r})\n"
        "async def main():\n"
        "    async for chunk in client.chat(ChatRequest([Message('user', 'Hi')])):\n"
        "        if chunk.delta_text: print('begun', flush=True)\n"
        "asyncio.run(main())\n"
    )
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(own_places)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert worker.stdout is not None
    async with asyncio.timeout(20):
        assert await worker.stdout.readline() == b"begun\n"
    pid = program.record["pid"]
    assert not is_gone(pid)
    worker.kill()
    await worker.wait()
    async with asyncio.timeout(30):
        while not is_gone(pid):
            await asyncio.sleep(0.02)


async def test_only_so_many_programs_run_at_once(fake: Make) -> None:
    program = fake(start(), *texts("x"), ("wait", 1.0), *end())
    most = 0
    async with connected(program, processes=2) as client:
        tasks = [asyncio.ensure_future(client.chat(HI).collect()) for _ in range(5)]
        async with asyncio.timeout(60):
            while not all(task.done() for task in tasks):
                most = max(most, sum(not is_gone(seen["pid"]) for seen in program.records))
                await asyncio.sleep(0.01)
        assert [task.result().text for task in tasks] == ["x"] * 5
    assert most == 2


def test_one_client_serves_two_event_loops(fake: Make) -> None:
    client = ClaudeAgentClient(api_key=KEY, cli_path=fake().path)

    async def call() -> str:
        try:
            return (await client.chat(HI)).text
        finally:
            await client.aclose()

    assert [asyncio.run(call()) for _ in range(2)] == ["Hello, wörld"] * 2
