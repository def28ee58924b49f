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
