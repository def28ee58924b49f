"""`list_tools` and `call_tool` by themselves: outcomes, events, secrets, and unsafe calls once."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from temporalio.activity import ActivityCancellationDetails, Info
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.tools import RunTools
from contracts.agents import AgentModel, AgentSpec
from contracts.artifacts import Value
from contracts.spools import SpoolRecord
from contracts.tools import (
    FunctionTool,
    ToolError,
    ToolEventRecord,
    ToolList,
    ToolListing,
    ToolOutcome,
    ToolRequest,
)
from stores.artifacts import ArtifactStore
from stores.spools import FileSpools
from stores.values import store_value

pytestmark = pytest.mark.integration

SOURCE = '''
import os, sys, time
from toolbox.context import ToolContext

def count(path: str) -> int:
    """Write a mark and count them."""
    with open(path, "a") as file:
        file.write("x")
    return os.path.getsize(path)

def key(idempotency_key: str) -> str:
    return idempotency_key

def raises(text: str) -> str:
    raise ValueError(text)

def dies(path: str) -> str:
    count(path)
    os._exit(3)

def hangs(path: str) -> str:
    count(path)
    time.sleep(600)

def slow(seconds: float, context: ToolContext) -> str:
    for n in range(10):
        time.sleep(seconds / 10)
        context.progress(f"part {n + 1}", (n + 1) / 10)
    return "done"

def report(context: ToolContext) -> str:
    for n in range(20_000):
        context.progress("x" * 3_000)
    return "told"

def dirty() -> str:
    return "a\\x1b[31mred\\x1b[0m\\x00b\\x9b\\ud800 tab\\t end"

def long(chars: int) -> str:
    return "b" * chars + "end"

def binary() -> bytes:
    return bytes(range(256))

def nothing() -> None:
    pass

def secret() -> str:
    return "the token is " + os.environ["CITY_TOKEN"]

def leaks() -> str:
    raise RuntimeError("401 for " + os.environ["CITY_TOKEN"])
'''


class Bench:
    """The activities with a store, a spool and one agent."""

    def __init__(self, folder: Path, tools: list[dict[str, Any]], env: Mapping[str, str]) -> None:
        self.folder = folder
        (folder / "t.py").write_text(SOURCE)
        self.store = ArtifactStore.open(str(folder / "artifacts"))
        self.spools = FileSpools(folder / "spools")
        self.work = RunTools(self.store, self.spools, {**os.environ, **env})
        self.agent = AgentSpec(
            name="a", model=AgentModel(persona="p"), instructions="i", tools=tuple(tools)
        )
        self.calls = 0

    def environment(self, attempt: int = 1) -> ActivityEnvironment:
        made = ActivityEnvironment()
        made.payload_converter = pydantic_data_converter.payload_converter
        made.info = Info(**{**vars(made.info), "attempt": attempt})
        return made

    async def listing(self, queue: str | None = None) -> ToolListing:
        ref = await self.store.put_json(self.agent)
        return await self.environment().run(self.work.list_tools, ToolList(agent=ref, queue=queue))

    async def request(self, name: str, **more: Any) -> ToolRequest:
        self.calls += 1
        listing = await self.listing()
        assert listing.toolbox is not None
        arguments = more.pop("arguments", {})
        values = {
            "run_id": "s1", "unit": "turn-1", "agent": await self.store.put_json(self.agent),
            "toolbox": listing.toolbox, "name": name, "call_id": f"c{self.calls}",
            "idempotency_key": f"k{self.calls}",
            "arguments": await store_value(self.store, arguments, want_inline=True), **more,
        }  # fmt: skip
        return ToolRequest.model_validate(values)

    async def call(self, name: str, attempt: int = 1, **arguments: Any) -> ToolOutcome:
        request = await self.request(name, arguments=arguments)
        return await self.run(request, attempt)

    async def run(self, request: ToolRequest, attempt: int = 1) -> ToolOutcome:
        return await self.environment(attempt).run(self.work.call_tool, request)

    async def text(self, outcome: ToolOutcome) -> str:
        assert outcome.text.ref is not None
        return await self.store.get_text(outcome.text.ref)

    async def events(self) -> list[ToolEventRecord]:
        stop = asyncio.Event()
        stop.set()
        found = []
        async with contextlib.aclosing(self.spools.follow("s1", stop=stop)) as records:
            async for record, _ in records:
                assert isinstance(record, SpoolRecord)
                if record.tool is not None:
                    found.append(record.tool)
        return found


def function(name: str, folder: Path, **more: Any) -> dict[str, Any]:
    file = {"file": str(folder / "t.py"), "folder": str(folder)}
    return {"kind": "function", "name": name, "function": name, **file, **more}


Make = Any


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Bench] = []

    def _make(name: str = "count", *more: dict[str, Any], **settings: Any) -> Bench:
        env = settings.pop("env", {})
        tools = [function(name, tmp_path, **settings), *more]
        made.append(Bench(tmp_path, tools, env))
        return made[-1]

    yield _make
    for bench in made:
        await bench.work.aclose()


async def test_a_listing_has_the_facts_and_keeps_the_schemas_out_of_history(make: Make) -> None:
    bench = make(effect="read", approval="always", timeout=7, attempts=3)
    listing = await bench.listing()
    [fact] = listing.facts
    assert (fact.name, fact.effect, fact.timeout, fact.attempts) == ("count", "read", 7, 3)
    assert fact.needs_approval
    assert "properties" not in listing.model_dump_json()
    toolbox = await bench.store.get_json(listing.toolbox)
    assert toolbox["tools"][0]["parameters"]["required"] == ["path"]
    assert toolbox["tools"][0]["description"] == "Write a mark and count them."


async def test_what_cannot_be_had_is_a_problem_and_the_rest_is_there(
    make: Make, tmp_path: Path
) -> None:
    bench = make(
        "count",
        function("nowhere", tmp_path),
        function("key", tmp_path, secrets=["NOT_SET"]),
        {"kind": "mcp", "name": "m", "command": ["no-such-command-anywhere"]},
        function("dies", tmp_path, queue="gpu"),
        {"kind": "prompt", "name": "ask", "prompt": "Say {x}",
         "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}},
    )  # fmt: skip
    listing = await bench.listing()
    assert [fact.name for fact in listing.facts] == ["count", "ask"]
    assert [said.partition(":")[0] for said in listing.problems] == ["nowhere", "key", "m"]
    assert "NOT_SET" in listing.problems[1]
    assert [fact.name for fact in (await bench.listing("gpu")).facts] == ["dies"]


async def test_C19_a_tool_that_raises_gives_the_model_its_error(make: Make) -> None:
    bench = make("raises")
    outcome = await bench.call("raises", text="no such city")
    assert (outcome.status, outcome.error_kind) == ("failed", ToolError.RAISED)
    assert outcome.error == "ValueError: no such city"
    assert await bench.text(outcome) == "Error: ValueError: no such city"
    assert not outcome.unknown


async def test_C20_events_of_a_call_that_succeeds_and_of_one_that_fails(
    make: Make, tmp_path: Path
) -> None:
    bench = make("slow", function("raises", tmp_path))
    await bench.call("slow", seconds=2.5)
    await bench.call("raises", text="x" * 5_000)
    events = await bench.events()
    kinds = [event.event for event in events]
    assert kinds[0] == "started"
    assert kinds[-2:] == ["started", "failed"]
    assert kinds[-3] == "completed"
    assert set(kinds[1:-3]) == {"progress"}
    assert len(kinds) >= 8
    assert all(event.at.tzinfo is not None for event in events)
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert events[0].data["parameters"] == {"seconds": 2.5}
    assert events[1].data == {"message": "part 1", "fraction": 0.1}
    assert len(str(events[-1].data["error"])) < 1_200


async def test_reporting_without_end_is_heard_now_and_then(make: Make) -> None:
    bench = make("report")
    outcome = await bench.call("report")
    assert outcome.status == "completed"
    events = await bench.events()
    assert len(events) < 200
    assert all(len(event.model_dump_json()) < 1_500 for event in events)


async def test_arguments_that_do_not_fit_are_told_and_nothing_is_begun(
    make: Make, tmp_path: Path
) -> None:
    bench = make("count")
    outcome = await bench.call("count", path=3, more=True)
    assert outcome.error_kind == ToolError.INVALID_ARGUMENTS
    assert "path: 3 is not of type 'string'" in outcome.argument_errors
    assert any("more" in error for error in outcome.argument_errors)
    assert await bench.events() == []


@pytest.mark.parametrize("arguments", [None, [], "x", {"path": None}])
async def test_arguments_may_be_anything(make: Make, arguments: Any) -> None:
    bench = make("count")
    request = await bench.request("count", arguments=arguments)
    assert (await bench.run(request)).error_kind == ToolError.INVALID_ARGUMENTS


async def test_a_tool_that_is_not_there_is_told_with_those_that_are(make: Make) -> None:
    outcome = await make("count").call("cuont")
    assert outcome.error_kind == ToolError.NO_SUCH_TOOL
    assert "there are: count" in str(outcome.error)


async def test_the_idempotency_key_is_the_same_in_every_try(make: Make) -> None:
    bench = make("key", effect="idempotent")
    request = await bench.request("key")
    first, second = await bench.run(request), await bench.run(request, attempt=2)
    assert await bench.text(first) == await bench.text(second) == request.idempotency_key


async def test_results_are_cleaned_and_cut_and_the_whole_is_kept(
    make: Make, tmp_path: Path
) -> None:
    bench = make("dirty", function("long", tmp_path))
    outcome = await bench.call("dirty")
    assert await bench.text(outcome) == "aredb? tab\t end"
    outcome = await bench.call("long", chars=50_000)
    text = await bench.text(outcome)
    assert text.startswith("bbb")
    assert text.endswith("bend")
    assert "34,003 of 50,003 characters are left out" in text
    assert outcome.whole is not None
    assert await bench.store.get_text(outcome.whole) == "b" * 50_000 + "end"


async def test_binary_is_kept_and_described_and_nothing_is_said_to_be_nothing(
    make: Make, tmp_path: Path
) -> None:
    bench = make("binary", function("nothing", tmp_path))
    outcome = await bench.call("binary")
    assert "256 bytes" in await bench.text(outcome)
    assert outcome.whole is not None
    assert await bench.store.get_bytes(outcome.whole) == bytes(range(256))
    assert await bench.text(await bench.call("nothing")) == "(the tool returned nothing)"


async def test_a_secret_is_taken_out_of_results_and_errors(make: Make, tmp_path: Path) -> None:
    more = function("leaks", tmp_path, secrets=["CITY_TOKEN"])
    bench = make("secret", more, secrets=["CITY_TOKEN"], env={"CITY_TOKEN": "t0ken-of-it"})
    assert await bench.text(await bench.call("secret")) == "the token is [secret]"
    outcome = await bench.call("leaks")
    assert outcome.error == "RuntimeError: 401 for [secret]"
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"t0ken-of-it" not in everything


@pytest.mark.parametrize("effect", ["read", "unsafe"])
async def test_a_tool_that_hangs_ends_in_its_time(make: Make, tmp_path: Path, effect: str) -> None:
    bench = make("hangs", effect=effect, timeout=1.5)
    began = time.monotonic()
    outcome = await bench.call("hangs", path=str(tmp_path / "mark"))
    assert time.monotonic() - began < 25
    assert outcome.error_kind == ToolError.TIMEOUT
    assert "within 1.5 s" in str(outcome.error)
    assert outcome.unknown == (effect == "unsafe")


async def test_a_tool_that_dies_is_tried_again_where_that_is_harmless(
    make: Make, tmp_path: Path
) -> None:
    bench, mark = make("dies", effect="idempotent", attempts=2), tmp_path / "mark"
    request = await bench.request("dies", arguments={"path": str(mark)})
    with pytest.raises(ApplicationError) as caught:
        await bench.run(request)
    assert not caught.value.non_retryable
    assert caught.value.type == "ToolUnavailable"
    outcome = await bench.run(request, attempt=2)
    assert (outcome.error_kind, outcome.unknown) == (ToolError.DIED, False)
    assert mark.read_text() == "xx"


async def test_an_unsafe_tool_that_dies_is_not_run_again(make: Make, tmp_path: Path) -> None:
    bench, mark = make("dies"), tmp_path / "mark"
    request = await bench.request("dies", arguments={"path": str(mark)})
    outcome = await bench.run(request)
    assert (outcome.error_kind, outcome.unknown) == (ToolError.DIED, True)
    assert "nobody knows whether it was done" in await bench.text(outcome)
    again = await bench.run(request, attempt=2)
    assert again.unknown
    assert mark.read_text() == "x"


async def test_a_second_run_reports_what_came_of_the_first(make: Make, tmp_path: Path) -> None:
    bench, mark = make("count"), tmp_path / "mark"
    request = await bench.request("count", arguments={"path": str(mark)})
    first = await bench.run(request)
    second = await bench.run(request, attempt=2)
    assert second.model_dump(mode="json") == first.model_dump(mode="json")
    assert mark.read_text() == "x"
    confirmed = request.model_copy(update={"confirmed": True, "attempt": 2})
    assert (await bench.run(confirmed)).status == "completed"
    assert (await bench.run(confirmed, attempt=2)).status == "completed"
    assert mark.read_text() == "xx"


async def test_two_runs_at_once_of_an_unsafe_call_make_it_once(make: Make, tmp_path: Path) -> None:
    bench, mark = make("count"), tmp_path / "mark"
    request = await bench.request("count", arguments={"path": str(mark)})
    outcomes = await asyncio.gather(bench.run(request), bench.run(request, attempt=2))
    assert sorted(outcome.unknown for outcome in outcomes) == [False, True]
    assert mark.read_text() == "x"


@pytest.mark.parametrize(("effect", "unknown"), [("read", False), ("unsafe", True)])
async def test_a_call_that_is_cancelled_ends_its_tool(
    make: Make, tmp_path: Path, effect: str, unknown: bool
) -> None:
    bench, mark = make("hangs", effect=effect), tmp_path / "mark"
    request = await bench.request("hangs", arguments={"path": str(mark)})
    environment = bench.environment()
    running = asyncio.create_task(environment.run(bench.work.call_tool, request))
    while not mark.exists():
        await asyncio.sleep(0.05)
    environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    outcome = await asyncio.wait_for(running, 30)
    assert (outcome.error_kind, outcome.unknown) == (ToolError.CANCELLED, unknown)


async def test_a_stopped_worker_hands_back_what_may_be_done_again(
    make: Make, tmp_path: Path
) -> None:
    bench, mark = make("hangs", effect="read"), tmp_path / "mark"
    request = await bench.request("hangs", arguments={"path": str(mark)})
    environment = bench.environment()
    running = asyncio.create_task(environment.run(bench.work.call_tool, request))
    while not mark.exists():
        await asyncio.sleep(0.05)
    environment.cancel(ActivityCancellationDetails(worker_shutdown=True))
    with pytest.raises(ApplicationError, match="the worker was stopped"):
        await asyncio.wait_for(running, 30)


async def test_asking_renders_the_text_of_a_prompt(make: Make) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
    bench = make(
        "count", {"kind": "prompt", "name": "ask", "prompt": "Say {x}!", "parameters": schema}
    )
    request = await bench.request("ask", arguments={"x": "hello"})
    outcome = await bench.environment().run(bench.work.ask_of_tool, request)
    assert await bench.text(outcome) == "Say hello!"
    request = await bench.request("ask", arguments={"x": 4})
    outcome = await bench.environment().run(bench.work.ask_of_tool, request)
    assert outcome.error_kind == ToolError.INVALID_ARGUMENTS


async def test_an_argument_by_reference_is_read(make: Make, tmp_path: Path) -> None:
    bench = make("raises")
    value = await store_value(bench.store, {"text": "y" * 20_000})
    assert not value.has_inline
    request = await bench.request("raises")
    outcome = await bench.run(request.model_copy(update={"arguments": value}))
    assert "yyyy" in await bench.text(outcome)
    lost = Value(kind="json", ref=value.ref and value.ref.model_copy(update={"sha256": "0" * 64}))
    with pytest.raises(ApplicationError):
        await bench.run(request.model_copy(update={"arguments": lost}))


async def test_the_tools_of_an_mcp_server_have_names_effects_and_calls(
    make: Make, tmp_path: Path
) -> None:
    server = Path(__file__).parents[1] / "support" / "mcp_server.py"
    command = [sys.executable, str(server), "stdio"]
    only = ["add", "odd name!", "pid", "dies"]
    bench = make(
        "count",
        {"kind": "mcp", "name": "m", "command": command, "only": only, "effects": {"add": "read"}},
    )
    facts = {fact.name: fact for fact in (await bench.listing()).facts}
    assert list(facts) == ["count", "m__add", "m__dies", "m__odd_name_", "m__pid"]
    assert (facts["m__add"].effect, facts["m__pid"].effect) == ("read", "unsafe")
    assert await bench.text(await bench.call("m__add", a=2, b=3)) == "5"
    assert await bench.text(await bench.call("m__odd_name_")) == "odd"
    outcome = await bench.call("m__add", a="two", b=3)
    assert outcome.argument_errors == ("a: 'two' is not of type 'integer'",)
    outcome = await bench.call("m__dies", path=str(tmp_path / "mark"))
    assert (outcome.error_kind, outcome.unknown) == (ToolError.DIED, True)
    assert (tmp_path / "mark").read_text() == "x"


KILLED = """
import asyncio, sys
from pathlib import Path
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment
from activities.tools import RunTools
from contracts.tools import ToolRequest
from stores.artifacts import ArtifactStore
from stores.spools import FileSpools

