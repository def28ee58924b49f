"""Says at the end of a test run what each layer did, and what was left out and why.

A layer is a folder of tests/. Tests are left out by their marker (slow, live) or skip themselves
where a program or a key is missing; both are told here, so that a green line never hides them.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest

_LEFT_OUT = {
    "live": "real accounts, costs money: make test-live",
    "slow": "takes minutes: make test-slow",
}

_STATISTICS = "_hypothesis_stats"
"""Where Hypothesis leaves its account of a test in the report of its end."""

_CASES = re.compile(r"(\d+) passing")


class Layers:
    """Counts outcomes, skips with their reasons, and tests left out, by layer."""

    def __init__(self) -> None:
        self.outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.skips: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.left_out: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.properties: dict[str, int] = {}
        """By property test: how many cases Hypothesis tried."""

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count tests that a marker or a name kept out."""
        for item in items:
            marker = next((m for m in _LEFT_OUT if item.get_closest_marker(m)), None)
            why = f"{marker} ({_LEFT_OUT[marker]})" if marker else "not asked for"
            self.left_out[_layer(item.nodeid)][why] += 1

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what a test did: its call, or the phase that failed or skipped it."""
        if report.when == "call" or report.failed or report.skipped:
            self._count(report)
        statistics = report.__dict__.get(_STATISTICS)
        if statistics:
            self.properties[report.nodeid] = sum(map(int, _CASES.findall(statistics)))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count files that could not be read, or skip themselves whole."""
        if report.failed or report.skipped:
            self._count(report)

    def _count(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        layer = _layer(report.nodeid)
        self.outcomes[layer][report.outcome] += 1
        if report.skipped:
            self.skips[layer][_reason(report)] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write one line per layer, and one per reason for leaving out."""
        layers = sorted({*self.outcomes, *self.left_out})
        if not layers:
            return
        terminalreporter.section("layers")
        for layer in layers:
            counts = self.outcomes[layer]
            told = ", ".join(
                f"{counts[o]} {o}" for o in ("passed", "failed", "skipped") if counts[o]
            )
            terminalreporter.write_line(f"{layer:<12} {told or 'nothing ran'}")
            for reason, count in self.skips[layer].most_common():
                terminalreporter.write_line(f"{'':<12}   {count} skipped: {reason}")
            for reason, count in self.left_out[layer].most_common():
                terminalreporter.write_line(f"{'':<12}   {count} left out: {reason}")
        if self.properties:
            cases = sum(self.properties.values())
            terminalreporter.write_line(
                f"{'properties':<12} {len(self.properties)} tests, {cases:,} cases tried"
            )


def _layer(nodeid: str) -> str:
    parts = nodeid.split("::")[0].split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "tests" else "tests"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return str(report.longrepr)


def pytest_configure(config: pytest.Config) -> None:
    """Take part in the run; a worker of pytest-xdist leaves the telling to its controller."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Layers(), "callboard-layers")
