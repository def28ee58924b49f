"""Retry policies and the failure handler: SEMANTICS D18, D30, D33, D35, and D11's truth."""

import asyncio
import logging
from typing import Any

import pytest

from client.engine import (
    Agent,
    AgentResult,
    AgentStatus,
    FailureHandler,
    RetryPolicy,
    RetryStrategy,
)

pytestmark = pytest.mark.unit


def agent(max_retries: int = 3, priority: int = 5) -> Agent:
    return Agent("a", "General", "", {}, "p", max_retries=max_retries, priority=priority)


def failed(retries: int = 0, status: AgentStatus = AgentStatus.FAILED) -> AgentResult:
    return AgentResult("a", status, error="it broke", retry_count=retries)


@pytest.mark.parametrize(
    ("strategy", "delays"),
    [
        ("exponential_backoff", [1, 2, 4, 60]),
        ("linear_backoff", [1, 2, 3, 7]),
        ("constant_delay", [1, 1, 1, 1]),
        ("immediate", [0, 0, 0, 0]),
    ],
)
def test_D18_delays_without_jitter(strategy: str, delays: list[float]) -> None:
    policy = RetryPolicy(strategy=RetryStrategy(strategy), jitter=False)
    assert [policy.get_delay(attempt) for attempt in (1, 2, 3, 7)] == delays


def test_D18_jitter_takes_away_up_to_half() -> None:
    policy = RetryPolicy(base_delay=10.0)
    drawn = [policy.get_delay(2) for _ in range(1000)]
    assert all(10.0 <= delay <= 20.0 for delay in drawn)
    assert max(drawn) - min(drawn) > 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_retries": -1},
        {"base_delay": -1.0},
        {"exponential_base": 0.5},
        {"max_delay": float("inf")},
    ],
)
def test_a_policy_that_cannot_be_names_its_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_D33_without_a_policy_the_default_decides() -> None:
    handler = FailureHandler(RetryPolicy(max_retries=1))
    assert handler.handle_failure(agent(), failed(0), None)
    assert not handler.handle_failure(agent(), failed(1), None)
    assert handler.handle_failure(agent(), failed(1), RetryPolicy(max_retries=2))


def test_the_smaller_of_policy_and_agent_counts() -> None:
    handler = FailureHandler(RetryPolicy(max_retries=5))
    assert not handler.handle_failure(agent(max_retries=1), failed(1))
    assert FailureHandler().handle_failure(agent(max_retries=9), failed(2))
    assert not FailureHandler().handle_failure(agent(max_retries=9), failed(3))


@pytest.mark.parametrize("status", [AgentStatus.BUDGET_EXCEEDED, AgentStatus.CANCELLED])
def test_what_would_end_the_same_way_is_not_tried_again(status: AgentStatus) -> None:
    assert not FailureHandler().handle_failure(agent(), failed(0, status))


def test_D30_a_function_is_told_of_each_failure() -> None:
    seen: list[tuple[str, str | None]] = []
    handler = FailureHandler(on_failure=lambda a, r: seen.append((a.name, r.error)))
    handler.handle_failure(agent(), failed())
    assert seen == [("a", "it broke")]
    assert handler.get_statistics()["total_failures"] == 1


async def test_D30_a_coroutine_function_is_waited_for_by_who_awaits() -> None:
    seen: list[str] = []

    async def tell(a: Agent, r: AgentResult) -> None:
        await asyncio.sleep(0.01)
        seen.append(a.name)

    handler = FailureHandler(on_failure=tell)
    assert await handler.handle_failure(agent(), failed()) is True
    assert seen == ["a"]
    assert handler.handle_failure(agent(), failed())
    await asyncio.sleep(0.05)
    assert seen == ["a", "a"]


def test_D30_a_coroutine_function_is_run_where_no_loop_runs() -> None:
    seen: list[str] = []

    async def tell(a: Agent, r: AgentResult) -> None:
        seen.append(a.name)

    FailureHandler(on_failure=tell).handle_failure(agent(), failed())
    assert seen == ["a"]


async def test_D30_what_a_callback_raises_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def breaks(a: Agent, r: AgentResult) -> None:
        raise RuntimeError("callback broke")

    async def breaks_later(a: Agent, r: AgentResult) -> None:
        raise RuntimeError("callback broke later")

    with caplog.at_level(logging.ERROR):
        for callback in (breaks, breaks_later):
            handler = FailureHandler(on_failure=callback)
            assert await handler.handle_failure(agent(), failed())
            await handler.note_failure(agent(), failed())
    assert caplog.text.count("RuntimeError: callback broke later\n") == 2
    assert caplog.text.count("RuntimeError: callback broke\n") == 2


@pytest.mark.parametrize(
    ("priorities", "total", "fails"),
    [([], 3, False), ([5], 2, False), ([5, 5], 3, True), ([8], 3, True), ([7], 3, False)],
)
def test_D11_when_a_workflow_has_failed(priorities: list[int], total: int, fails: bool) -> None:
    agents = [agent(priority=priority) for priority in priorities]
    assert FailureHandler().should_fail_workflow(agents, total, True) is fails


def test_D35_both_names_are_accepted() -> None:
    handler, one = FailureHandler(), [agent()]
    assert handler.should_fail_workflow(one, 3, allow_partial=False)
    assert handler.should_fail_workflow(one, 3, allow_partial_completion=False)
    assert not handler.should_fail_workflow(one, 3, allow_partial=True)
    assert not handler.should_fail_workflow(one, 3, allow_partial_completion=True)
    assert not handler.should_fail_workflow([], 3, allow_partial=False)


async def test_D30_a_callback_that_is_cancelled_cancels_nothing_else() -> None:
    async def cancelled(_: Agent, __: AgentResult) -> None:
        raise asyncio.CancelledError

    handler = FailureHandler(on_failure=cancelled)
    await handler.note_failure(agent(), failed())
    assert await handler.handle_failure(agent(), failed(3)) is False