async def main(folder):
    store, spools = ArtifactStore.open(str(folder / "artifacts")), FileSpools(folder / "spools")
    environment = ActivityEnvironment()
    environment.payload_converter = pydantic_data_converter.payload_converter
    request = ToolRequest.model_validate_json((folder / "request.json").read_text())
    await environment.run(RunTools(store, spools, {}).call_tool, request)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize(("effect", "marks"), [("unsafe", "x"), ("read", "xx")])
async def test_a_worker_killed_between_a_tools_start_and_end(
    make: Make, tmp_path: Path, effect: str, marks: str
) -> None:
    bench, mark = make("hangs", effect=effect, timeout=3), tmp_path / "mark"
    request = await bench.request("hangs", arguments={"path": str(mark)})
    (tmp_path / "request.json").write_text(request.model_dump_json())
    root = Path(__file__).parents[2]
    worker = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root)
    while not mark.exists():
        assert worker.poll() is None
        await asyncio.sleep(0.05)
    [tool] = _children(worker.pid)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    outcome = await bench.run(request, attempt=2)
    assert outcome.unknown == (effect == "unsafe")
    assert mark.read_text() == marks
    async with asyncio.timeout(30):
        while _alive(tool):
            await asyncio.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


async def test_a_function_tools_declaration_is_the_same_after_its_way_through_json() -> None:
    spec = FunctionTool(name="f", function="g", module="m", secrets=("A",))
    agent = AgentSpec(name="a", model=AgentModel(persona="p"), instructions="i", tools=(spec,))
    assert AgentSpec.model_validate_json(agent.model_dump_json()) == agent
