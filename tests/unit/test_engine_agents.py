"""Agents and workflows of the engine as values: SEMANTICS D3 to D7 and D26 to D28."""

import json
from decimal import Decimal
from typing import Any

import pytest

from client.engine import (
    Agent,
    AgentResult,
    AgentStatus,
    MonitorConfig,
    RateLimitConfig,
    RetryPolicy,
    RetryStrategy,
    Workflow,
    WorkflowStatus,
)

pytestmark = pytest.mark.unit


def agent(name: str = "a", **more: Any) -> Agent:
    return Agent(name, "General", "", {"model": "gpt-4"}, "Say something.", **more)


def workflow(*agents: Agent, **more: Any) -> Workflow:
    return Workflow("w", "", list(agents), **more)


def test_D3_the_seeds_defaults() -> None:
    plain = agent()
    assert (plain.max_retries, plain.timeout, plain.cost_limit, plain.priority) == (
        3,
        300.0,
        1.0,
        5,
    )
    assert (plain.tools, plain.dependencies) == ([], [])
    made = workflow(plain)
    assert (made.max_parallel_agents, made.cost_budget, made.timeout) == (10, 100.0, 3600.0)
    assert made.allow_partial_completion is True
    assert tuple(vars(RateLimitConfig()).values()) == (60, 3000, 50000, 100000, 10)
    assert tuple(vars(RetryPolicy()).values()) == (
        3, RetryStrategy.EXPONENTIAL_BACKOFF, 1.0, 60.0, 2.0, True,
    )  # fmt: skip
    assert tuple(vars(MonitorConfig()).values()) == (True, True, 60.0)


def test_D3_lists_are_not_shared() -> None:
    one, other = agent("a"), agent("b")
    one.tools.append({})
    one.dependencies.append("x")
    assert (other.tools, other.dependencies) == ([], [])


def test_arguments_may_be_positional_as_the_seed_orders_them() -> None:
    tools: list[dict[str, Any]] = [{"name": "look"}]
    made = Agent("n", "HR", "d", {"model": "m"}, "p", tools, ["x"], 1, 2.0, 3.0, 4)
    assert (made.tools, made.dependencies, made.max_retries) == (tools, ["x"], 1)
    assert (made.timeout, made.cost_limit, made.priority) == (2.0, 3.0, 4)
    flow = Workflow("n", "d", [agent()], 1, 2.0, 3.0, False)
    assert (flow.max_parallel_agents, flow.cost_budget, flow.timeout) == (1, 2.0, 3.0)
    assert flow.allow_partial_completion is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_retries", -1),
        ("timeout", 0),
        ("timeout", float("nan")),
        ("cost_limit", 0),
        ("cost_limit", float("inf")),
        ("priority", 0),
        ("priority", 11),
    ],
)
def test_D4_an_agents_mistake_names_its_field(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        agent(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout", 10**400),
        ("timeout", 1e300),
        ("cost_limit", 10**400),
        ("cost_limit", "1.0"),
        ("dependencies", None),
        ("dependencies", "validator"),
        ("dependencies", [1]),
        ("tools", None),
        ("tools", {"name": "look"}),
        ("llm_config", None),
    ],
)
def test_D4_what_would_break_later_is_found_when_the_agent_is_made(field: str, value: Any) -> None:
    fields = {"llm_config": {}, field: value}
    with pytest.raises(ValueError, match=rf"agent 'a': {field} must be"):
        Agent(name="a", module="General", description="", prompt_template="p", **fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("agents", None),
        ("agents", ["a"]),
        ("agents", agent()),
        ("inputs", None),
        ("timeout", 1e300),
    ],
)
def test_D4_a_workflow_of_another_shape_is_refused(field: str, value: Any) -> None:
    fields = {"agents": [agent()], field: value}
    with pytest.raises(ValueError, match=rf"workflow 'w': {field} must be"):
        Workflow(name="w", description="", **fields)


def test_D4_money_may_be_a_decimal() -> None:
    made = agent(cost_limit=Decimal("0.25"))
    flow = workflow(made, cost_budget=Decimal("1.5"))
    assert (made.cost_limit, flow.cost_budget) == (0.25, 1.5)
    assert json.loads(json.dumps(flow.to_dict()))["cost_budget"] == 1.5
    assert flow.get_statistics()["budget_remaining"] == 1.5


