"""The documents' own code, as printed, runs on our API: only the import paths are mapped.

The documents do not come with the repository; where they are not beside it, their half is skipped
aloud. What they fix of classes and defaults is tested either way.
"""

import ast
import asyncio
import dataclasses
import inspect
import re
import time
from pathlib import Path
from typing import Any

import pytest

from examples.command import SIMULATED
from providers import calls, exceptions, spi
from providers.router import PersonaRouter

pytestmark = pytest.mark.integration

SEEDS = Path(__file__).parents[3] / "shared" / "seeds"
BLOCK = re.compile(r"```python\n(.*?)```", re.S)

REQUIRED = dataclasses.MISSING
FIELDS: dict[type, dict[str, Any]] = {
    spi.Message: {"role": REQUIRED, "content": REQUIRED, "name": None},
    spi.ChatRequest: {
        "messages": REQUIRED,
        **dict.fromkeys(
            ("max_tokens", "temperature", "top_p", "stop", "model", "system", "tools"), None
        ),
    },
    spi.ChatChunk: dict.fromkeys(("delta_text", "finish_reason", "usage", "tool_call"), None),
    spi.Usage: dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0),
    spi.ToolParameter: {
        "name": REQUIRED,
        "type": REQUIRED,
        "description": None,
        "required": False,
        "enum": None,
    },
}


@pytest.mark.parametrize("cls", FIELDS, ids=lambda cls: cls.__name__)
def test_fields_stand_first_in_the_order_of_the_document(cls: type) -> None:
    wanted = FIELDS[cls]
    signature = inspect.signature(cls)
    first = list(signature.parameters.values())[: len(wanted)]
    assert [parameter.name for parameter in first] == list(wanted)
    for parameter in first:
        default = REQUIRED if parameter.default is inspect.Parameter.empty else parameter.default
        assert default == wanted[parameter.name]


def test_a_tool_is_described_as_in_the_document() -> None:
    names = list(inspect.signature(spi.ToolDefinition).parameters)
    assert names[:3] == ["name", "description", "parameters"]


def test_the_exceptions_are_a_tree() -> None:
    for name in ("RouterError", "ProviderError", "TimeoutError"):
        assert issubclass(getattr(exceptions, name), exceptions.ExecutionPlatformError)


def printed(number: int) -> list[str]:
    found = sorted(SEEDS.glob(f"{number:03}_*.txt"))
    if not found:
        pytest.skip("the seed documents are not beside this repository")
    return BLOCK.findall(found[0].read_text(errors="replace"))


def mapped(code: str) -> str:
    """The code with our import paths."""
    code = code.replace("execution_platform.providers.", "providers.")
    return code.replace("execution_platform.", "providers.")


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the blocks take for granted, with every persona served by the simulated provider."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "persona_policy.yaml").write_text(SIMULATED.read_text())
    monkeypatch.chdir(tmp_path)
    public = {name: getattr(spi, name) for name in spi.__all__}
    errors = {n: e for n, e in vars(exceptions).items() if n.endswith("Error")}
    return {
        **public,
        **errors,
        "List": list,
        "time": time,
        "asyncio": asyncio,
        "PersonaRouter": PersonaRouter,
        "execute_with_fallback": calls.execute_with_fallback,
        "__name__": "printed",
    }


async def run(code: str, names: dict[str, Any]) -> None:
    made = compile(mapped(code), "document", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    pending = eval(made, names)
    if inspect.iscoroutine(pending):
        await pending


async def defined(number: int, name: str, names: dict[str, Any]) -> Any:
    """Run the block that defines a name; return what it defines."""
    pattern = re.compile(rf"^(?:async def|class) {name}\b", re.M)
    code = next(block for block in printed(number) if pattern.search(block))
    await run(code, names)
    return names[name]


@pytest.mark.parametrize(
    ("number", "name", "arguments"),
    [
        (0, "simple_request", ()),
        (0, "conversation", ()),
        (0, "multi_provider_workflow", ()),
        (0, "robust_request", ()),
        (1, "simple_request", ("Write hello world",)),
        (1, "multi_provider_workflow", ("A shop for used books",)),
        (1, "parallel_execution", ([{"persona": "architect", "prompt": "Design API"}],)),
    ],
)
async def test_a_printed_pattern_runs(
    number: int, name: str, arguments: tuple[Any, ...], names: dict[str, Any]
) -> None:
    result = await (await defined(number, name, names))(*arguments)
    texts = result.values() if isinstance(result, dict) else result
    assert result
    assert all(texts)


async def test_the_printed_conversation_talks_until_exit(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["Design a REST API", "Add authentication", "exit"])
    names["input"] = lambda _: next(typed)
    await (await defined(1, "conversation", names))("architect")
    assert len(capsys.readouterr().out.splitlines()) == 2


async def test_the_printed_tool_calling_calls(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    await (await defined(1, "tool_calling_example", names))()
    assert "Arguments: {'location': 'Paris'}" in capsys.readouterr().out


async def test_the_printed_helpers_run(names: dict[str, Any]) -> None:
    request = spi.ChatRequest([spi.Message("user", "Hello")], max_tokens=50)
    client = PersonaRouter().get_client("architect")
    assert await (await defined(1, "execute_with_retry", names))(client, request)
    assert await (await defined(1, "execute_with_fallback", names))("architect", request)


async def test_the_printed_services_run(names: dict[str, Any]) -> None:
    service = (await defined(1, "APIGenerationService", names))()
    assert set(await service.generate_api("a library")) == {"requirements", "design", "review"}
    reviewer = (await defined(1, "CodeReviewService", names))()
    assert (await reviewer.review_code("x = 1"))["reviewer"] == "openai"
    orchestrator = (await defined(1, "MultiProviderOrchestrator", names))()
    results = await orchestrator.execute_workflow(
        [
            {"persona": "architect", "prompt": "Design an alarm clock"},
            {"persona": "code_writer", "prompt": "Write it"},
        ]
    )
    assert [result["phase"] for result in results] == ["Phase 1", "Phase 2"]
    assert all(result["provider"] == "simulated" for result in results)


async def test_the_printed_quick_start_runs(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    code = next(block for block in printed(1) if "# Initialize router" in block)
    await run(code, names)
    assert "Tokens used: " in capsys.readouterr().out


async def test_the_printed_error_handling_runs(names: dict[str, Any]) -> None:
    names |= {"router": PersonaRouter(), "request": spi.ChatRequest([spi.Message("user", "Hi")])}
    code = next(block for block in printed(1) if "response = await client.chat(request)" in block)
    await run(code, names)
    assert names["response"].text
