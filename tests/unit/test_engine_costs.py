"""The engine's cost tracker: SEMANTICS D1, D2, D36, D37."""

from typing import Any

import pytest

from client.engine import CostConfig, CostTracker

pytestmark = pytest.mark.unit


def spend(tracker: CostTracker, tokens_in: int, tokens_out: int, agent: str = "a") -> float:
    return tracker.record_cost(agent, agent, "w", "gpt-4", tokens_in, tokens_out)


@pytest.mark.parametrize(
    ("model", "tokens", "dollars"),
    [
        ("gpt-4", (1000, 500), 0.06),
        ("nobody-knows-this", (1000, 500), 0.025),
        ("gpt-3.5-turbo", (1000, 1000), 0.002),
        ("gpt-4", (100, 50), 0.006),
    ],
)
def test_D1_costs_per_thousand_tokens(model: str, tokens: tuple[int, int], dollars: float) -> None:
    assert CostTracker(CostConfig()).calculate_cost(model, *tokens) == dollars


def test_D2_a_budget_that_is_used_up_is_no_budget() -> None:
    tracker = CostTracker()
    tracker.set_workflow_budget("w", 0.06)
    tracker.set_agent_budget("a", 0.06)
    spend(tracker, 999, 500)
    assert tracker.check_workflow_budget("w")
    assert tracker.check_agent_budget("a")
    spend(tracker, 1, 0)
    assert tracker.get_workflow_cost("w") == 0.06
    assert not tracker.check_workflow_budget("w")
    assert not tracker.check_agent_budget("a")


def test_D2_who_has_no_budget_is_within_it() -> None:
    tracker = CostTracker()
    spend(tracker, 1000, 1000)
    assert tracker.check_workflow_budget("unknown")
    assert tracker.check_agent_budget("unknown")
    assert tracker.check_workflow_budget("w")


def test_D36_a_recorded_cost_is_returned_and_added_up() -> None:
    tracker = CostTracker()
    assert spend(tracker, 100, 50, "a") == 0.006
    assert spend(tracker, 100, 50, "b") == 0.006
    assert spend(tracker, 100, 50, "b") == 0.006
    assert (tracker.get_agent_cost("a"), tracker.get_agent_cost("b")) == (0.006, 0.012)
    assert tracker.get_workflow_cost("w") == 0.018
    shown = tracker.get_statistics()
    assert (shown["total_cost"], shown["total_tokens"], shown["total_calls"]) == (0.018, 450, 3)
    assert shown["cost_by_agent"] == {"a": 0.006, "b": 0.012}


def test_D37_a_versioned_name_costs_what_its_family_does() -> None:
    config = CostConfig(model_costs={"claude-3-opus": {"input": 0.015, "output": 0.075}})
    tracker = CostTracker(config)
    assert tracker.calculate_cost("claude-3-opus-20240229", 1000, 1000) == 0.09
    assert not tracker.price("claude-3-opus-20240229").is_default


def test_D37_the_bundled_table_is_asked_before_the_default() -> None:
    assert CostTracker().calculate_cost("claude-3-opus-20240229", 1000, 1000) == 0.09


def test_D37_a_default_price_is_flagged() -> None:
    tracker = CostTracker()
    tracker.record_cost("a", "a", "w", "nobody-knows-this", 1000, 0)
    spend(tracker, 1, 1)
    assert tracker.price("nobody-knows-this").is_default
    assert tracker.get_statistics()["default_priced_models"] == ["nobody-knows-this"]
    assert [e.default_price for e in tracker.get_recent_costs()] == [True, False]


def test_a_family_is_a_version_of_the_same_model_only() -> None:
    tracker = CostTracker(CostConfig(model_costs={"my": {"input": 1, "output": 1}}))
    assert tracker.price("my-turbo").is_default
    assert not tracker.price("my-20260101").is_default


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"default_input_cost": -1}, "default_input_cost"),
        ({"model_costs": {"m": {"input": 1}}}, "lacks 'output'"),
        ({"model_costs": {"m": {"input": 1, "output": "much"}}}, r"\['m'\]\['output'\]"),
        ({"model_costs": {"m": {"input": 1, "output": 1, "image": 1}}}, "has no 'image'"),
    ],
)
def test_what_is_no_price_is_refused(config: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CostConfig(**config)  # type: ignore[arg-type]


def test_tokens_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="tokens"):
        spend(CostTracker(), -1, 0)


@pytest.mark.parametrize("budget", [float("nan"), "much", None])
def test_what_is_no_budget_is_refused_when_it_is_set(budget: Any) -> None:
    tracker = CostTracker()
    with pytest.raises(ValueError, match="a budget must be dollars"):
        tracker.set_workflow_budget("w", budget)
    with pytest.raises(ValueError, match="a budget must be dollars"):
        tracker.set_agent_budget("a", budget)
    assert tracker.check_workflow_budget("w")


@pytest.mark.parametrize("costs", [None, {"gpt-4": 0.5}, {"gpt-4": None}])
def test_prices_of_another_shape_name_the_field(costs: Any) -> None:
    with pytest.raises(ValueError, match="model_costs"):
        CostConfig(model_costs=costs)
