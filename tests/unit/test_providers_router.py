"""Personas to providers: the policy file, selection, clients, candidates and reasons."""

import logging
from decimal import Decimal
from pathlib import Path

import pytest

from contracts.messages import ChatChunk, ChatRequest, Message, ToolDefinition
from contracts.parts import FileInlinePart
from providers import registry
from providers.exceptions import (
    NoProviderError,
    PersonaNotFoundError,
    ProviderError,
    RouterError,
    Unavailable,
)
from providers.policy import load_policy
from providers.pricing import PriceOverride
from providers.router import Needs, PersonaRouter
from providers.spi import LLMClient

pytestmark = pytest.mark.unit

KEYS = {"EP_OPENAI_API_KEY": "k1", "EP_ANTHROPIC_API_KEY": "k2", "EP_GEMINI_API_KEY": "k3"}

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


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "policy.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def request(**fields) -> ChatRequest:
    return ChatRequest([Message("user", "Hello there")], **fields)


# --- selection by policy alone


def test_A1_the_first_that_covers_all_not_the_best(write):
    assert PersonaRouter(write(TWO % "a")).select_provider("x") == "p1"


def test_A2_one_that_lacks_something_is_passed_over(write):
    assert PersonaRouter(write(TWO % "b")).select_provider("x") == "p2"


def test_A3_nobody_fits(write):
    path = write(TWO % "c")
    with pytest.raises(NoProviderError) as raised:
        PersonaRouter(path).select_provider("x")
    assert isinstance(raised.value, RouterError)
    assert isinstance(raised.value, ValueError)
    text = str(raised.value)
    assert "persona 'x'" in text
    assert "p1 lacks c; p2 lacks c" in text
    assert str(path) in text


def test_A4_unknown_persona_is_told_from_an_unserved_one(write):
    with pytest.raises(PersonaNotFoundError) as raised:
        PersonaRouter(write(SEED)).select_provider("zz")
    assert isinstance(raised.value, RouterError)
    assert isinstance(raised.value, ValueError)
    assert "'zz' is not defined" in str(raised.value)
    assert "no provider satisfies" not in str(raised.value)
    assert "provider_preferences" in str(raised.value)


def test_a_misspelt_persona_gets_a_suggestion():
    with pytest.raises(PersonaNotFoundError, match="Did you mean 'qa_engineer'"):
        PersonaRouter().select_provider("qa-enginer")


@pytest.mark.parametrize("requires", ["", "requires: []", "requires:"])
def test_A5_nothing_required(write, requires):
    text = f"""
providers: {{p1: {{capabilities: [a]}}, p2: {{capabilities: []}}}}
personas:
  x:
    {requires}
    provider_preferences: [p2]
"""
    assert PersonaRouter(write(text)).select_provider("x") == "p2"


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


def test_A6_the_seeds_gemini_snippet(write):
    router = PersonaRouter(write(SEED))
    assert router.select_provider("architect_gemini") == "gemini"
    assert router.select_provider("architect") == "claude_agent"


def test_A7_a_policy_of_ones_own_replaces_the_shipped_one(write):
    router = PersonaRouter(str(write(TWO % "a")))
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
def test_A8_a_broken_file_is_named_with_its_line(write, text, told):
    path = write(text)
    with pytest.raises(RouterError) as raised:
        PersonaRouter(path)
    assert str(path) in str(raised.value)
    assert told in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_A8_all_problems_are_told_at_once(write):
    path = write("personas:\n  x:\n    colour: red\n  y:\n    temperature: 3\n")
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


def test_A8_an_undeclared_provider_is_named_with_its_line(write):
    path = write("personas:\n  x:\n    provider_preferences: [nope]\nproviders: {p1: {}}\n")
    with pytest.raises(RouterError, match=r":3: .*'nope', which is not declared.*p1"):
        PersonaRouter(path)


@pytest.mark.parametrize("text", ["", "# nothing\n", "personas:\nproviders:\n", "{}"])
def test_A8_an_empty_policy_stays_empty(write, text):
    router = PersonaRouter(write(text))
    with pytest.raises(PersonaNotFoundError):
        router.select_provider("architect")


def test_a_changed_file_is_read_again(write):
    assert PersonaRouter(write(TWO % "a")).select_provider("x") == "p1"
    assert PersonaRouter(write(TWO % "b ")).select_provider("x") == "p2"


