"""Function tools in processes of their own: what they are told, and all they do to themselves."""

import asyncio
import os
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.tools import FunctionTool
from toolbox.calls import Invocation, ToolResult
from toolbox.exceptions import BadArguments, ToolDied, ToolRaised, ToolUnavailable
from toolbox.processes import FunctionTools

pytestmark = pytest.mark.integration

SOURCE = '''
import datetime, enum, os, signal, sys, time
from dataclasses import dataclass
from toolbox.context import ToolContext

class Unit(enum.Enum):
    C = "celsius"
    F = "fahrenheit"

@dataclass
class Report:
    city: str
    day: datetime.date

def weather(city: str, day: datetime.date, unit: Unit = Unit.C) -> Report:
    """Tell the weather.

    Args:
        city: Where,
            exactly.
        day: When.
    """
    assert isinstance(day, datetime.date) and isinstance(unit, Unit)
    return Report(city, day)

async def slow(seconds: float) -> str:
    import asyncio
    await asyncio.sleep(seconds)
    return "done"

def key(idempotency_key: str, context: ToolContext) -> list[str]:
    context.progress("half", 0.5)
    return [idempotency_key, context.idempotency_key, context.session_id, str(context.attempt)]

def env(names: list[str]) -> dict:
    return {name: os.environ.get(name) for name in names}

def raises() -> str:
    raise LookupError("no such city")

def exits() -> str:
    sys.exit(7)

def dies() -> str:
    print("last words", flush=True)
    os._exit(9)

def crashes() -> str:
    os.kill(os.getpid(), signal.SIGSEGV)

def forks() -> str:
    os.fork()
    return str(os.getpid())

def forks_and_dies() -> str:
    if os.fork() == 0:
        time.sleep(60)
    os._exit(5)

def leaves(path: str) -> str:
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
    return "left"

def hangs(path: str) -> str:
    open(path, "w").write(str(os.getpid()))
    try:
        while True:
            time.sleep(0.05)
    finally:
        open(path + ".ended", "w").close()

def stubborn(path: str) -> str:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(path, "w").write(str(os.getpid()))
    while True:
        time.sleep(0.05)

def prints() -> str:
    for _ in range(200):
        print("x" * 100_000)
    return "printed"

def floods(megabytes: int) -> str:
    return "x" * (megabytes * 1_000_000)

def eats() -> int:
    return len(bytearray(3_000_000_000))

def binary() -> bytes:
    return bytes(range(256))

def nothing() -> None:
    pass

def odd() -> object:
    return object()

def pid() -> int:
    return os.getpid()

def loose(*args: str) -> str:
    return ""

def nasty(schema: int, copy: int, _private: int, model_config: int) -> int:
    return schema + copy + _private + model_config
'''

Make = Callable[..., FunctionTools]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    (tmp_path / "tools.py").write_text(SOURCE)
    made: list[FunctionTools] = []

    def _make(function: str, env: dict[str, str] | None = None, **more: object) -> FunctionTools:
        data = {"name": function, "function": function, "file": str(tmp_path / "tools.py")}
        spec = FunctionTool.model_validate({**data, "folder": str(tmp_path), **more})
        made.append(FunctionTools(spec, {**os.environ, **(env or {})}))
        return made[-1]

    yield _make
    for tools in made:
        await tools.aclose()


def given(**arguments: object) -> Invocation:
    return Invocation(arguments)


def json_of(result: ToolResult) -> object:
    assert result.media_type == "application/json"
    return orjson.loads(result.data)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> bool:
    for _ in range(100):
        if not alive(pid):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_the_schema_is_that_of_the_type_hints_and_the_docstring(make: Make) -> None:
    [offered] = await make("weather").offered()
    assert offered.description == "Tell the weather."
    assert offered.parameters["required"] == ["city", "day"]
    assert offered.parameters["additionalProperties"] is False
    properties = offered.parameters["properties"]
    assert properties["city"] == {"type": "string", "description": "Where, exactly."}
    assert properties["day"] == {"type": "string", "format": "date", "description": "When."}
    assert properties["unit"]["default"] == "celsius"


async def test_arguments_arrive_as_the_types_that_the_function_wants(make: Make) -> None:
    tools = make("weather")
    result = await tools.call(given(city="Bonn", day="2026-02-01", unit="fahrenheit"))
    assert json_of(result) == {"city": "Bonn", "day": "2026-02-01"}
    with pytest.raises(BadArguments) as caught:
        await tools.call(given(city="Bonn", day="someday"))
    assert caught.value.errors[0].startswith("day: ")


async def test_parameters_may_have_any_name(make: Make) -> None:
    tools = make("nasty")
    result = await tools.call(given(schema=1, copy=2, _private=3, model_config=4))
    assert json_of(result) == 10


async def test_the_idempotency_key_is_handed_over_and_hidden_from_the_model(make: Make) -> None:
    tools, told = make("key"), []
    [offered] = await tools.offered()
    assert offered.parameters["properties"] == {}
    call = Invocation(
        {},
        idempotency_key="k-1",
        session_id="s",
        attempt=2,
        progress=lambda message, share: told.append((message, share)),
    )
    assert json_of(await tools.call(call)) == ["k-1", "k-1", "s", "2"]
    assert told == [("half", 0.5)]


