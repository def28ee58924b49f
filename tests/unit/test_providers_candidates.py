"""What a persona may be served by: candidates, their prices and models, and why others are not."""

from decimal import Decimal

import pytest

from contracts.messages import ChatRequest, Message, ToolDefinition
from contracts.parts import FileInlinePart
from providers.exceptions import (
    NoProviderError,
    ProviderError,
    Unavailable,
)
from providers.pricing import PriceOverride
from providers.router import Needs, PersonaRouter
from tests.unit.policies import KEYS, request

pytestmark = pytest.mark.unit


@pytest.mark.usefixtures("claude_agent")
def test_candidates_are_priced_and_ordered_by_preference():
    found = PersonaRouter(env=KEYS).candidates("architect")
    first = [c.provider for c in found[:4]]
    assert first == ["claude_agent", "anthropic", "openai", "gemini"]
    assert all(c.price.input.base > 0 and c.profile.context_window for c in found)
    assert {c.provider for c in found[4:]} == {"anthropic", "openai", "gemini"}
    assert len({(c.provider, c.model) for c in found}) == len(found)


@pytest.mark.usefixtures("claude_agent")
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


def test_the_table_limits_what_the_policy_grants(write_policy):
    text = """
providers:
  openai: {capabilities: [vision], default_model: gpt-4, models: [gpt-4.1]}
personas: {x: {requires: [vision], provider_preferences: [openai]}}
"""
    router = PersonaRouter(write_policy(text), env=KEYS)
    assert [c.model for c in router.candidates("x")] == ["gpt-4.1"]
    assert "the model lacks vision" in router.explain("x").verdicts[0].reasons


def test_a_prompt_that_does_not_fit_the_window_rules_a_model_out(write_policy):
    text = """
providers: {openai: {default_model: gpt-4, models: [gpt-4.1]}}
personas: {x: {provider_preferences: [openai]}}
"""
    router = PersonaRouter(write_policy(text), env=KEYS)
    long = ChatRequest([Message("user", "word " * 20_000)], max_tokens=100)
    assert [c.model for c in router.candidates("x")] == ["gpt-4", "gpt-4.1"]
    assert [c.model for c in router.candidates("x", long)] == ["gpt-4.1"]
    assert [c.model for c in router.candidates("x", needs=Needs(prompt_tokens=9_000))] == [
        "gpt-4.1"
    ]
    assert [c.model for c in router.candidates("x", request(max_tokens=20_000))] == ["gpt-4.1"]


def test_a_temperature_out_of_range_rules_a_model_out_and_an_unused_one_is_noted(write_policy):
    text = """
providers: {anthropic: {default_model: claude-haiku-4-5, models: [claude-sonnet-5-5]}}
personas: {x: {provider_preferences: [anthropic]}}
"""
    router = PersonaRouter(write_policy(text), env=KEYS)
    assert router.candidates("x", request(temperature=1.0))[0].model == "claude-haiku-4-5"
    (found,) = router.candidates("x", request(temperature=1.5))
    assert found.model == "claude-sonnet-5-5"
    assert found.notes == ("it takes no temperature",)


def test_persona_limits_on_window_and_price(write_policy):
    text = """
providers: {openai: {default_model: gpt-4, models: [gpt-4.1, gpt-4.1-mini]}}
personas:
  long: {provider_preferences: [openai], context_at_least: 100000}
  cheap: {provider_preferences: [openai], max_price_per_mtok: 2}
"""
    router = PersonaRouter(write_policy(text), env=KEYS)
    assert [c.model for c in router.candidates("long")] == ["gpt-4.1", "gpt-4.1-mini"]
    assert [c.model for c in router.candidates("cheap")] == ["gpt-4.1-mini"]
    reasons = router.explain("cheap").verdicts[0].reasons
    assert reasons == ("$60 per million tokens is above the persona's $2",)


def test_a_persona_names_its_models(write_policy):
    text = """
providers: {openai: {}}
personas: {x: {provider_preferences: [openai], models: {openai: [gpt-4.1, gpt-4o]}}}
"""
    router = PersonaRouter(write_policy(text), env=KEYS)
    assert [c.model for c in router.candidates("x")] == ["gpt-4.1", "gpt-4o"]


@pytest.mark.usefixtures("claude_agent")
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


def test_an_unknown_model_is_refused_without_a_price_and_warned_about_with_one(write_policy):
    router = PersonaRouter(env=KEYS)
    with pytest.raises(NoProviderError, match=r'prices: \{"openai/llama-9"'):
        router.candidates("qa_engineer", needs=Needs(model="llama-9"))
    free = {"openai/llama-9": PriceOverride(input=Decimal(0), output=Decimal(0))}
    found = PersonaRouter(env=KEYS, prices=free).candidates(
        "qa_engineer", needs=Needs(model="llama-9")
    )
    assert [(c.provider, c.price.output.base) for c in found] == [("openai", 0)]
    assert "does not know it" in found[0].why


def test_prices_of_the_policy_are_used_and_can_be_replaced(write_policy):
    text = """
providers: {openai: {default_model: mine}}
personas: {x: {provider_preferences: [openai]}}
prices: {openai/mine: {input: 0.25, output: 2}}
"""
    path = write_policy(text)
    assert PersonaRouter(path, env=KEYS).candidates("x")[0].price.input.base == Decimal("0.25")
    other = {"openai/mine": PriceOverride(input=Decimal(7), output=Decimal(7))}
    found = PersonaRouter(path, env=KEYS, prices=other).candidates("x")
    assert found[0].price.input.base == 7


def test_the_openai_persona_is_the_next_candidate(write_policy):
    text = """
providers: {anthropic: {capabilities: [system_prompts]}, openai: {capabilities: [system_prompts]}}
personas:
  x: {requires: [system_prompts], provider_preferences: [anthropic]}
  x_openai: {provider_preferences: [openai]}
"""
    found = PersonaRouter(write_policy(text), env=KEYS).candidates("x")
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
