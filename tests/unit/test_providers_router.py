"""Personas to providers: the policy file, selection, clients, the default provider."""

import logging

import pytest

from contracts.messages import ChatChunk, ChatRequest, ToolDefinition
from providers import registry
from providers.exceptions import (
    NoProviderError,
    PersonaNotFoundError,
    ProviderError,
    RouterError,
)
from providers.policy import load_policy
from providers.router import PersonaRouter
from providers.spi import LLMClient
from tests.unit.policies import KEYS, request

pytestmark = pytest.mark.unit


TWO = """
providers:
  p1: {capabilities: [a]}
  p2: {capabilities: [a, b]}
personas:
  x:
    requires: [%s]
    provider_preferences: [p1, p2]
"""

SEED = """
personas:
  architect:
    requires: [system_prompts]
    provider_preferences: [claude_agent, openai, gemini]
  code_writer_openai:
    requires: [system_prompts, tool_calling]
    provider_preferences: [openai]
  architect_gemini:
    requires: [system_prompts]
    provider_preferences: [gemini]
providers:
  claude_agent:
    capabilities: [system_prompts, streaming]
  openai:
    capabilities: [system_prompts, tool_calling, json_mode, vision, streaming, stop_sequences,
      token_count]
  gemini:
    capabilities: [system_prompts, json_mode, vision, streaming]
"""


class Named(LLMClient):
    """A client that knows its model."""

    def __init__(self, model: str) -> None:
        self.model = model

    async def stream(self, req: ChatRequest):
        yield ChatChunk(delta_text="ok", finish_reason="stop")


# --- selection by policy alone


def test_A1_the_first_that_covers_all_not_the_best(write_policy):
    assert PersonaRouter(write_policy(TWO % "a")).select_provider("x") == "p1"


def test_A2_one_that_lacks_something_is_passed_over(write_policy):
    assert PersonaRouter(write_policy(TWO % "b")).select_provider("x") == "p2"


def test_A3_nobody_fits(write_policy):
    path = write_policy(TWO % "c")
    with pytest.raises(NoProviderError) as raised:
        PersonaRouter(path).select_provider("x")
    assert isinstance(raised.value, RouterError)
    assert isinstance(raised.value, ValueError)
    text = str(raised.value)
    assert "persona 'x'" in text
    assert "p1 lacks c; p2 lacks c" in text
    assert str(path) in text


def test_A4_unknown_persona_is_told_from_an_unserved_one(write_policy):
    with pytest.raises(PersonaNotFoundError) as raised:
        PersonaRouter(write_policy(SEED)).select_provider("zz")
    assert isinstance(raised.value, RouterError)
    assert isinstance(raised.value, ValueError)
    assert "'zz' is not defined" in str(raised.value)
    assert "no provider satisfies" not in str(raised.value)
    assert "provider_preferences" in str(raised.value)


def test_a_misspelt_persona_gets_a_suggestion():
    with pytest.raises(PersonaNotFoundError, match="Did you mean 'qa_engineer'"):
        PersonaRouter().select_provider("qa-enginer")


@pytest.mark.parametrize("requires", ["", "requires: []", "requires:"])
def test_A5_nothing_required(write_policy, requires):
    text = f"""
providers: {{p1: {{capabilities: [a]}}, p2: {{capabilities: []}}}}
personas:
  x:
    {requires}
    provider_preferences: [p2]
"""
    assert PersonaRouter(write_policy(text)).select_provider("x") == "p2"


@pytest.mark.parametrize(
    ("persona", "provider"),
    [
        ("architect", "claude_agent"),
        ("code_writer", "claude_agent"),
        ("reviewer", "claude_agent"),
        ("qa_engineer", "openai"),
        ("architect_openai", "openai"),
        ("code_writer_openai", "openai"),
        ("reviewer_openai", "openai"),
    ],
)
def test_A6_the_shipped_policy(persona, provider):
    assert PersonaRouter(env={}).select_provider(persona) == provider


def test_A6_the_seeds_gemini_snippet(write_policy):
    router = PersonaRouter(write_policy(SEED))
    assert router.select_provider("architect_gemini") == "gemini"
    assert router.select_provider("architect") == "claude_agent"


