"""What the capability table says of uploads and caching is what the adapters can do."""

import pytest

from providers import registry
from providers.capabilities import load_capabilities
from providers.executing import capabilities_of

pytestmark = pytest.mark.unit

TABLE = load_capabilities()


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "simulated"])
def test_the_table_says_what_the_adapters_can_do(provider: str) -> None:
    entry = TABLE.entry(provider)
    env = {f"{provider.upper()}_API_KEY": "sk-test"}
    able = capabilities_of(registry.create(provider, entry.default_model, env=env))
    assert ("uploads" in able) == bool(entry.uploads)
    assert ("caching" in able) == (entry.caching != "none")
    assert able.resends_prefix == (entry.caching == "prefix")
    assert entry.cache_floor > 0


def test_a_provider_that_is_not_in_the_table_has_nothing() -> None:
    assert TABLE.entry("other").caching == "none"
    assert TABLE.entry("claude_agent").uploads == ()


@pytest.mark.parametrize(
    ("provider", "model", "kind", "floor", "stated"),
    [
        ("anthropic", "claude-opus-5", "prefix", 512, True),
        ("anthropic", "claude-opus-5-20260724", "prefix", 512, True),
        ("anthropic", "claude-opus-5-5", "prefix", 1024, False),
        ("anthropic", "claude-sonnet-4-6", "prefix", 1024, True),
        ("anthropic", "claude-haiku-4-5-20251001", "prefix", 4096, True),
        ("gemini", "gemini-3.8-flash", "named", 4096, True),
        ("gemini", "models/gemini-2.5-pro", "named", 2048, True),
        ("gemini", "gemini-3.5-flash-lite", "named", 4096, False),
        ("gemini", "gemini-4-argon", "none", 0, True),
        ("openai", "gpt-4o", "prefix", 1024, True),
        ("other", "any", "none", 0, True),
    ],
)
def test_from_how_many_tokens_on_a_model_caches(
    provider: str, model: str, kind: str, floor: int, stated: bool
) -> None:
    facts = TABLE.caching(provider, model)
    assert (facts.kind, facts.floor, facts.stated) == (kind, floor, stated)
