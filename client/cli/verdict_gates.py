"""Quality gates of tested agents: held against here, or by the Quality Fabric service.

Each agent file is one suite. A gate that fails is a failure of the tests; a service that does not
answer is none of the agent's, and never a pass.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.cli.console import DONE, FAILED, Refusal, say
from client.quality import (
    URL,
    Gate,
    GateError,
    GateReport,
    QualityFabricClient,
    QualityFabricError,
    TestSuite,
    evaluate_gates,
    read_gates,
)
from client.testing.results import SuiteResult
from providers.keys import find_url
from rules.nearest import suggestion

NOT_ASKED = 3
"""Exit code: the service could not be asked."""


@dataclass
class Gating:
    """What was asked for on the command line. `project` is the service's name of the project."""

    submit: bool = False
    project: str | None = None
    gates: Path | None = None

    def check(self) -> None:
        """Refuse what cannot work, before anything is run. Raises Refusal."""
        gates = self._read()
        if self.project and not self.submit:
            raise Refusal("--project: only with --submit")
        if not self.submit:
            if gates is not None:
                self._check_metrics(gates)
            return
        try:
            QualityFabricClient(project=self.project or "agents")
            named = find_url(None, [URL])
        except ValueError as error:
            raise Refusal(f"--submit: {URL}: {error}") from None
        if not named:
            raise Refusal(f"--submit: no Quality Fabric service is named: set {URL}")

    def _check_metrics(self, gates: Collection[str]) -> None:
        """Refuse gates that nothing here is held against; a service may measure more."""
        known = tuple(TestSuite(name="").metrics())
        for name in gates:
            if name not in known:
                hint = suggestion(name, known)
                listed = ", ".join(known)
                raise Refusal(f'--gates {self.gates}: no metric "{name}".{hint} ({listed})')
        if not gates:
            raise Refusal(f"--gates {self.gates}: there is no gate in it")

    def _read(self) -> dict[str, Gate] | None:
        try:
            return None if self.gates is None else read_gates(self.gates)
        except GateError as error:
            raise Refusal(f"--gates {self.gates}: {error}") from None

    async def verdict(self, suites: Sequence[SuiteResult]) -> int:
        """Hold the suites against their gates and say how; return the exit code."""
        reports = [await self._report(suite) for suite in suites] if self._wanted else []
        for report in reports:
            _tell(report)
        statuses = {report.status for report in reports}
        if statuses & {"error", "unavailable"}:
            return NOT_ASKED
        return FAILED if "failed" in statuses else DONE

    @property
    def _wanted(self) -> bool:
        return self.submit or self.gates is not None

    async def _report(self, suite: SuiteResult) -> GateReport:
        gates, submitted = self._read(), suite.submitted()
        if not self.submit:
            return evaluate_gates(suite.agent, submitted.metrics(), gates or {})
        try:
            quality = QualityFabricClient(project=self.project or suite.agent, gates=gates)
            suite_id = await quality.submit_test_suite(submitted)
        except (QualityFabricError, ValueError) as error:
            return GateReport(suite.agent, "unavailable", error=str(error))
        say(f"{suite.agent}: submitted as {suite_id}")
        return await quality.check_quality_gates(suite_id)


def _tell(report: GateReport) -> None:
    say(f"quality gates of {report.suite_id}: {report.status}")
    for gate in report.gates:
        say(f"    {gate}")
    if report.error:
        say(f"    {report.error}")