def test_A7_a_policy_of_ones_own_replaces_the_shipped_one(write_policy):
    router = PersonaRouter(str(write_policy(TWO % "a")))
    assert router.select_provider("x") == "p1"
    with pytest.raises(PersonaNotFoundError):
        router.select_provider("architect")


def test_the_working_folders_policy_comes_before_the_shipped_one(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "persona_policy.yaml").write_text(TWO % "b")
    monkeypatch.chdir(tmp_path)
    assert PersonaRouter().select_provider("x") == "p2"


# --- the file


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("personas: [", ":1: "),
        ("- a\n- b\n", "found a list"),
        ("just text", "found a text"),
        ("personas: {}\npersonas: {}\n", ":2: found duplicate key"),
        ("personas:\n  x:\n    colour: red\n", ":3: personas.x.colour: unknown key"),
        ("personas:\n  x:\n    temperature: 3\n", ":3: personas.x.temperature: "),
        ("personas:\n  x:\n    temperature: 3\n", "equal to 2, not 3"),
        ("personas:\n  x:\n    requires: vision\n", "requires: a list is expected here"),
        ("personas:\n  x:\n", ":2: personas.x: keys and values are expected here"),
        ("prices:\n  m: {input: -1, output: 1}\n", ":2: prices.m.input: "),
    ],
)
def test_A8_a_broken_file_is_named_with_its_line(write_policy, text, told):
    path = write_policy(text)
    with pytest.raises(RouterError) as raised:
        PersonaRouter(path)
    assert str(path) in str(raised.value)
    assert told in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_A8_all_problems_are_told_at_once(write_policy):
    path = write_policy("personas:\n  x:\n    colour: red\n  y:\n    temperature: 3\n")
    with pytest.raises(RouterError) as raised:
        PersonaRouter(path)
    assert len(str(raised.value).splitlines()) == 2


def test_A8_a_missing_file(tmp_path):
    with pytest.raises(RouterError, match="no such file") as raised:
        PersonaRouter(tmp_path / "none.yaml")
    assert str(tmp_path / "none.yaml") in str(raised.value)


