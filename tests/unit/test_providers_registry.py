"""The registry: availability with its cure, keys in order, lazy imports, own providers."""

import pytest

from contracts.messages import ChatChunk, ChatRequest
from providers import registry
from providers.exceptions import ProviderError, RouterError, Unavailable
from providers.registry import Available, Missing, availability, create
from providers.simulated import SimulatedClient
from providers.spi import LLMClient

pytestmark = pytest.mark.unit


class Recorder(LLMClient):
    """Remembers what it was made with."""

    def __init__(self, model: str, colour: str = "none") -> None:
        self.model, self.colour = model, colour

    async def stream(self, req: ChatRequest):
        yield ChatChunk(delta_text="ok", finish_reason="stop")


@pytest.fixture
def registered():
    registry.register("recorder", Recorder)
    yield
    registry.unregister("recorder")


@pytest.mark.parametrize(
    ("provider", "variable"),
    [
        ("openai", "EP_OPENAI_API_KEY"),
        ("anthropic", "EP_ANTHROPIC_API_KEY"),
        ("gemini", "EP_GEMINI_API_KEY"),
    ],
)
def test_A9_a_missing_key_is_named_with_its_cure(provider, variable):
    found = availability(provider, {})
    assert isinstance(found, Missing)
    assert found.reason == f"{variable} is not set"
    assert found.cure.startswith(f"Set {variable} (or ")
    with pytest.raises(Unavailable, match=variable) as raised:
        create(provider, "some-model", env={})
    assert isinstance(raised.value, ProviderError)
    assert not raised.value.sent
    assert not raised.value.retryable


@pytest.mark.parametrize(
    ("env", "key"),
    [
        ({"EP_OPENAI_API_KEY": "x", "OPENAI_API_KEY": "y"}, "x"),
        ({"EP_OPENAI_API_KEY": "x"}, "x"),
        ({"OPENAI_API_KEY": "y"}, "y"),
        ({"EP_OPENAI_API_KEY": "", "OPENAI_API_KEY": "y"}, "y"),
    ],
)
def test_A10_keys_in_order_of_precedence(env, key):
    vendor = registry.VENDORS["openai"]
    assert availability("openai", env) == Available("openai")
    assert registry.account(vendor, env)["api_key"] == key


def test_A10_google_api_key_comes_last():
    vendor = registry.VENDORS["gemini"]
    env = {"GOOGLE_API_KEY": "g"}
    assert registry.account(vendor, env)["api_key"] == "g"
    assert registry.account(vendor, {**env, "GEMINI_API_KEY": "m"})["api_key"] == "m"
    both = {**env, "GEMINI_API_KEY": "m", "EP_GEMINI_API_KEY": "e"}
    assert registry.account(vendor, both)["api_key"] == "e"


def test_addresses_come_from_the_environment_too():
    env = {"EP_OPENAI_API_KEY": "x", "EP_OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    found = registry.account(registry.VENDORS["openai"], env)
    assert found == {"api_key": "x", "base_url": "http://127.0.0.1:1/v1"}


@pytest.mark.parametrize("key", [" ", "sk-1 ", "sk-\n1", "sk-1\t", "sk\x001"])
def test_a_key_with_white_space_or_controls_is_an_error_that_hides_it(key):
    found = availability("anthropic", {"EP_ANTHROPIC_API_KEY": key, "ANTHROPIC_API_KEY": "good"})
    assert isinstance(found, Missing)
    assert "EP_ANTHROPIC_API_KEY contains white space" in str(found)
    assert key.strip() == "" or key.strip() not in str(found)


def test_empty_keys_are_told_from_absent_ones():
    found = availability("openai", {"EP_OPENAI_API_KEY": ""})
    assert isinstance(found, Missing)
    assert found.reason == "EP_OPENAI_API_KEY set but empty"


def test_a_server_on_this_machine_needs_no_key():
    env = {"EP_OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}
    assert availability("openai", env) == Available("openai")
    assert isinstance(
        availability("openai", {"EP_OPENAI_BASE_URL": "https://llm.example/v1"}), Missing
    )
    client = create("openai", "llama", {"base_url": "http://localhost:9/v1"}, env={})
    assert client.provider == "openai"


def test_an_address_that_is_none_is_a_router_error():
    env = {"EP_OPENAI_API_KEY": "x", "EP_OPENAI_BASE_URL": "not a url"}
    with pytest.raises(RouterError, match="must be a URL"):
        create("openai", "m", env=env)


def test_warming_skips_what_is_not_there(registered):
    registry.warm(["simulated", "recorder", "nobody"])


def test_simulated_needs_nothing():
    assert availability("simulated", {}) == Available("simulated")
    client = create("simulated", "gpt-4o", {"seed": 3, "tokens_per_second": 0}, env={})
    assert isinstance(client, SimulatedClient)
    assert client.model == "gpt-4o"


def test_an_unknown_provider_names_the_known_ones():
    found = availability("opnai", {})
    assert isinstance(found, Missing)
    assert "openai" in found.reason
    with pytest.raises(RouterError, match="opnai"):
        create("opnai", "m", env={})


def test_an_own_provider_is_registered_by_name(registered):
    client = create("recorder", "m-1", {"colour": "red"}, env={})
    assert isinstance(client, Recorder)
    assert (client.model, client.colour) == ("m-1", "red")
    assert "recorder" in registry.names()


def test_an_option_that_nobody_takes_is_named(registered):
    with pytest.raises(RouterError, match=r"recorder.*'size'"):
        create("recorder", "m", {"size": 3}, env={})


def test_options_must_not_hold_a_key():
    with pytest.raises(RouterError, match="must not stand in the options") as raised:
        create("openai", "m", {"api_key": "sk-secret"}, env={"EP_OPENAI_API_KEY": "x"})
    assert "sk-secret" not in str(raised.value)


def test_an_own_providers_check_is_asked():
    registry.register(
        "gated", Recorder, check=lambda env: Missing("gated", "no licence", "Buy one")
    )
    try:
        with pytest.raises(Unavailable, match=r"no licence\. Buy one"):
            create("gated", "m", env={})
    finally:
        registry.unregister("gated")


def test_a_factory_must_make_a_client():
    registry.register("odd", lambda model: object())  # type: ignore[arg-type,return-value]
    try:
        with pytest.raises(ProviderError, match="no LLMClient"):
            create("odd", "m", env={})
    finally:
        registry.unregister("odd")


def test_a_name_must_be_an_identifier():
    with pytest.raises(RouterError, match="identifier"):
        registry.register("my provider", Recorder)


def test_a_missing_package_tells_how_to_install_it():
    vendor = registry.Vendor(
        "ghost", "x:Y", sdk="no_such_package_here", install="pip install ghost"
    )
    found = registry.missing_sdk(vendor)
    assert found is not None
    assert "no_such_package_here" in found.reason
    assert found.cure == "Run pip install ghost"


def test_a_missing_program_tells_how_to_install_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    vendor = registry.Vendor("ghost", "x:Y", sdk="pydantic", program="claude")
    found = registry.missing_program(vendor)
    assert found is not None
    assert "neither bundled" in found.reason
    assert "npm install -g @anthropic-ai/claude-code" in found.cure
