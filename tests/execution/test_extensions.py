"""A stage, a part type and a provider from outside; the core knows no vendor (B28, B34)."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from temporalio import activity

from activities.execution import ExecutionWork
from client.execution import (
    APICall,
    APIHandler,
    ExecutionPlan,
    ExecutionState,
    Failure,
    FinalizedCommand,
    TextPart,
    part_type,
    plan_execution,
    register_stage,
)
from contracts.base import Frozen, Json
from contracts.execution import Capabilities, Decision, Decline, NamedEffect, Perform
from contracts.execution_activities import ExecutionActivities
from contracts.messages import ChatChunk, ChatRequest, Message, Usage
from contracts.parts import Part
from providers import registry
from providers.simulated import SimulatedClient
from rules import stages
from tests.execution.fakes import FakeClient
from tests.execution.stage import stage
from tests.support.fixtures import ROOT
from tests.support.server import LocalServer


@part_type
class QuotationPart(Frozen):
    """A part type of somebody's own."""

    kind: Literal["test_quotation"] = "test_quotation"
    text: str
    author: str

    def expand(self) -> tuple[Message | Part, ...]:
        return (TextPart(text=f"{self.author} wrote: {self.text}"),)


class NamesStage:
    """A stage of somebody's own: names are replaced before anything is sent."""

    name = "test_names"

    def applies_to(self, state: ExecutionState) -> bool:
        return self._effect(state) is not None and self.name not in state.declined

    def decide(self, state: ExecutionState, capabilities: Capabilities) -> Decision:
        if "generation" not in capabilities:
            return Decline(reason="nothing is sent at all")
        effect = self._effect(state)
        assert effect is not None
        return Perform(effects=(effect,))

    def transform(self, state: ExecutionState, outcomes: Mapping[str, Any]) -> ExecutionState:
        effect = self._effect(state)
        assert effect is not None
        (last,) = (p for p in state.parts if isinstance(p, TextPart))
        others = tuple(p for p in state.parts if p is not last)
        return state.but(parts=(*others, TextPart(text=outcomes[effect.key])))

    def _effect(self, state: ExecutionState) -> NamedEffect | None:
        texts = [p.text for p in state.parts if isinstance(p, TextPart) and "Ada" in p.text]
        return NamedEffect(name="test_hide_names", argument=texts[0]) if texts else None


class RestlessStage:
    """A stage that never has enough."""

    name = "test_restless"

    def applies_to(self, state: ExecutionState) -> bool:
        return True

    def decide(self, state: ExecutionState, capabilities: Capabilities) -> Decision:
        return Perform()

    def transform(self, state: ExecutionState, outcomes: Mapping[str, Any]) -> ExecutionState:
        return state


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    own = (NamesStage(), RestlessStage())
    for entry in own:
        register_stage(entry)
    yield
    for entry in own:
        stages._stages.pop(entry.name)


async def hide(text: Json) -> Json:
    return text.replace("Ada", "N. N.")


@activity.defn(name="test_hide_names")
async def hide_names(text: str) -> str:
    return text.replace("Ada", "N. N.")


def plan(**more: Any) -> ExecutionPlan:
    quotation = QuotationPart(text="Notes", author="Menabrea")
    return ExecutionPlan(
        calls=(APICall(model="m", parts=(quotation, TextPart(text="Who is Ada?"))),),
        stages=("test_names", "upload", "cache"),
        **more,
    )


SENT = ["Menabrea wrote: Notes", "Who is N. N.?"]


@pytest.mark.unit
async def test_a_stage_and_a_part_from_outside() -> None:
    client = FakeClient()
    done = await APIHandler(client, effects={"test_hide_names": hide}).handle(plan())
    assert isinstance(done, FinalizedCommand), done
    assert [part.text for part in client.requests[0].messages[0].parts] == SENT
    assert done.telemetry is not None
    assert "test_names" in done.telemetry.durations


