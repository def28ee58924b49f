"""The example programs do what the documents that they come from say.

In process with recorders, which show what each phase sends; over a socket with a real adapter;
and as programs, the way that a reader starts them.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.messages import ChatChunk, ToolCall, Usage
from examples.command import SIMULATED
from examples.patterns import (
    conversation,
    error_handling,
    parallel,
    provider_switching,
    retry_and_fallback,
    simple,
    tool_calling,
)
from examples.services.api_generation import APIGenerationService
from examples.services.code_review import CodeReviewService
from examples.services.orchestrator import MultiProviderOrchestrator
from providers import registry
from providers.exceptions import AuthenticationFailed, Overloaded, ProviderError
from providers.router import PersonaRouter
from providers.spi import ChatRequest, LLMClient, Message
from tests.wire.server import Reply, Request, WireServer
from tests.wire.streams import DIALECTS, TEXT, Call

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("patterns", "services")
    for path in (ROOT / "examples" / folder).glob("*.py")
)
KEY = "sk-examples-0123456789"

Said = str | ToolCall | Exception


class Recorder(LLMClient):
    """Says its lines in turn, the last one again and again, and keeps every request."""

    def __init__(self, *lines: Said) -> None:
        self.lines = lines
        self.requests: list[ChatRequest] = []

    async def stream(self, req: ChatRequest):
        self.requests.append(req)
        line = self.lines[min(len(self.requests), len(self.lines)) - 1]
        if isinstance(line, Exception):
            raise line
        if isinstance(line, ToolCall):
            yield ChatChunk(tool_call=line)
            yield ChatChunk(finish_reason="tool_calls", usage=Usage(1, 1))
            return
        for word in line.split(" "):
            yield ChatChunk(delta_text=word + " ")
        yield ChatChunk(finish_reason="stop", usage=Usage(1, 1))

    @property
    def sent(self) -> list[list[tuple[str, str]]]:
        return [[(m.role, m.content) for m in req.messages] for req in self.requests]


def policy(provider: dict[str, str]) -> str:
    personas = "".join(
        f"  {persona}: {{provider_preferences: [{name}]}}\n" for persona, name in provider.items()
    )
    declared = "".join(
        f"  {name}: {{capabilities: [tool_calling]}}\n" for name in dict.fromkeys(provider.values())
    )
    return f"personas:\n{personas}providers:\n{declared}"


PERSONAS = {
    "architect": "quick",
    "code_writer": "quick",
    "reviewer": "quick",
    "architect_openai": "careful",
    "code_writer_openai": "careful",
    "reviewer_openai": "careful",
    "qa_engineer": "careful",
}

Route = Callable[[LLMClient, LLMClient], PersonaRouter]


@pytest.fixture
def route(tmp_path: Path) -> Iterator[Route]:
    """Return a function that makes a router for two clients, "quick" and "careful"."""

    def make(quick: LLMClient, careful: LLMClient) -> PersonaRouter:
        registry.register("quick", lambda model: quick)
        registry.register("careful", lambda model: careful)
        path = tmp_path / "policy.yaml"
        path.write_text(policy(PERSONAS))
        return PersonaRouter(path)

    yield make
    registry.unregister("quick")
    registry.unregister("careful")


async def test_pattern_1_returns_the_text(route: Route) -> None:
    quick = Recorder("print('hello')")
    assert await simple.simple_request("Write hello", route(quick, Recorder(""))) == (
        "print('hello') "
    )
    assert quick.sent == [[("user", "Write hello")]]
    assert quick.requests[0].max_tokens == 500


async def test_pattern_2_keeps_the_context(
    route: Route, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = Recorder("first", "second")
    typed = iter(["Design", "  ", "Go on", "EXIT", "never"])
    router = route(quick, Recorder(""))
    messages = await conversation.conversation("architect", router, lambda _: next(typed))
    assert quick.sent == [
        [("user", "Design")],
        [("user", "Design"), ("assistant", "first "), ("user", "Go on")],
    ]
    assert [m.content for m in messages] == ["Design", "first ", "Go on", "second "]
    assert capsys.readouterr().out == "first \nsecond \n"


async def test_pattern_2_in_two_turns(route: Route) -> None:
    quick = Recorder("first", "second")
    assert await conversation.two_turns(route(quick, Recorder(""))) == "second "
    assert [role for role, _ in quick.sent[1]] == ["user", "assistant", "user"]


async def test_A25_the_phases_see_what_they_should(route: Route) -> None:
    quick, careful = Recorder("the needs", "a review"), Recorder("the plan")
    results = await provider_switching.multi_provider_workflow("a shop", route(quick, careful))
    assert results == {
        "requirements": "the needs ",
        "architecture": "the plan ",
        "review": "a review ",
    }
    assert careful.sent == [
        [
            ("user", "Analyze: a shop"),
            ("assistant", results["requirements"]),
            ("user", "Design the architecture"),
        ]
    ]
    assert quick.sent[1] == [
        ("user", "Review this architecture"),
        ("assistant", results["architecture"]),
    ]
    assert [req.max_tokens for req in (*quick.requests, *careful.requests)] == [500, 500, 800]


async def test_pattern_4_answers_in_the_order_of_the_tasks(route: Route) -> None:
    quick, careful = Recorder("an API", "a handler"), Recorder("some tests")
    results = await parallel.parallel_execution(parallel.TASKS, route(quick, careful))
    assert results == ["an API ", "a handler ", "some tests "]


async def test_pattern_5_calls_the_tool_and_goes_on(
    route: Route, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = Recorder(ToolCall("c1", "get_weather", {"location": "Paris"}), "It is clear.")
    reply = await tool_calling.tool_calling_example(router=route(quick, Recorder("")))
    assert reply.text == "It is clear. "
    assert [tool.name for tool in quick.requests[0].tools or ()] == ["get_weather"]
    assert [role for role, _ in quick.sent[1]] == ["user", "assistant", "tool"]
    assert quick.requests[1].messages[1].tool_calls[0].id == "c1"
    assert quick.requests[1].messages[2].tool_call_id == "c1"
    assert "clear" in quick.requests[1].messages[2].content
    assert "Arguments: {'location': 'Paris'}" in capsys.readouterr().out


async def test_errors_are_told_by_kind(route: Route, capsys: pytest.CaptureFixture[str]) -> None:
    broken, careful = Recorder(Overloaded("busy")), Recorder("instead")
    router = route(broken, careful)
    assert await error_handling.robust_request("Hi", router) == "instead "
    assert "Provider error: busy" in capsys.readouterr().err
    assert await error_handling.robust_request("Hi", router, persona="nobody") is None
    assert "Routing error: persona 'nobody' is not defined" in capsys.readouterr().err
    half = Recorder(Overloaded("busy", partial_text="Hel"))
    assert await error_handling.robust_request("Hi", route(half, careful)) is None
    assert len(careful.requests) == 1


async def test_fallback_by_hand_asks_the_other_persona(route: Route) -> None:
    broken, careful = Recorder(AuthenticationFailed("no")), Recorder("instead")
    request = ChatRequest([Message("user", "Hi")])
    router = route(broken, careful)
    assert await retry_and_fallback.fallback_by_hand("architect", request, router) == "instead "
    assert await retry_and_fallback.resilient("architect", request, router) == "instead "
    with pytest.raises(ProviderError):
        await retry_and_fallback.fallback_by_hand("architect", request, route(broken, broken))


async def test_the_api_service_hands_its_phases_on(route: Route) -> None:
    quick, careful = Recorder("needs", "good"), Recorder("paths")
    result = await APIGenerationService(route(quick, careful)).generate_api("a library")
    assert result == {"requirements": "needs ", "design": "paths ", "review": "good "}
    assert careful.sent == [[("assistant", "needs "), ("user", "Design REST API based on: needs ")]]
    assert quick.sent[1] == [("user", "Review API design: paths ")]


async def test_the_review_service_asks_coolly(route: Route) -> None:
    careful = Recorder("fine")
    result = await CodeReviewService(route(Recorder(""), careful)).review_code("x = 1", "python")
    assert result == {"review": "fine ", "language": "python", "reviewer": "custom"}
    assert careful.requests[0].temperature == 0.3
    assert careful.sent[0][0] == ("system", "You are an expert python code reviewer.")
    assert careful.sent[0][1] == ("user", "Review this python code:\n\nx = 1")


async def test_the_orchestrator_keeps_what_came_before(route: Route) -> None:
    quick, careful = Recorder("one"), Recorder("two")
    phases = [
        {"persona": "architect", "prompt": "a", "name": "first"},
        {"persona": "qa_engineer", "prompt": "b", "max_tokens": 7},
    ]
    results = await MultiProviderOrchestrator(route(quick, careful)).execute_workflow(phases)
    assert [(r["phase"], r["persona"], r["output"]) for r in results] == [
        ("first", "architect", "one "),
        ("Phase 2", "qa_engineer", "two "),
    ]
    assert all(r["duration_ms"] >= 0 for r in results)
    assert careful.sent == [[("assistant", "one "), ("user", "b")]]
    assert careful.requests[0].max_tokens == 7


def openai_router(tmp_path: Path, url: str) -> PersonaRouter:
    path = tmp_path / "policy.yaml"
    path.write_text(policy(dict.fromkeys(PERSONAS, "openai")))
    env = {"EP_OPENAI_API_KEY": KEY, "EP_OPENAI_BASE_URL": f"{url}/v1"}
    return PersonaRouter(path, env=env)


async def test_A25_over_the_wire(tmp_path: Path) -> None:
    reply = Reply.stream(DIALECTS["openai_chat"].answer().events)
    async with WireServer(reply) as server:
        router = openai_router(tmp_path, server.url)
        results = await provider_switching.multi_provider_workflow("a shop", router)
        await router.aclose()
    assert results == dict.fromkeys(["requirements", "architecture", "review"], TEXT)
    first, second, third = (
        [(m["role"], m["content"]) for m in r.json["messages"]] for r in server.requests
    )
    assert first == [("user", "Analyze: a shop")]
    assert second == [*first, ("assistant", TEXT), ("user", "Design the architecture")]
    assert third == [("user", "Review this architecture"), ("assistant", TEXT)]


async def test_pattern_5_over_the_wire(tmp_path: Path) -> None:
    dialect = DIALECTS["openai_chat"]
    call = Call(fragments=('{"location":', ' "Paris"}'))

    def reply(request: Request) -> Reply:
        last = request.json["messages"][-1]["role"]
        script = dialect.answer() if last == "tool" else dialect.calls([call])
        return Reply.stream(script.events)

    async with WireServer(reply) as server:
        router = openai_router(tmp_path, server.url)
        assert (await tool_calling.tool_calling_example(router=router)).text == TEXT
        await router.aclose()
    asked, told = (request.json for request in server.requests)
    parameters = asked["tools"][0]["function"]["parameters"]
    assert parameters["required"] == ["location"]
    assert parameters["properties"]["units"]["enum"] == ["celsius", "fahrenheit"]
    assert told["messages"][1]["tool_calls"][0]["function"]["name"] == "get_weather"
    assert told["messages"][2]["tool_call_id"] == call.id


def start(program: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, program, *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **env},
        input="Design a REST API\nexit\n",
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_run_without_keys(program: str) -> None:
    done = start(program, "--simulated")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 20
    assert done.stderr == ""


def test_a_program_without_a_key_names_the_cure_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(policy(dict.fromkeys(PERSONAS, "openai")))
    done = start("examples/patterns/simple.py", "Hello", "--policy", str(path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Set EP_OPENAI_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_simulated_policy_has_every_persona_of_the_shipped_one() -> None:
    shipped = PersonaRouter(ROOT / "config" / "persona_policy.yaml", env={}).policy
    simulated = PersonaRouter(SIMULATED, env={}).policy
    assert simulated.personas.keys() == shipped.personas.keys()
    for persona in simulated.personas.values():
        assert persona.provider_preferences == ("simulated",)
