"""Tools of real MCP servers, over stdio and HTTP: found, called, lost, found again."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import orjson
import pytest

from contracts.tools import McpTool
from tests.support.server import free_port
from toolbox.calls import Invocation
from toolbox.exceptions import ToolDied, ToolRaised, ToolUnavailable
from toolbox.mcp_tools import McpTools

pytestmark = pytest.mark.integration

SERVER = Path(__file__).parents[1] / "support" / "mcp_server.py"
Make = Callable[..., McpTools]


def stdio(mode: str = "sound") -> dict[str, object]:
    return {"command": (sys.executable, str(SERVER), "stdio", mode), "folder": str(SERVER.parent)}


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[McpTools] = []

    def _make(env: dict[str, str] | None = None, **more: object) -> McpTools:
        spec = McpTool.model_validate({"name": "small", **more})
        made.append(McpTools(spec, {**os.environ, **(env or {})}))
        return made[-1]

    yield _make
    for tools in made:
        await tools.aclose()


def started(port: int) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, str(SERVER), "http", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(1600):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise AssertionError("the server did not start within 80 s")


@pytest.fixture(scope="module")
def http_url() -> Iterator[str]:
    port = free_port()
    process = started(port)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


def of(remote: str, **arguments: object) -> Invocation:
    return Invocation(arguments, remote=remote, idempotency_key="k")


async def text(tools: McpTools, remote: str, **arguments: object) -> str:
    return (await tools.call(of(remote, **arguments))).data.decode()


@pytest.fixture(params=["stdio", "http"])
def place(request: pytest.FixtureRequest) -> dict[str, object]:
    if request.param == "stdio":
        return stdio()
    return {"url": request.getfixturevalue("http_url")}


async def test_tools_are_listed_and_called(make: Make, place: dict[str, object]) -> None:
    tools = make(**place)
    offered = {tool.remote: tool for tool in await tools.offered()}
    assert offered["add"].parameters["required"] == ["a", "b"]
    assert offered["add"].description == "Add two numbers."
    assert await text(tools, "add", a=2, b=3) == "5"


async def test_all_calls_share_one_session(make: Make, place: dict[str, object]) -> None:
    tools = make(**place)
    found = await asyncio.gather(*(text(tools, "pid") for _ in range(5)))
    assert len(set(found)) == 1


async def test_progress_is_heard(make: Make, place: dict[str, object]) -> None:
    told: list[tuple[str, float | None]] = []
    call = Invocation({"count": 3}, "steps", progress=lambda m, f: told.append((m, f)))
    assert (await make(**place).call(call)).data == b"done"
    assert told[0] == ("step 1", pytest.approx(1 / 3))
    assert len(told) == 3


async def test_a_tool_that_fails_and_one_that_is_not_there(
    make: Make, place: dict[str, object]
) -> None:
    tools = make(**place)
    with pytest.raises(ToolRaised, match="fails"):
        await tools.call(of("fails"))
    with pytest.raises(ToolRaised, match="nowhere"):
        await tools.call(of("nowhere"))
    assert await text(tools, "add", a=1, b=1) == "2"


async def test_a_hanging_tool_is_left_and_the_session_goes_on(
    make: Make, place: dict[str, object]
) -> None:
    tools = make(**place)
    before = await text(tools, "pid")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await tools.call(of("hangs"))
    assert await text(tools, "pid") == before


async def test_pictures_are_described_and_kept(make: Make, place: dict[str, object]) -> None:
    result = await make(**place).call(of("picture"))
    assert result.text is not None
    assert "image/png, 1,0" in result.text
    assert orjson.loads(result.data)["content"][0]["mimeType"] == "image/png"


async def test_a_server_that_ends_in_a_call_is_called_once_and_started_again(
    make: Make, tmp_path: Path
) -> None:
    tools, mark = make(**stdio()), tmp_path / "calls"
    with pytest.raises(ToolDied):
        await tools.call(of("dies", path=str(mark)))
    assert mark.read_text() == "x"
    assert await text(tools, "add", a=1, b=1) == "2"


def status_of(pid: int) -> list[str]:
    """Return a process's state ("Z" too for one that is no more) and its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return ["Z", "0"]