def test_D4_an_unknown_module_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"module must be one of HR, Finance.*not 'Sales'"):
        Agent("a", "Sales", "", {}, "p")


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_parallel_agents", 0), ("cost_budget", 0), ("cost_budget", -1.0), ("timeout", 0)],
)
def test_D4_a_workflows_mistake_names_its_field(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        workflow(agent(), **{field: value})


def test_D4_a_workflow_needs_agents() -> None:
    with pytest.raises(ValueError, match="agents"):
        workflow()


def test_D4_later_changes_are_found_by_validate() -> None:
    made = workflow(agent())
    made.agents[0].cost_limit = 0
    with pytest.raises(ValueError, match="cost_limit"):
        made.validate()


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        ([agent("a", dependencies=["ghost"])], "ghost"),
        ([agent("a", dependencies=["b"]), agent("b", dependencies=["a"])], "a → b|b → a"),
        ([agent("a", dependencies=["a"])], '"a" depends on itself'),
        ([agent("a"), agent("a")], "2 agents have the name 'a'"),
    ],
)
def test_D5_a_graph_that_cannot_be_is_refused(agents: list[Agent], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        workflow(*agents)


def test_D6_an_agent_can_execute_when_its_dependencies_have_completed() -> None:
    both = agent("c", dependencies=["a", "b"])
    assert [both.can_execute(s) for s in (set(), {"a"}, {"a", "b", "c"})] == [False, False, True]
    assert agent().can_execute(set())


def test_D7_ready_agents_come_most_urgent_first() -> None:
    made = workflow(
        agent("low", priority=3),
        agent("high", priority=9),
        agent("middle", priority=5),
        agent("busy", priority=10),
        agent("blocked", priority=10, dependencies=["low"]),
    )
    made.agents[3].status = AgentStatus.RUNNING
    assert [a.priority for a in made.get_ready_agents()] == [9, 5, 3]
    made.agents[0].status = AgentStatus.COMPLETED
    assert [a.name for a in made.get_ready_agents()] == ["blocked", "high", "middle"]


def test_D26_success_and_retriable() -> None:
    truth = {
        status: (AgentResult("a", status).is_success(), AgentResult("a", status).is_retriable())
        for status in AgentStatus
    }
    assert [s for s, (success, _) in truth.items() if success] == [AgentStatus.COMPLETED]
    assert {s for s, (_, again) in truth.items() if again} == {
        AgentStatus.FAILED,
        AgentStatus.RATE_LIMITED,
    }


def test_D27_reset_clears_what_an_execution_left() -> None:
    made = agent()
    made.status, made.retry_count = AgentStatus.FAILED, 2
    made.result = AgentResult("a", AgentStatus.FAILED)
    made.reset()
    assert (made.status, made.result, made.retry_count) == (AgentStatus.PENDING, None, 0)


def test_D28_dictionaries_are_json() -> None:
    made = workflow(agent("a"), agent("b", dependencies=["a"]), inputs={"data": "x"})
    made.agents[0].result = AgentResult("a", AgentStatus.COMPLETED, {"content": "x"})
    shown = json.loads(json.dumps(made.to_dict()))
    assert shown["status"] == "pending"
    assert shown["agents"][0]["result"]["status"] == "completed"
    assert json.loads(json.dumps(made.agents[1].to_dict()))["dependencies"] == ["a"]


def test_D28_statistics() -> None:
    made = workflow(*(agent(name) for name in "abcde"), cost_budget=2.0)
    states = ("completed", "failed", "budget_exceeded", "running", "pending")
    for one, state in zip(made.agents, states, strict=True):
        one.status = AgentStatus(state)
    made.total_cost, made.total_tokens = 0.5, 150
    shown = made.get_statistics()
    counts = {name: shown[name] for name in ("total", "completed", "failed", "running", "pending")}
    assert counts == {"total": 5, "completed": 1, "failed": 2, "running": 1, "pending": 1}
    assert (shown["total_cost"], shown["total_tokens"]) == (0.5, 150)
    assert (shown["cost_budget"], shown["budget_remaining"]) == (2.0, 1.5)


def test_agents_are_found_by_name() -> None:
    made = workflow(agent("a"), agent("b"))
    assert made.get_agent_by_name("b") is made.agents[1]
    assert made.get_agent_by_name("c") is None


def test_statuses_have_the_seeds_values() -> None:
    assert [s.value for s in AgentStatus] == [
        "pending", "running", "completed", "failed", "cancelled", "rate_limited",
        "budget_exceeded",
    ]  # fmt: skip
    assert [s.value for s in WorkflowStatus] == [
        "pending", "running", "completed", "partially_completed", "failed", "cancelled",
    ]  # fmt: skip
