"""How test cases came out: values that progress, tables and reports are made from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal

from client.quality import TestResult, TestSuite
from contracts.base import Json
from rules.verdicts import ToolUse, Verdict

Outcome = Literal["passed", "failed", "error", "unjudged"]
"""Passed; a check failed or the agent gave no answer; it could not be run; not be judged."""

ZERO = Decimal(0)


@dataclass(frozen=True)
class CaseResult:
    """One case. `seconds` is its wall time, `cost` the agent's dollars, `judge_cost` the judges'.

    `error` says why there is no answer or no verdict. `chat_id` is the conversation's.
    """

    name: str
    outcome: Outcome
    verdicts: tuple[Verdict, ...] = ()
    error: str = ""
    answer: Json = None
    tools: tuple[ToolUse, ...] = ()
    seconds: float = 0.0
    cost: Decimal = ZERO
    judge_cost: Decimal = ZERO
    tokens: int = 0
    chat_id: str = ""
    model: str = ""

    @property
    def reasons(self) -> list[str]:
        """Why it did not pass, a line each."""
        failed = [verdict for verdict in self.verdicts if not verdict.passed]
        lines = [f"{one.name}: {one.reason or _score(one)}" for one in failed]
        return [*lines, *([self.error] if self.error else [])]

    @property
    def spent(self) -> Decimal:
        """All that the case cost."""
        return self.cost + self.judge_cost


def _score(verdict: Verdict) -> str:
    return f"{verdict.score:.2f} of {verdict.threshold:.2f}"


@dataclass(frozen=True)
class SuiteResult:
    """All cases of one agent file, in the file's order."""

    agent: str
    source: Path
    cases: tuple[CaseResult, ...] = field(default=())

    def count(self, *outcomes: Outcome) -> int:
        """Return how many cases came out so."""
        return sum(case.outcome in outcomes for case in self.cases)

    @property
    def spent(self) -> Decimal:
        """What the suite cost."""
        return sum((case.spent for case in self.cases), ZERO)

    @property
    def seconds(self) -> float:
        """The cases' wall times, added up."""
        return sum(case.seconds for case in self.cases)

    @property
    def tokens(self) -> int:
        """The agent's tokens."""
        return sum(case.tokens for case in self.cases)

    def submitted(self) -> TestSuite:
        """Return it as Quality Fabric takes it."""
        statuses = {"passed": "passed", "failed": "failed"}
        results = [
            TestResult(
                name=case.name,
                status=statuses.get(case.outcome, "error"),  # type: ignore[arg-type]
                duration_ms=case.seconds * 1000,
                message="; ".join(case.reasons),
            )
            for case in self.cases
        ]
        return TestSuite(name=self.agent, results=results)


def pass_rate(suites: Sequence[SuiteResult]) -> float:
    """Return the share of all cases that passed, from 0 to 1; 0 where there are none."""
    cases = sum(len(suite.cases) for suite in suites)
    return sum(suite.count("passed") for suite in suites) / cases if cases else 0.0
