"""Test runs as JUnit XML, for build servers: what their viewers show of tests they know."""

import re
from collections.abc import Sequence
from typing import Any

import junitparser

from client.testing.results import CaseResult, SuiteResult
from rules.verdicts import text_of

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(suites: Sequence[SuiteResult]) -> bytes:
    """Return a document: a testsuite for each agent file, a testcase for each case.

    A failed check is a `failure`, a case that could not be run or judged an `error`.
    """
    document: Any = junitparser.JUnitXml(name="callboard")
    for suite in suites:
        element: Any = junitparser.TestSuite(_xml(suite.agent))
        element.filepath = str(suite.source)
        element.add_property("cost_usd", str(suite.spent))
        element.add_property("tokens", str(suite.tokens))
        element.add_testcases([_testcase(suite, case) for case in suite.cases])
        document.add_testsuite(element)
    document.update_statistics()
    return bytes(document.tostring())


def _testcase(suite: SuiteResult, case: CaseResult) -> junitparser.TestCase:
    element: Any = junitparser.TestCase(
        _xml(case.name), classname=_xml(suite.agent), time=round(case.seconds, 3)
    )
    element.append(_properties(case))
    message = _xml("; ".join(case.reasons))
    if case.outcome == "failed":
        element.result = [junitparser.Failure(message, "failed")]
    elif case.outcome != "passed":
        element.result = [junitparser.Error(message, case.outcome)]
    if case.answer is not None:
        element.system_out = _xml(text_of(case.answer))
    return element  # type: ignore[no-any-return]


def _properties(case: CaseResult) -> Any:
    found: Any = junitparser.Properties()  # type: ignore[no-untyped-call]
    told = {
        "model": case.model,
        "conversation": case.chat_id,
        "cost_usd": str(case.cost),
        "judge_cost_usd": str(case.judge_cost),
        "tokens": str(case.tokens),
    }
    for name, value in told.items():
        found.add_property(junitparser.Property(name, _xml(value)))
    return found


def _xml(text: str) -> str:
    """Return a text without the characters that XML has no way to write."""
    return _NOT_XML.sub("\ufffd", text)
