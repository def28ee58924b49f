"""`list_tools` and `call_tool` by themselves: facts, outcomes, events, results and secrets."""

import sys
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from contracts.agents import AgentModel, AgentSpec
from contracts.artifacts import Value
from contracts.tools import (
    FunctionTool,
    ToolError,
)
from stores.values import store_value
from tests.support.toolbench import Make, function

pytestmark = pytest.mark.integration


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
    bench = make("report", timeout=100)
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


async def test_a_function_tools_declaration_is_the_same_after_its_way_through_json() -> None:
    spec = FunctionTool(name="f", function="g", module="m", secrets=("A",))
    agent = AgentSpec(name="a", model=AgentModel(persona="p"), instructions="i", tools=(spec,))
    assert AgentSpec.model_validate_json(agent.model_dump_json()) == agent