def test_a_persona_brings_its_own_settings(write):
    path = write("personas: {x: {system: Be brief., max_tokens: 99, temperature: 0.1}}")
    profile = PersonaRouter(path).profile("x")
    assert (profile.system, profile.max_tokens, profile.temperature) == ("Be brief.", 99, 0.1)


def test_limits_are_read(write):
    text = "providers: {p1: {limits: {requests_per_minute: 5, concurrency: 2}}}"
    limits = load_policy(write(text))[0].providers["p1"].limits
    assert (limits.requests_per_minute, limits.concurrency) == (5, 2)
    assert limits.tokens_per_minute is None


# --- clients


def test_A9_the_personas_client():
    from providers.claude_agent import ClaudeAgentClient
    from providers.openai_adapter import OpenAIClient

    router = PersonaRouter(env=KEYS)
    assert isinstance(router.get_client("architect"), ClaudeAgentClient)
    assert isinstance(router.get_client("qa_engineer"), OpenAIClient)
    assert router.get_client("qa_engineer") is router.get_client("qa_engineer")


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


def test_an_unusable_provider_is_passed_over_with_a_warning(write, caplog):
    text = """
providers: {openai: {capabilities: []}, named: {capabilities: [], default_model: m-7}}
personas: {x: {provider_preferences: [openai, named]}}
"""
    registry.register("named", Named)
    try:
        with caplog.at_level(logging.WARNING):
            client = PersonaRouter(write(text), env={}).get_client("x")
    finally:
        registry.unregister("named")
    assert isinstance(client, Named)
    assert client.model == "m-7"
    assert "served by named" in caplog.text
    assert "EP_OPENAI_API_KEY" in caplog.text


def test_an_own_provider_needs_no_model(write):
    registry.register("p1", Named)
    try:
        client = PersonaRouter(write(TWO % "a")).get_client("x")
    finally:
        registry.unregister("p1")
    assert isinstance(client, Named)


def test_A17_tools_go_to_the_next_preference_that_has_them():
    router = PersonaRouter(env=KEYS)
    needs_tools = request(tools=[ToolDefinition("t")])
    chosen = [c.provider for c in router.candidates("code_writer", needs_tools)]
    assert chosen[0] == "anthropic"
    assert "claude_agent" not in chosen
    assert router.get_client("code_writer", needs_tools).provider == "anthropic"
    assert router.get_client("code_writer").provider == "claude_agent"


def test_A17_tools_that_nobody_has_are_an_error_before_the_call(write):
    text = """
providers: {claude_agent: {capabilities: [system_prompts, streaming]}}
personas: {x: {provider_preferences: [claude_agent]}}
"""
    router = PersonaRouter(write(text), env=KEYS)
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


def test_the_default_provider_comes_first_without_preferences(write):
    path = write(NO_PREFERENCES)
    assert PersonaRouter(path, env={}).select_provider("x") == "gemini"
    env = {"EP_DEFAULT_PROVIDER": "openai", **KEYS}
    router = PersonaRouter(path, env=env)
    assert router.select_provider("x") == "openai"
    assert {c.provider for c in router.candidates("x")} == {"openai", "gemini"}


def test_simulated_is_never_chosen_by_itself(write):
    path = write(NO_PREFERENCES)
    with pytest.raises(NoProviderError):
        PersonaRouter(path, env={}).candidates("x")
    router = PersonaRouter(path, env={"EP_DEFAULT_PROVIDER": "simulated"})
    assert router.select_provider("x") == "simulated"


def test_the_default_provider_is_ignored_where_there_are_preferences():
    router = PersonaRouter(env={"EP_DEFAULT_PROVIDER": "gemini"})
    assert router.select_provider("qa_engineer") == "openai"


def test_an_unknown_default_provider_is_named(write):
    router = PersonaRouter(write(NO_PREFERENCES), env={"EP_DEFAULT_PROVIDER": "nope"})
    with pytest.raises(RouterError, match=r"EP_DEFAULT_PROVIDER names 'nope'"):
        router.select_provider("x")


# --- candidates


def test_candidates_are_priced_and_ordered_by_preference():
    found = PersonaRouter(env=KEYS).candidates("architect")
    first = [c.provider for c in found[:4]]
    assert first == ["claude_agent", "anthropic", "openai", "gemini"]
    assert all(c.price.input.base > 0 and c.profile.context_window for c in found)
    assert {c.provider for c in found[4:]} == {"anthropic", "openai", "gemini"}
    assert len({(c.provider, c.model) for c in found}) == len(found)


