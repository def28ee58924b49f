"""Reports of test runs: Markdown for people, JSON for programs."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from client.testing.results import CaseResult, Outcome, SuiteResult, pass_rate
from rules.verdicts import text_of

_SPELLED: dict[Outcome, str] = {
    "failed": "failed",
    "error": "could not be run",
    "unjudged": "could not be judged",
}
MARKS: dict[Outcome, str] = {"passed": "✓", "failed": "✗", "error": "!", "unjudged": "?"}
ANSWER_CHARS = 2_000
"""Of an answer, in reports for people."""


def markdown(suites: Sequence[SuiteResult]) -> str:
    """Return a report with a table for each agent, and what was wrong below it."""
    parts = ["# Agent tests", summary(suites)]
    for suite in suites:
        parts += [f"## {_cell(suite.agent)}", "\n".join(_table(suite))]
        parts += [_details(case) for case in suite.cases if case.outcome != "passed"]
    return "\n\n".join(parts) + "\n"


def summary(suites: Sequence[SuiteResult]) -> str:
    """Return the counts and the money in one line."""
    cases = sum(len(suite.cases) for suite in suites)
    parts = [f"{sum(s.count('passed') for s in suites)} of {cases} passed"]
    for outcome, text in _SPELLED.items():
        count = sum(suite.count(outcome) for suite in suites)
        parts += [f"{count} {text}"] if count else []
    spent = sum((suite.spent for suite in suites), Decimal(0))
    return f"{', '.join(parts)} ({pass_rate(suites):.0%}); {_money(spent, '${}')} spent"


def _money(dollars: Decimal, form: str) -> str:
    """Return dollars with four digits after the point; what is less than that is not nothing."""
    if 0 < dollars <= Decimal("0.00005"):
        return "<" + form.format("0.0001")
    return form.format(f"{dollars:.4f}")


def _table(suite: SuiteResult) -> Iterator[str]:
    yield "| | case | checks | tokens | cost | time |"
    yield "| --- | --- | --- | ---: | ---: | ---: |"
    for case in suite.cases:
        checks = ", ".join(
            f"{MARKS['passed' if v.passed else 'failed']} {v.name}" for v in case.verdicts
        )
        yield (
            f"| {MARKS[case.outcome]} | {_cell(case.name)} | {_cell(checks)} | {case.tokens:,} "
            f"| {_money(case.spent, '{} USD')} | {case.seconds:.1f} s |"
        )


def _details(case: CaseResult) -> str:
    lines = [f"### {_cell(case.name)}", *(f"- {_line(reason)}" for reason in case.reasons)]
    if case.answer is not None:
        text = text_of(case.answer)[:ANSWER_CHARS]
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
        lines += ["", f"{fence}text", text, fence]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(text.split())


def data(suites: Sequence[SuiteResult]) -> dict[str, Any]:
    """Return all of it as JSON; dollars are exact decimals in strings."""
    return {
        "pass_rate": pass_rate(suites),
        "cost": str(sum((suite.spent for suite in suites), Decimal(0))),
        "suites": [
            {
                "agent": suite.agent,
                "file": str(suite.source),
                "passed": suite.count("passed"),
                "cases": [_case_data(case) for case in suite.cases],
            }
            for suite in suites
        ],
    }


def _case_data(case: CaseResult) -> dict[str, Any]:
    return {
        "name": case.name,
        "outcome": case.outcome,
        "error": case.error or None,
        "answer": case.answer,
        "checks": [
            {
                "name": verdict.name,
                "passed": verdict.passed,
                "score": verdict.score,
                "threshold": verdict.threshold,
                "reason": verdict.reason,
            }
            for verdict in case.verdicts
        ],
        "tools": [{"name": use.name, "arguments": use.arguments} for use in case.tools],
        "model": case.model,
        "chat_id": case.chat_id,
        "tokens": case.tokens,
        "cost": str(case.cost),
        "judge_cost": str(case.judge_cost),
        "seconds": round(case.seconds, 3),
    }