@pytest.mark.integration
async def test_a_stage_and_a_part_from_outside_durably(server: LocalServer, tmp_path: Path) -> None:
    client = FakeClient()
    async with stage(server.address, tmp_path, {"fake": client}, (hide_names,)) as runs:
        handler = APIHandler("fake", runs=runs)
        done = await asyncio.wait_for(handler.handle(plan(), f"test-{uuid.uuid4()}"), 60)
    assert isinstance(done, FinalizedCommand), done
    assert [part.text for part in client.requests[0].messages[0].parts] == SENT
    await asyncio.sleep(0.05)


@pytest.mark.unit
async def test_a_stage_that_changes_nothing_does_not_go_on_for_ever() -> None:
    restless = plan().model_copy(update={"stages": ("test_restless",)})
    failure = await APIHandler(FakeClient()).handle(restless)
    assert isinstance(failure, Failure)
    assert "applies again and again" in failure.message


@pytest.mark.unit
async def test_an_unknown_stage_is_named() -> None:
    unknown = plan().model_copy(update={"stages": ("moderation",)})
    failure = await APIHandler(FakeClient()).handle(unknown)
    assert isinstance(failure, Failure)
    assert "no stage 'moderation'" in failure.message


@pytest.mark.unit
def test_a_part_of_no_known_type_is_refused() -> None:
    with pytest.raises(ValueError, match="test_other"):
        ExecutionPlan.model_validate_json(
            '{"calls": [{"model": "m", "parts": [{"kind": "test_other"}]}]}'
        )
    with pytest.raises(ValueError, match="part_type"):
        APICall(model="m", parts=(Capabilities(),))

    class Double(Frozen):
        kind: Literal["text"] = "text"

    with pytest.raises(ValueError, match="already"):
        part_type(Double)


class OnlyGenerates:
    """Only `stream`, and no base class of ours."""

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        yield ChatChunk(delta_text=f"{req.model}: {req.messages[0].content}")
        yield ChatChunk(finish_reason="stop", usage=Usage(1, 1))


@pytest.mark.unit
async def test_B28_a_provider_that_only_generates() -> None:
    done = await APIHandler(OnlyGenerates()).handle(plan_execution([], "Hi", model="m"))
    assert isinstance(done, FinalizedCommand)
    assert done.results[0].text == "m: Hi"
    with pytest.raises(TypeError, match="cannot generate"):
        APIHandler(object())


@pytest.mark.unit
def test_the_stubs_and_the_activities_have_the_same_names() -> None:
    for name in ExecutionActivities.__abstractmethods__:
        stub, made = (getattr(c, name) for c in (ExecutionActivities, ExecutionWork))
        names = {f.__temporal_activity_definition.name for f in (stub, made)}
        assert names == {name}


@pytest.mark.unit
def test_B28_the_core_names_no_vendor() -> None:
    core = [
        *ROOT.glob("contracts/execution*.py"),
        *ROOT.glob("rules/*.py"),
        *ROOT.glob("workflows/*.py"),
        *ROOT.glob("client/execution/*.py"),
        ROOT / "activities" / "execution.py",
        ROOT / "providers" / "executing.py",
    ]
    code = {path: _code(path) for path in core if "execut" in str(path) or "stages" in path.name}
    assert len(code) > 10
    for path, text in code.items():
        named = [name for name in registry.VENDORS if f'"{name}"' in text]
        assert not named, path


def _code(path: Path) -> str:
    """A file without its docstring, whose example may name whom it likes."""
    return path.read_text().split('"""', 2)[2]


@pytest.mark.unit
async def test_B34_the_same_twice_offline() -> None:
    made = plan_execution(
        [TextPart(text="Rain fell in the north. The south was dry.")],
        ["Where did it rain?", "Where was it dry?"],
        model="gpt-4o-mini",
    )
    clients = [SimulatedClient(tokens_per_second=0) for _ in range(2)]
    first, second = [await APIHandler(c).handle(made) for c in clients]
    assert isinstance(first, FinalizedCommand)
    assert isinstance(second, FinalizedCommand)
    assert first.payload == second.payload
    assert "north" in first.results[0].text
