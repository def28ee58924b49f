"""The causes that the guide's troubleshooting table lists are errors whose text names the cure."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest

from contracts.messages import ChatChunk
from providers import registry
from providers.exceptions import ContextTooLong, TimeoutError, Unavailable, Unreachable
from providers.http_errors import Origin, error_from_response, error_from_transport
from providers.registry import Missing, Vendor
from providers.router import PersonaRouter
from providers.spi import ChatRequest, LLMClient, Message, Timeouts

pytestmark = pytest.mark.unit

GUIDE = Path(__file__).parent.parent.parent / "docs" / "integration-guide.md"
ROW = re.compile(r"^\| `([^`]+)` \|", re.M)
POLICY = """
providers: {p: {capabilities: [streaming]}}
personas: {seer: {requires: [vision], provider_preferences: [p]}}
"""
ORIGIN = Origin("openai", "gpt-x", ("EP_OPENAI_API_KEY",), "EP_OPENAI_BASE_URL")


class Silent(LLMClient):
    """Never says a word."""

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        await asyncio.sleep(60)
        yield ChatChunk()


def raised(make: Callable[[], object]) -> str:
    with pytest.raises(Exception) as caught:
        make()
    return str(caught.value)


def router(folder: Path) -> PersonaRouter:
    path = folder / "policy.yaml"
    path.write_text(POLICY)
    return PersonaRouter(path, env={})


def unknown_persona(folder: Path) -> str:
    return raised(lambda: router(folder).select_provider("sear"))


def nobody_fits(folder: Path) -> str:
    return raised(lambda: router(folder).get_client("seer"))


def no_sdk(_: Path) -> str:
    openai = registry.VENDORS["openai"]
    gone = Vendor("openai", openai.adapter, sdk="no_such_sdk", install=openai.install)
    missing = registry.missing_sdk(gone)
    assert isinstance(missing, Missing)
    return str(missing).replace("no_such_sdk", "openai")


def no_program(_: Path) -> str:
    gone = Vendor("claude_agent", "", sdk="json", program="no-such-claude")
    missing = registry.missing_program(gone)
    assert isinstance(missing, Missing)
    return str(missing).replace("no-such-claude", "claude")


def no_key(_: Path) -> str:
    with pytest.raises(Unavailable) as caught:
        registry.create("openai", "gpt-x", env={})
    return str(caught.value)


def lost_context(_: Path) -> str:
    messages = [Message("user", "Hi"), Message("tool", "noon", tool_call_id="call_7")]
    return raised(lambda: Silent().chat(ChatRequest(messages)))


def slow_model(_: Path) -> str:
    clocks = Timeouts(first_token=0.01, idle=1, total=5)
    with pytest.raises(TimeoutError) as caught:
        asyncio.run(Silent().open(ChatRequest([Message("user", "Hi")]), clocks).collect())
    return str(caught.value)


def long_prompt(_: Path) -> str:
    body = b'{"error": {"code": "context_length_exceeded", "message": "too much"}}'
    error = error_from_response(ORIGIN, 400, {}, body)
    assert isinstance(error, ContextTooLong)
    return str(error)


def no_connection(_: Path) -> str:
    error = error_from_transport(ORIGIN, httpx2.ConnectError("refused"), started=False)
    assert isinstance(error, Unreachable)
    return str(error)


CAUSES: list[tuple[Callable[[Path], str], tuple[str, ...]]] = [
    (unknown_persona, ("Did you mean 'seer'?", "Define it there: personas: {sear:", "policy.yaml")),
    (nobody_fits, ("p lacks vision", "Add a provider that does", "policy.yaml")),
    (no_sdk, ("uv sync, or pip install openai",)),
    (no_program, ("npm install -g @anthropic-ai/claude-code", "claude --version")),
    (no_key, ("Set EP_OPENAI_API_KEY (or OPENAI_API_KEY)",)),
    (lost_context, ("Pass all previous messages",)),
    (slow_model, ("timeout=", "EP_TIMEOUT", "faster model")),
    (long_prompt, ("Shorten the prompt, lower max_tokens, or use a model with a larger window",)),
    (no_connection, ("check EP_OPENAI_BASE_URL",)),
]


def patterns() -> list[str]:
    """The messages of the guide's table; "…" stands for anything."""
    section = GUIDE.read_text().split("## Troubleshooting")[1].split("\n## ")[0]
    return [".*".join(map(re.escape, shown.split("…"))) for shown in ROW.findall(section)]


@pytest.mark.parametrize(("number", "cause"), list(enumerate(CAUSES)))
def test_a_cause_is_told_with_its_cure(
    number: int, cause: tuple[Callable[[Path], str], tuple[str, ...]], tmp_path: Path
) -> None:
    make, cures = cause
    text = make(tmp_path)
    assert re.search(patterns()[number], text, re.S), text
    for cure in cures:
        assert cure in text


def test_every_row_has_a_cause_here() -> None:
    assert len(patterns()) == len(CAUSES)