def test_without_a_key_a_provider_is_no_candidate_unless_others_may_have_it():
    router = PersonaRouter(env={})
    assert [c.provider for c in router.candidates("architect")] == ["claude_agent"]
    anywhere = router.candidates("architect", needs=Needs(available_only=False))
    openai = next(c for c in anywhere if c.provider == "openai")
    assert any("EP_OPENAI_API_KEY" in note for note in openai.notes)


@pytest.mark.parametrize(
    ("fields", "capability"),
    [
        ({"tools": [ToolDefinition("t")]}, "tool_calling"),
        ({"response_schema": {"type": "object"}}, "json_mode"),
        ({"json_mode": True}, "json_mode"),
        ({"stop": ["END"]}, "stop_sequences"),
    ],
)
def test_A18_what_a_request_asks_for_is_required(fields, capability):
    router = PersonaRouter(env=KEYS)
    explained = router.explain("architect", request(**fields))
    assert capability in explained.requires
    refused = next(v for v in explained.verdicts if v.provider == "claude_agent")
    assert f"the policy gives it no {capability}" in refused.reasons
    assert router.candidates("architect", request(**fields))[0].provider == "anthropic"


def test_an_image_requires_vision():
    image = Message("user", "Look", parts=(FileInlinePart(data=b"x", mime_type="image/png"),))
    found = PersonaRouter(env=KEYS).candidates("architect", ChatRequest([image]))
    assert found[0].provider == "anthropic"


def test_the_table_limits_what_the_policy_grants(write):
    text = """
providers:
  openai: {capabilities: [vision], default_model: gpt-4, models: [gpt-4.1]}
personas: {x: {requires: [vision], provider_preferences: [openai]}}
"""
    router = PersonaRouter(write(text), env=KEYS)
    assert [c.model for c in router.candidates("x")] == ["gpt-4.1"]
    assert "the model lacks vision" in router.explain("x").verdicts[0].reasons


def test_a_prompt_that_does_not_fit_the_window_rules_a_model_out(write):
    text = """
providers: {openai: {default_model: gpt-4, models: [gpt-4.1]}}
personas: {x: {provider_preferences: [openai]}}
"""
    router = PersonaRouter(write(text), env=KEYS)
    long = ChatRequest([Message("user", "word " * 20_000)], max_tokens=100)
    assert [c.model for c in router.candidates("x")] == ["gpt-4", "gpt-4.1"]
    assert [c.model for c in router.candidates("x", long)] == ["gpt-4.1"]
    assert [c.model for c in router.candidates("x", needs=Needs(prompt_tokens=9_000))] == [
        "gpt-4.1"
    ]
    assert [c.model for c in router.candidates("x", request(max_tokens=20_000))] == ["gpt-4.1"]


def test_a_temperature_out_of_range_rules_a_model_out_and_an_unused_one_is_noted(write):
    text = """
providers: {anthropic: {default_model: claude-haiku-4-5, models: [claude-sonnet-5-5]}}
personas: {x: {provider_preferences: [anthropic]}}
"""
    router = PersonaRouter(write(text), env=KEYS)
    assert router.candidates("x", request(temperature=1.0))[0].model == "claude-haiku-4-5"
    (found,) = router.candidates("x", request(temperature=1.5))
    assert found.model == "claude-sonnet-5-5"
    assert found.notes == ("it takes no temperature",)


def test_persona_limits_on_window_and_price(write):
    text = """
providers: {openai: {default_model: gpt-4, models: [gpt-4.1, gpt-4.1-mini]}}
personas:
  long: {provider_preferences: [openai], context_at_least: 100000}
  cheap: {provider_preferences: [openai], max_price_per_mtok: 2}
"""
    router = PersonaRouter(write(text), env=KEYS)
    assert [c.model for c in router.candidates("long")] == ["gpt-4.1", "gpt-4.1-mini"]
    assert [c.model for c in router.candidates("cheap")] == ["gpt-4.1-mini"]
    reasons = router.explain("cheap").verdicts[0].reasons
    assert reasons == ("$60 per million tokens is above the persona's $2",)


def test_a_persona_names_its_models(write):
    text = """
providers: {openai: {}}
personas: {x: {provider_preferences: [openai], models: {openai: [gpt-4.1, gpt-4o]}}}
"""
    router = PersonaRouter(write(text), env=KEYS)
    assert [c.model for c in router.candidates("x")] == ["gpt-4.1", "gpt-4o"]


