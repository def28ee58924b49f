"""From the seed's workflow to a plan: D3's configuration, D31's placeholders, prices, names."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.engine import (
    Agent,
    CostTracker,
    EngineConfig,
    LLMClient,
    OrchestrationEngine,
    RateLimitConfig,
    RetryPolicy,
    Workflow,
)
from client.engine.translating import STEP_NAME, Asked, output_of, step_names, translate
from contracts.plans import Plan
from contracts.retry import RetryRule
from contracts.teams import ModelStep
from providers.simulated import SimulatedClient
from tests.support.engines import FakeClient, agent, workflow

pytestmark = pytest.mark.unit


def plan_of(flow: Workflow, model: str | None = None) -> Plan:
    asked = Asked("custom", model, "queue", CostTracker().price)
    return translate(flow, asked, RetryRule()).plan


def step(plan: Plan, number: int = 0) -> ModelStep:
    found = plan.team.agents[number]
    assert isinstance(found, ModelStep)
    return found


def test_everything_an_agent_says_reaches_its_step() -> None:
    config = {"model": "gpt-4", "temperature": 0.3, "max_tokens": 1000, "system": "be brief"}
    made = agent("b", "{a}", llm_config=config, dependencies=["a", "a"], max_retries=1)
    made.module, made.timeout, made.cost_limit, made.priority = "HR", 7.0, 0.25, 9
    flow = workflow(
        agent(), made, max_parallel_agents=3, cost_budget=2.5, timeout=60.0,
        allow_partial_completion=False,
    )  # fmt: skip
    plan = plan_of(flow)
    found = step(plan, 1)
    assert (found.module, found.timeout, found.cost_limit) == ("HR", 7.0, Decimal("0.25"))
    assert (found.priority, found.max_retries, found.dependencies) == (9, 1, ("a",))
    assert (found.llm_config.temperature, found.llm_config.system) == (0.3, "be brief")
    assert (plan.team.max_parallel_agents, plan.team.cost_budget) == (3, Decimal("2.5"))
    assert (plan.team.timeout, plan.team.allow_partial_completion) == (60.0, False)


def test_each_model_is_one_candidate() -> None:
    flow = workflow(
        agent("a"), agent("b", llm_config={"model": "nobody-knows"}), agent("c"), agent("d")
    )
    plan = plan_of(flow)
    assert [c.model for c in plan.candidates] == ["gpt-4", "nobody-knows"]
    assert plan.step_candidates == {"a": (0,), "b": (1,), "c": (0,), "d": (0,)}
    assert plan.candidates[0].price.input.base == 30
    assert [c.price.is_default for c in plan.candidates] == [False, True]
    assert plan.notes == ("nobody-knows: no price is known; the default price is used",)


def test_an_agent_without_a_model_uses_the_clients() -> None:
    flow = workflow(agent(llm_config={}))
    own = plan_of(flow, "gpt-4").candidates[0]
    assert (own.model, own.options, own.price.is_default) == ("gpt-4", {"unnamed": True}, False)
    assert plan_of(flow).candidates[0].model == "default"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (agent("b", "Use {data}"), r"agent 'b': prompt_template: unknown name in \{data\}"),
        (agent("b", "Use {a}"), r'\{a\} is read but not waited for: add "a" to dependencies'),
        (agent("b", 'Like {"n": 1}'), r"write \{\{"),
        (agent("b", "Use {b}"), "cannot read itself|unknown name"),
        (agent("b", llm_config={"modle": "x"}), r"llm_config has no .modle.*Did you mean .model"),
        (agent("b", llm_config={"temperature": 3}), r"agent 'b': llm_config\.temperature"),
        (agent("b", llm_config={"max_tokens": 0}), r"llm_config\.max_tokens"),
        (agent("b", tools=[{"description": "nameless"}]), r"tools\[0\]: a tool needs a name"),
    ],
)  # fmt: skip
def test_D31_a_mistake_names_agent_and_field(made: Agent, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan_of(workflow(agent("a"), made))


def test_an_input_may_not_have_an_agents_name() -> None:
    with pytest.raises(ValueError, match="input"):
        plan_of(workflow(agent("a"), inputs={"a": 1}))


def test_D31_an_output_further_up_may_be_read_too() -> None:
    flow = workflow(
        agent("a"), agent("b", dependencies=["a"]), agent("c", "{a} {b}", dependencies=["b"])
    )
    assert step(plan_of(flow), 2).prompt_template == "{a} {b}"


def test_names_that_prompts_cannot_spell_are_mapped() -> None:
    names = ["step one", "step-one", "agent_step_one", "1st", "ok", "ß" * 80]
    steps = step_names(names)
    assert steps["ok"] == "ok"
    assert steps["agent_step_one"] == "agent_step_one"
    assert len(set(steps.values())) == len(names)
    assert all(STEP_NAME.fullmatch(name) for name in steps.values())


@given(st.lists(st.text(min_size=1, max_size=80), unique=True, max_size=30))
def test_every_name_gets_a_step_of_its_own(names: list[str]) -> None:
    steps = step_names(names)
    assert set(steps) == set(names)
    assert len(set(steps.values())) == len(names)
    assert all(STEP_NAME.fullmatch(name) for name in steps.values())
    assert all(steps[name] == name for name in names if STEP_NAME.fullmatch(name))


def test_values_of_inputs_travel_as_json() -> None:
    flow = workflow(
        agent("a", "{text}{number}{flag}{items}{table}"),
        inputs={"text": "x", "number": 1.5, "flag": True, "items": (1, 2), "table": {"n": 1}},
    )
    asked = Asked("custom", None, "queue", CostTracker().price)
    translation = translate(flow, asked, RetryRule())
    assert translation.inputs == {
        "text": "x", "number": 1.5, "flag": True, "items": [1, 2], "table": '{"n":1}',
    }  # fmt: skip
    assert {name: spec.type for name, spec in translation.plan.team.inputs.items()} == {
        "text": "text", "number": "number", "flag": "boolean", "items": "list", "table": "text",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("text", {"content": "text"}),
        ({"n": 1}, {"content": {"n": 1}}),
        ({"text": "x", "tool_calls": [1]}, {"content": "x", "tool_calls": [1]}),
    ],
)
def test_outputs_have_content_and_tool_calls(value: Any, output: dict[str, Any]) -> None:
    assert output_of(value) == output


def test_D3_the_engines_defaults() -> None:
    config = EngineConfig()
    assert config.max_concurrent_workflows == 50
    assert vars(config.rate_limit_config) == vars(RateLimitConfig())
    assert config.default_retry_policy == RetryPolicy()
    assert OrchestrationEngine(FakeClient()).config.max_concurrent_workflows == 50


def test_the_seeds_limits_are_for_providers_that_bill() -> None:
    def limits(client: LLMClient, config: EngineConfig) -> dict[str, int | None]:
        return vars(OrchestrationEngine(client, config).rate_limiter.config)

    free = vars(RateLimitConfig.unlimited())
    assert limits(FakeClient(), EngineConfig()) == vars(RateLimitConfig())
    assert limits(SimulatedClient(), EngineConfig()) == free
    asked = EngineConfig(rate_limit_config=RateLimitConfig())
    assert limits(SimulatedClient(), asked) == vars(RateLimitConfig())
    changed = EngineConfig()
    changed.rate_limit_config.requests_per_minute = 7
    assert limits(SimulatedClient(), changed)["requests_per_minute"] == 7


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(TypeError, match=r"providers\.spi\.LLMClient, not object"):
        OrchestrationEngine(object(), EngineConfig())  # type: ignore[arg-type]


def test_a_configuration_that_cannot_be_names_its_field() -> None:
    with pytest.raises(ValueError, match="max_concurrent_workflows"):
        EngineConfig(max_concurrent_workflows=0)


@pytest.mark.parametrize("value", [object(), [object()], float("nan"), ["a", float("inf")], b"x"])
def test_an_input_that_json_cannot_hold_is_named(value: Any) -> None:
    flow = Workflow("w", "", [Agent("a", "General", "", {}, "p")], inputs={"x": value})
    with pytest.raises(ValueError, match=r"workflow 'w': inputs\.x: "):
        plan_of(flow)


def test_a_part_of_the_configuration_may_be_left_out_and_must_be_of_its_kind() -> None:
    config = EngineConfig(default_retry_policy=None)  # type: ignore[arg-type]
    assert config.default_retry_policy == RetryPolicy()
    with pytest.raises(ValueError, match="cost_config must be a CostConfig"):
        EngineConfig(cost_config={})  # type: ignore[arg-type]