def test_A8_a_file_in_another_encoding(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("personas: {}\n# café".encode("latin-1"))
    with pytest.raises(RouterError, match="cannot be read"):
        PersonaRouter(path)


def test_A8_an_undeclared_provider_is_named_with_its_line(write_policy):
    path = write_policy("personas:\n  x:\n    provider_preferences: [nope]\nproviders: {p1: {}}\n")
    with pytest.raises(RouterError, match=r":3: .*'nope', which is not declared.*p1"):
        PersonaRouter(path)


@pytest.mark.parametrize("text", ["", "# nothing\n", "personas:\nproviders:\n", "{}"])
def test_A8_an_empty_policy_stays_empty(write_policy, text):
    router = PersonaRouter(write_policy(text))
    with pytest.raises(PersonaNotFoundError):
        router.select_provider("architect")


def test_a_changed_file_is_read_again(write_policy):
    assert PersonaRouter(write_policy(TWO % "a")).select_provider("x") == "p1"
    assert PersonaRouter(write_policy(TWO % "b ")).select_provider("x") == "p2"


def test_a_persona_brings_its_own_settings(write_policy):
    path = write_policy("personas: {x: {system: Be brief., max_tokens: 99, temperature: 0.1}}")
    profile = PersonaRouter(path).profile("x")
    assert (profile.system, profile.max_tokens, profile.temperature) == ("Be brief.", 99, 0.1)


def test_limits_are_read(write_policy):
    text = "providers: {p1: {limits: {requests_per_minute: 5, concurrency: 2}}}"
    limits = load_policy(write_policy(text))[0].providers["p1"].limits
    assert (limits.requests_per_minute, limits.concurrency) == (5, 2)
    assert limits.tokens_per_minute is None


# --- clients


def test_A9_the_personas_client():
    from providers.openai_adapter import OpenAIClient

    router = PersonaRouter(env=KEYS)
    assert isinstance(router.get_client("qa_engineer"), OpenAIClient)
    assert router.get_client("qa_engineer") is router.get_client("qa_engineer")


def test_A9_the_personas_client_of_an_extra():
    pytest.importorskip("claude_agent_sdk", reason="needs the extra: uv sync --extra claude")
    from providers.claude_agent import ClaudeAgentClient

    assert isinstance(PersonaRouter(env=KEYS).get_client("architect"), ClaudeAgentClient)


def test_A9_no_key_at_all_names_the_variable():
    with pytest.raises(ProviderError) as raised:
        PersonaRouter(env={}).get_client("qa_engineer")
    assert "EP_OPENAI_API_KEY" in str(raised.value)
    assert not raised.value.sent


def test_A9_a_bad_key_is_not_shown():
    env = {"EP_OPENAI_API_KEY": "sk-very secret"}
    with pytest.raises(ProviderError) as raised:
        PersonaRouter(env=env).get_client("code_writer_openai")
    assert "EP_OPENAI_API_KEY" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_an_unusable_provider_is_passed_over_with_a_warning(write_policy, caplog):
    text = """
providers: {openai: {capabilities: []}, named: {capabilities: [], default_model: m-7}}
personas: {x: {provider_preferences: [openai, named]}}
"""
    registry.register("named", Named)
    try:
        with caplog.at_level(logging.WARNING):
            client = PersonaRouter(write_policy(text), env={}).get_client("x")
    finally:
        registry.unregister("named")
    assert isinstance(client, Named)
    assert client.model == "m-7"
    assert "served by named" in caplog.text
    assert "EP_OPENAI_API_KEY" in caplog.text


def test_an_own_provider_needs_no_model(write_policy):
    registry.register("p1", Named)
    try:
        client = PersonaRouter(write_policy(TWO % "a")).get_client("x")
    finally:
        registry.unregister("p1")
    assert isinstance(client, Named)


@pytest.mark.usefixtures("claude_agent")
def test_A17_tools_go_to_the_next_preference_that_has_them():
    router = PersonaRouter(env=KEYS)
    needs_tools = request(tools=[ToolDefinition("t")])
    chosen = [c.provider for c in router.candidates("code_writer", needs_tools)]
    assert chosen[0] == "anthropic"
    assert "claude_agent" not in chosen
    assert router.get_client("code_writer", needs_tools).provider == "anthropic"
    assert router.candidates("code_writer")[0].provider == "claude_agent"


def test_A17_tools_that_nobody_has_are_an_error_before_the_call(write_policy):
    text = """
providers: {claude_agent: {capabilities: [system_prompts, streaming]}}
personas: {x: {provider_preferences: [claude_agent]}}
"""
    router = PersonaRouter(write_policy(text), env=KEYS)
    needs_tools = request(tools=[ToolDefinition("t")])
    with pytest.raises(NoProviderError, match="tool_calling"):
        router.candidates("x", needs_tools)
    with pytest.raises(NoProviderError, match="tool_calling"):
        router.get_client("x", needs_tools)


# --- the default provider


NO_PREFERENCES = """
providers:
  gemini: {capabilities: [system_prompts]}
  openai: {capabilities: [system_prompts]}
  simulated: {capabilities: [system_prompts]}
personas: {x: {requires: [system_prompts]}}
"""


def test_the_default_provider_comes_first_without_preferences(write_policy):
    path = write_policy(NO_PREFERENCES)
    assert PersonaRouter(path, env={}).select_provider("x") == "gemini"
    env = {"EP_DEFAULT_PROVIDER": "openai", **KEYS}
    router = PersonaRouter(path, env=env)
    assert router.select_provider("x") == "openai"
    assert {c.provider for c in router.candidates("x")} == {"openai", "gemini"}


def test_simulated_is_never_chosen_by_itself(write_policy):
    path = write_policy(NO_PREFERENCES)
    with pytest.raises(NoProviderError):
        PersonaRouter(path, env={}).candidates("x")
    router = PersonaRouter(path, env={"EP_DEFAULT_PROVIDER": "simulated"})
    assert router.select_provider("x") == "simulated"


def test_the_default_provider_is_ignored_where_there_are_preferences():
    router = PersonaRouter(env={"EP_DEFAULT_PROVIDER": "gemini"})
    assert router.select_provider("qa_engineer") == "openai"


def test_an_unknown_default_provider_is_named(write_policy):
    router = PersonaRouter(write_policy(NO_PREFERENCES), env={"EP_DEFAULT_PROVIDER": "nope"})
    with pytest.raises(RouterError, match=r"EP_DEFAULT_PROVIDER names 'nope'"):
        router.select_provider("x")
