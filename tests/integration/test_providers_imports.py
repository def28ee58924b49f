"""What importing the provider layer costs: no vendor's SDK, no price table; and when it is paid."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.providers.adapters import ADAPTERS, Adapter

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SDKS = {
    "providers.openai_adapter": "openai",
    "providers.anthropic_adapter": "anthropic",
    "providers.gemini_adapter": "google.genai",
    "providers.claude_agent": "claude_agent_sdk",
}


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return out.stdout.strip()


def test_importing_the_router_imports_no_sdk():
    code = (
        "import sys, providers.router, providers.registry, providers.calls\n"
        "for p in providers.registry.names(): providers.registry.availability(p, {})\n"
        "heavy = {'openai', 'anthropic', 'google.genai', 'claude_agent_sdk', 'genai_prices'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run(code) == "[]"


@pytest.mark.parametrize("module", SDKS)
def test_importing_an_adapter_imports_no_other_vendors_sdk(module: str) -> None:
    others = sorted({*SDKS.values(), "genai_prices"} - {SDKS[module]})
    code = f"import sys, {module}\nprint([name for name in {others} if name in sys.modules])"
    assert run(code) == "[]"


FIRST_CALL = """
import asyncio, importlib, sys
from contracts.messages import ChatRequest, Message, ToolDefinition
from providers import registry
from tests.providers.adapters import ADAPTERS
from tests.wire.server import Reply, WireServer
from tests.wire.streams import TEXT

adapter = next(a for a in ADAPTERS if a.name == {name!r})
registry.warm([adapter.module.removeprefix("providers.").removesuffix("_adapter")])

async def main():
    async with WireServer(Reply.stream(adapter.dialect.answer().events)) as server:
        before = set(sys.modules)
        client = adapter.client(server.url)
        tools = [ToolDefinition("now", "Tell the time")]
        reply = await client.chat(ChatRequest([Message("user", "Hi")], tools=tools))
        assert reply.text == TEXT
        await client.aclose()
        late = sorted(set(sys.modules) - before)
        print([m for m in late if m.split(".")[0] not in sys.stdlib_module_names])

asyncio.run(main())
"""


@pytest.mark.parametrize("adapter", [pytest.param(a, id=a.name) for a in ADAPTERS])
def test_after_warming_the_first_call_imports_nothing(adapter: Adapter) -> None:
    assert run(FIRST_CALL.format(name=adapter.name)) == "[]"
