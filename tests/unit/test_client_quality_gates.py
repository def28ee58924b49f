"""Quality gates: on the threshold, beyond it, and everything that must not pass for a pass."""

from pathlib import Path
from typing import Any

import pytest

from client.quality import GateError, TestResult, TestSuite, evaluate_gates, read_gates

pytestmark = pytest.mark.unit

GATES = """
quality_gates:
  success_rate:
    threshold: 99.0
    operator: ">="

  average_duration:
    threshold: 5000
    operator: "<="

  error_rate:
    threshold: 1.0
    operator: "<="
"""
EXACT = {"success_rate": 99.0, "average_duration": 5000, "error_rate": 1.0}


@pytest.fixture
def gates_file(tmp_path: Path) -> Path:
    path = tmp_path / "gates.yaml"
    path.write_text(GATES)
    return path


def suite(*statuses: Any) -> TestSuite:
    return TestSuite(
        "s", [TestResult(f"t{n}", status, 10 * n) for n, status in enumerate(statuses)]
    )


def test_A32_rates_are_percentages_of_what_ran() -> None:
    two_of_three = suite("passed", "passed", "failed")
    assert two_of_three.success_rate == pytest.approx(66.67, abs=0.01)
    assert two_of_three.error_rate == pytest.approx(33.33, abs=0.01)
    assert two_of_three.average_duration == 10
    skipped = suite("passed", "passed", "error", "skipped")
    assert skipped.success_rate == pytest.approx(66.67, abs=0.01)
    assert skipped.total == 3
    assert skipped.average_duration == 10


@pytest.mark.parametrize("empty", [suite(), suite("skipped")])
def test_A32_nothing_ran_is_no_success(empty: TestSuite) -> None:
    assert empty.success_rate == 0.0
    assert empty.error_rate == 0.0
    assert empty.average_duration == 0.0


def test_A33_exactly_on_the_threshold_passes(gates_file: Path) -> None:
    report = evaluate_gates("s", EXACT, read_gates(gates_file))
    assert report.status == "passed"
    assert report.passed
    assert [gate.status for gate in report.gates] == ["passed"] * 3


@pytest.mark.parametrize(
    ("metric", "value"),
    [("success_rate", 98.99), ("average_duration", 5001), ("error_rate", 1.01)],
)
def test_A33_one_step_beyond_fails(gates_file: Path, metric: str, value: float) -> None:
    report = evaluate_gates("s", {**EXACT, metric: value}, read_gates(gates_file))
    assert report.status == "failed"
    assert not report.passed
    assert [gate.metric for gate in report.gates if gate.status == "failed"] == [metric]


@pytest.mark.parametrize("passed", [99, 297, 990, 99_000])
def test_A33_whole_rates_are_exact(passed: int) -> None:
    results = [TestResult("t", "passed")] * passed
    results += [TestResult("t", "failed")] * (passed // 99)
    report = evaluate_gates("s", TestSuite("s", results).metrics(), read_gates({
        "success_rate": {"threshold": 99.0, "operator": "=="},
        "error_rate": {"threshold": 1.0, "operator": "=="},
    }))  # fmt: skip
    assert report.passed, report


@pytest.mark.parametrize("operator", ["=>", "", "ge", None])
def test_A33_an_unknown_operator_is_an_error(operator: Any, tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"success_rate\.operator"):
        read_gates({"success_rate": {"threshold": 99.0, "operator": operator}})
    path = tmp_path / "gates.yaml"
    path.write_text(GATES.replace('">="', f'"{operator}"'))
    with pytest.raises(GateError, match=rf"{path.name}:5: quality_gates\.success_rate\.operator"):
        read_gates(path)


@pytest.mark.parametrize("value", [None, "99.5", float("nan"), float("inf"), True, [1]])
def test_A33_a_missing_metric_is_an_error(gates_file: Path, value: Any) -> None:
    metrics = {**EXACT, "success_rate": value}
    if value is None:
        del metrics["success_rate"]
    report = evaluate_gates("s", metrics, read_gates(gates_file))
    assert report.status == "error"
    assert not report.passed
    assert "success_rate" in (report.error or "")
    assert str(report.gates[0]) == "success_rate: error (missing, wanted >= 99)"


@pytest.mark.parametrize(
    ("operator", "below", "on", "above"),
    [
        (">=", "failed", "passed", "passed"),
        ("<=", "passed", "passed", "failed"),
        (">", "failed", "failed", "passed"),
        ("<", "passed", "failed", "failed"),
        ("==", "failed", "passed", "failed"),
        ("!=", "passed", "failed", "passed"),
    ],
)
def test_every_operator(operator: str, below: str, on: str, above: str) -> None:
    gates = read_gates({"x": {"threshold": 5, "operator": operator}})
    found = [evaluate_gates("s", {"x": value}, gates).status for value in (4.9, 5, 5.1)]
    assert found == [below, on, above]


def test_no_gates_are_no_pass() -> None:
    assert evaluate_gates("s", EXACT, {}).status == "error"


@pytest.mark.parametrize(
    "written",
    [
        {"x": {"threshold": "high", "operator": ">="}},
        {"x": {"threshold": float("nan"), "operator": ">="}},
        {"x": {"operator": ">="}},
        {"x": {"threshold": 1, "operator": ">=", "unit": "%"}},
        {"x": 5},
        {"quality_gates": {"x": None}},
    ],
)
def test_wrong_gates_are_named(written: dict[str, Any]) -> None:
    with pytest.raises(GateError, match=r"quality_gates\.x"):
        read_gates(written)


def test_gates_that_are_none_are_refused() -> None:
    with pytest.raises(GateError, match="quality_gates"):
        read_gates({"quality_gates": None})


def test_a_missing_file_of_gates_is_named(tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"none\.yaml: no such file"):
        read_gates(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("status", "duration", "named"),
    [("ok", 1, "'ok'"), ("passed", -1, "-1"), ("passed", float("nan"), "nan")],
)
def test_an_impossible_result_is_refused(status: Any, duration: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        TestResult("t", status, duration)