async def test_a_server_that_went_away_between_calls_is_no_failure(make: Make) -> None:
    tools = make(**stdio())
    pid = int(await text(tools, "pid"))
    guard = int(status_of(pid)[1])
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        while status_of(guard)[0] != "Z":  # which ends what was connected to the server
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    assert int(await text(tools, "pid")) != pid


@pytest.mark.slow
async def test_an_http_server_that_was_started_again_is_no_failure(make: Make) -> None:
    port = free_port()
    process = started(port)
    tools = make(url=f"http://127.0.0.1:{port}/mcp")
    try:
        assert await text(tools, "add", a=1, b=1) == "2"
    finally:
        process.kill()
        process.wait()
    with pytest.raises((ToolUnavailable, ToolDied)):
        await tools.call(of("add", a=1, b=1))
    process = started(port)
    try:
        assert await text(tools, "add", a=1, b=1) == "2"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"command": ("no-such-command",)}, "last: no-such-command: No such file or directory"),
        (stdio("dumb"), "it printed last: cannot find my settings"),
        ({"url": "http://127.0.0.1:9/mcp"}, "the MCP server small"),
    ],
)
async def test_an_absent_server_says_why(make: Make, place: dict[str, object], said: str) -> None:
    with pytest.raises(ToolUnavailable, match=said):
        await make(**place).offered()


async def test_a_slow_server_has_its_time(make: Make) -> None:
    began = time.monotonic()
    with pytest.raises(ToolUnavailable, match=r"within 1 s"):
        await make(**stdio("slow"), start_timeout=1).offered()
    assert time.monotonic() - began < 50


async def test_a_noisy_server_is_understood(make: Make) -> None:
    assert await text(make(**stdio("noisy")), "add", a=1, b=2) == "3"


async def test_a_server_that_lies_about_its_schemas_loses_those_tools(make: Make) -> None:
    tools = make(**stdio("liar"))
    offered = await tools.offered()
    problems = {tool.remote: tool.problem for tool in offered if tool.problem}
    assert set(problems) == {"broken", "away", "huge"}
    assert "which is not in it" in str(problems["away"])
    good = next(tool for tool in offered if tool.remote == "good")
    assert "pattern" not in good.parameters["properties"]["x"]
    with pytest.raises(ToolRaised, match="not what it declared"):
        await tools.call(of("add", a=1, b=2))
    with pytest.raises(ToolRaised):
        await tools.call(of("add"))


async def test_only_the_named_tools_and_a_name_that_is_not_there(make: Make) -> None:
    offered = await make(**stdio(), only=("add", "subtract")).offered()
    assert [(tool.remote, tool.problem) for tool in offered] == [
        ("add", None),
        ("subtract", "the server has no such tool"),
    ]


async def test_a_server_sees_the_secrets_it_is_given(make: Make) -> None:
    env = {"CITY_TOKEN": "t0ken", "OPENAI_API_KEY": "sk-other"}
    tools = make(env, **stdio(), secrets=("CITY_TOKEN",))
    assert await text(tools, "environment", name="CITY_TOKEN") == "t0ken"
    assert await text(tools, "environment", name="OPENAI_API_KEY") == "unset"
    with pytest.raises(ToolUnavailable, match="NOT_SET"):
        await make(**stdio(), secrets=("NOT_SET",)).offered()


async def test_a_large_answer_is_whole(make: Make, place: dict[str, object]) -> None:
    result = await make(**place).call(of("flood", characters=900_000))
    assert result.size == 900_000


async def test_a_line_without_an_end_ends_its_server_and_not_the_worker(
    make: Make, tmp_path: Path
) -> None:
    program = "import sys\nwhile True: sys.stdout.write('x' * 1_000_000)"
    tools = make(command=(sys.executable, "-c", program), start_timeout=20)
    with pytest.raises(ToolUnavailable, match="sent a line of more than"):
        await tools.offered()


async def test_a_server_ends_with_its_session(make: Make) -> None:
    tools = make(**stdio())
    pid = int(await text(tools, "pid"))
    await tools.aclose()
    assert not Path(f"/proc/{pid}").exists()