def test_a_pinned_model_goes_to_its_vendor():
    router = PersonaRouter(env=KEYS)
    pinned = router.candidates("architect", needs=Needs(model="claude-sonnet-4-5"))
    assert [(c.provider, c.model) for c in pinned] == [
        ("claude_agent", "claude-sonnet-4-5"),
        ("anthropic", "claude-sonnet-4-5"),
    ]
    by_request = router.candidates("architect", request(model="gpt-4.1"))
    assert [(c.provider, c.model) for c in by_request] == [("openai", "gpt-4.1")]


def test_a_pinned_model_must_satisfy_the_persona():
    with pytest.raises(NoProviderError, match="the model lacks json_mode"):
        PersonaRouter(env=KEYS).candidates("qa_engineer", needs=Needs(model="gpt-4"))


def test_an_unknown_model_is_refused_without_a_price_and_warned_about_with_one(write):
    router = PersonaRouter(env=KEYS)
    with pytest.raises(NoProviderError, match=r'prices: \{"openai/llama-9"'):
        router.candidates("qa_engineer", needs=Needs(model="llama-9"))
    free = {"openai/llama-9": PriceOverride(input=Decimal(0), output=Decimal(0))}
    found = PersonaRouter(env=KEYS, prices=free).candidates(
        "qa_engineer", needs=Needs(model="llama-9")
    )
    assert [(c.provider, c.price.output.base) for c in found] == [("openai", 0)]
    assert "does not know it" in found[0].why


def test_prices_of_the_policy_are_used_and_can_be_replaced(write):
    text = """
providers: {openai: {default_model: mine}}
personas: {x: {provider_preferences: [openai]}}
prices: {openai/mine: {input: 0.25, output: 2}}
"""
    path = write(text)
    assert PersonaRouter(path, env=KEYS).candidates("x")[0].price.input.base == Decimal("0.25")
    other = {"openai/mine": PriceOverride(input=Decimal(7), output=Decimal(7))}
    found = PersonaRouter(path, env=KEYS, prices=other).candidates("x")
    assert found[0].price.input.base == 7


def test_the_openai_persona_is_the_next_candidate(write):
    text = """
providers: {anthropic: {capabilities: [system_prompts]}, openai: {capabilities: [system_prompts]}}
personas:
  x: {requires: [system_prompts], provider_preferences: [anthropic]}
  x_openai: {provider_preferences: [openai]}
"""
    found = PersonaRouter(write(text), env=KEYS).candidates("x")
    assert [c.provider for c in found] == ["anthropic", "openai"]
    assert found[1].why.startswith("fallback persona x_openai")


def test_a_provider_can_be_asked_for_by_name():
    router = PersonaRouter(env={})
    found = router.candidates("architect", needs=Needs(provider="simulated", model="gpt-4o"))
    assert [(c.provider, c.model) for c in found] == [("simulated", "gpt-4o")]
    assert found[0].profile.prefill
    with pytest.raises(NoProviderError, match="does not declare"):
        router.candidates("architect", needs=Needs(provider="nope"))


def test_explain_speaks_of_every_provider():
    router = PersonaRouter(env={"EP_ANTHROPIC_API_KEY": "k"})
    explained = router.explain("code_writer", request(tools=[ToolDefinition("t")], temperature=0.5))
    assert {v.provider for v in explained.verdicts} == set(router.policy.providers)
    text = "\n".join(explained.lines())
    assert "1. anthropic/claude-sonnet-5-5: fits (it takes no temperature)" in text
    assert "- simulated: not among the persona's preferences" in text
    assert "EP_OPENAI_API_KEY is not set" in text
    data = explained.data()
    assert data["requires"] == {"system_prompts": "the persona", "tool_calling": "tools"}
    ranks = [c["rank"] for c in data["candidates"] if c["rank"]]
    assert ranks == list(range(1, len(ranks) + 1))


def test_explain_works_where_candidates_must_fail():
    explained = PersonaRouter(env={}).explain("qa_engineer")
    assert all(v.rank is None for v in explained.verdicts)
    assert len(explained.lines()) > len(explained.verdicts)


def test_every_shipped_model_has_a_price_and_a_known_profile():
    router = PersonaRouter(env=KEYS)
    for persona in router.policy.personas:
        for verdict in router.explain(persona).verdicts:
            if verdict.model:
                profile, known = router.capabilities.profile(verdict.provider, verdict.model)
                assert known, verdict
                assert profile is not None
                assert not any("no price" in reason for reason in verdict.reasons), verdict


def test_unavailable_is_a_final_provider_error():
    assert issubclass(Unavailable, ProviderError)
    assert Unavailable("x").kind == "Unavailable"
