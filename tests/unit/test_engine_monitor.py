"""The engine's monitor: D3's default count, metrics, summary, events."""

import logging

import pytest

from client.engine import Monitor, MonitorConfig

pytestmark = pytest.mark.unit


def filled(config: MonitorConfig | None = None) -> Monitor:
    now = iter([100.0, 160.0, 160.0, 160.0])
    monitor = Monitor(config, clock=lambda: next(now))
    monitor.record_event("workflow_started", workflow_id="w")
    for seconds in (1.0, 3.0):
        monitor.record_event(
            "agent_completed", "a", "w", {"cost": 0.25, "tokens": 150, "execution_time": seconds}
        )
    monitor.record_event("agent_failed", "b", "w", {"cost": 0.5})
    monitor.record_event("workflow_completed", workflow_id="w", data={"execution_time": 4.0})
    monitor.record_event("workflow_failed", workflow_id="v")
    return monitor


def test_metrics_are_a_flat_snapshot() -> None:
    metrics = filled().get_metrics()
    assert metrics["uptime_seconds"] == 60.0
    assert metrics["workflows_started"] == 1
    assert metrics["agents_completed"] == 2
    assert (metrics["total_cost"], metrics["total_tokens"]) == (1.0, 300)


def test_the_summary_has_rates_in_percent() -> None:
    summary = filled().get_summary()
    assert summary["workflows"]["completed"] == 1
    assert summary["workflows"]["success_rate"] == 50.0
    assert summary["agents"]["avg_execution_time"] == 2.0
    assert summary["agents"]["success_rate"] == pytest.approx(200 / 3)


def test_an_empty_summary_divides_by_nothing() -> None:
    summary = Monitor().get_summary()
    assert summary["workflows"]["success_rate"] == 0.0
    assert summary["agents"]["avg_execution_time"] == 0.0


def test_D3_the_last_hundred_events_unless_asked_for_more() -> None:
    monitor = Monitor()
    for number in range(150):
        monitor.record_event("tick" if number % 2 else "tock", data={"number": number})
    assert len(monitor.get_recent_events()) == 100
    assert [e["data"]["number"] for e in monitor.get_recent_events(2, "tick")] == [147, 149]
    assert len(monitor.get_recent_events(1000)) == 150
    assert monitor.get_recent_events(0) == []


def test_metrics_can_be_off() -> None:
    monitor = filled(MonitorConfig(enable_metrics=False))
    assert monitor.get_metrics()["agents_completed"] == 0
    assert len(monitor.get_recent_events()) == 6


def test_failures_are_logged_unless_logging_is_off(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        filled(MonitorConfig(enable_logging=False))
        assert caplog.text == ""
        filled()
    assert "agent_failed workflow=w agent=b" in caplog.text


def test_publishing_writes_the_metrics(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        filled().publish()
        assert "'agents_completed': 2" in caplog.text
        caplog.clear()
        Monitor(MonitorConfig(enable_metrics=False)).publish()
    assert caplog.text == ""


def test_an_interval_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="metrics_interval"):
        MonitorConfig(metrics_interval=0)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400, "many", None])
def test_what_is_no_number_adds_nothing(number: object) -> None:
    monitor = Monitor()
    data = {"cost": number, "tokens": number, "execution_time": number}
    monitor.record_event("agent_completed", "a", "w", data)
    metrics = monitor.get_metrics()
    assert (metrics["agents_completed"], metrics["total_cost"], metrics["total_tokens"]) == (
        1,
        0,
        0,
    )


def test_dollars_add_up_exactly() -> None:
    monitor = Monitor()
    for _ in range(10):
        monitor.record_event("agent_completed", "a", "w", {"cost": 0.1})
    assert monitor.get_metrics()["total_cost"] == 1.0