async def test_a_tool_sees_its_own_secrets_and_no_others(make: Make) -> None:
    env = {"CITY_TOKEN": "t0ken", "OPENAI_API_KEY": "sk-other", "EP_ANTHROPIC_API_KEY": "x"}
    tools = make("env", env, secrets=("CITY_TOKEN",))
    seen = json_of(await tools.call(given(names=[*env, "PATH"])))
    assert isinstance(seen, dict)
    assert seen["CITY_TOKEN"] == "t0ken"
    assert seen["OPENAI_API_KEY"] is None
    assert seen["EP_ANTHROPIC_API_KEY"] is None
    assert seen["PATH"]


async def test_a_secret_that_is_not_set_is_named(make: Make) -> None:
    with pytest.raises(ToolUnavailable, match="CITY_TOKEN"):
        await make("env", secrets=("CITY_TOKEN",)).offered()


async def test_an_exception_is_told_and_the_process_goes_on(make: Make) -> None:
    tools = make("raises")
    for _ in range(2):
        with pytest.raises(ToolRaised, match="LookupError: no such city"):
            await tools.call(given())


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("dies", "exit code 9; it printed last: last words"),
        ("crashes", "signal 11"),
        ("forks_and_dies", "exit code 5"),
    ],
)
async def test_a_tool_that_dies_takes_nothing_with_it(make: Make, function: str, said: str) -> None:
    tools = make(function)
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(ToolDied, match=said):
            await tools.call(given())
    assert time.monotonic() - began < 25


async def test_sys_exit_is_a_failure_of_the_tool(make: Make) -> None:
    with pytest.raises(ToolRaised, match=r"sys\.exit"):
        await make("exits").call(given())


async def test_a_fork_that_comes_back_answers_once(make: Make) -> None:
    tools = make("forks")
    first = (await tools.call(given())).data
    assert (await tools.call(given())).data == first


async def test_a_fork_left_behind_does_not_hold_up_the_end(make: Make) -> None:
    tools = make("leaves")
    assert (await tools.call(given(path="x"))).data == b"left"
    began = time.monotonic()
    await tools.aclose()
    assert time.monotonic() - began < 25


async def cut_short(call: Coroutine[Any, Any, ToolResult], mark: Path) -> None:
    """Cancel a call as soon as its tool has left its mark."""
    calling = asyncio.create_task(call)
    while not (mark.exists() and mark.read_text()):
        assert not calling.done()
        await asyncio.sleep(0.01)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


async def test_a_tool_that_hangs_is_ended_and_may_tidy_up(make: Make, tmp_path: Path) -> None:
    tools, mark = make("hangs"), tmp_path / "pid"
    await cut_short(tools.call(given(path=str(mark))), mark)
    assert await gone(int(mark.read_text()))
    assert (tmp_path / "pid.ended").exists()


async def test_a_tool_that_will_not_end_is_killed(make: Make, tmp_path: Path) -> None:
    tools, mark = make("stubborn"), tmp_path / "pid"
    await cut_short(tools.call(given(path=str(mark))), mark)
    assert await gone(int(mark.read_text()))


async def test_printing_without_end_is_not_in_the_way(make: Make) -> None:
    assert (await make("prints").call(given())).data == b"printed"


async def test_a_flood_is_cut(make: Make) -> None:
    result = await make("floods").call(given(megabytes=40))
    assert result.size == 40_000_000
    assert len(result.data) == 16 * 1024 * 1024


async def test_a_tool_has_a_bound_of_memory(make: Make) -> None:
    with pytest.raises(ToolRaised, match="MemoryError: the tool wanted more than the memory_mb"):
        await make("eats", memory_mb=256).call(given())


async def test_binary_nothing_and_what_json_cannot_hold(make: Make) -> None:
    result = await make("binary").call(given())
    assert (result.data, result.is_text) == (bytes(range(256)), False)
    assert json_of(await make("nothing").call(given())) is None
    with pytest.raises(ToolRaised, match="returned a object, which is no JSON"):
        await make("odd").call(given())


async def test_a_process_is_kept_and_an_edited_file_is_loaded_again(
    make: Make, tmp_path: Path
) -> None:
    tools = make("pid")
    first = (await tools.call(given())).data
    assert (await tools.call(given())).data == first
    (tmp_path / "tools.py").write_text(SOURCE + "\n# edited")
    assert (await tools.call(given())).data != first


async def test_calls_at_once_have_processes_of_their_own(make: Make) -> None:
    tools = make("slow")
    await tools.offered()
    results = await asyncio.gather(*(tools.call(given(seconds=0.3)) for _ in range(3)))
    assert [result.data for result in results] == [b"done"] * 3


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError"),
        ("1/0", "ZeroDivisionError"),
        ("def f(:", "SyntaxError"),
        ("import os; os._exit(4)", "exit code 4"),
        ("import sys; sys.exit(4)", "cannot be loaded"),
        ("f = 3", "has no function f"),
        ("def f(*args: str): pass", "by name"),
        ("import socket\ndef f(s: socket.socket): pass", "no schema"),
        ("def f(x: 'Nowhere'): pass", "signature cannot be read"),
    ],
)
async def test_a_function_that_cannot_be_had_says_why(
    make: Make, tmp_path: Path, source: str, said: str
) -> None:
    (tmp_path / "bad.py").write_text(textwrap.dedent(source))
    with pytest.raises(ToolUnavailable, match=said):
        await make("f", file=str(tmp_path / "bad.py")).offered()


async def test_a_function_of_a_module_beside_the_agent_file(make: Make, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "orders.py").write_text("def find(id: int) -> int:\n    return id + 1\n")
    tools = make("find", file=None, module="shop.orders")
    assert json_of(await tools.call(given(id=4))) == 5
