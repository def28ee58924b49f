"""Reports of test runs, and the gates that they are held against."""

import json
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest
from junitparser import JUnitXml

from client.cli.console import Refusal
from client.cli.spelling import money
from client.cli.verdict_gates import Gating
from client.testing.junit import junit
from client.testing.reports import data, markdown, summary
from client.testing.results import CaseResult, SuiteResult, pass_rate
from rules.verdicts import ToolUse, Verdict

pytestmark = pytest.mark.unit

GOOD = CaseResult(
    "good | one",
    "passed",
    (Verdict("contains", 1.0),),
    answer="``` \x1b[31m fine",
    tools=(ToolUse("look", {"at": 2**70}),),
    seconds=1.25,
    cost=Decimal("0.01"),
    judge_cost=Decimal("0.002"),
    tokens=150,
    model="simulated gpt-4",
    chat_id="test-1",
)
BAD = CaseResult("bad", "failed", (Verdict("numeric", 0.0, reason="1 <> 2"),), answer={"a": 1})
AWAY = CaseResult("away", "error", error="no answer: away")
DIM = CaseResult("dim", "unjudged", error="the judge gave no answer")
SUITE = SuiteResult("agent & co", Path("agent.yaml"), (GOOD, BAD, AWAY, DIM))


def test_junit_is_read_by_others() -> None:
    (suite,) = JUnitXml.fromstring(junit([SUITE]))
    assert (suite.tests, suite.failures, suite.errors) == (4, 1, 2)
    found = {case.name: case for case in suite}
    assert found["good | one"].classname == "agent & co"
    assert found["good | one"].time == 1.25
    assert not found["good | one"].result
    assert found["bad"].result[0].message == "numeric: 1 <> 2"
    assert found["away"].result[0].type == "error"
    root = ElementTree.fromstring(junit([SUITE]))
    properties = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert properties["model"] == ""  # the last case's
    assert any(p.get("value") == "0.002" for p in root.iter("property"))


def test_markdown_keeps_its_tables_whole() -> None:
    text = markdown([SUITE])
    assert "| ✓ | good \\| one | ✓ contains | 150 | 0.0120 USD | 1.2 s |" in text
    assert "- numeric: 1 <> 2" in text
    assert "- no answer: away" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_an_answer_cannot_leave_its_fence() -> None:
    escaping = CaseResult("x", "failed", answer="```\n# mine")
    text = markdown([SuiteResult("a", Path("a.yaml"), (escaping,))])
    assert "````text\n```\n# mine\n````" in text


def test_the_data_is_json_and_exact() -> None:
    told = json.loads(json.dumps(data([SUITE])))
    assert told["cost"] == "0.012"
    assert told["pass_rate"] == 0.25
    assert [case["outcome"] for case in told["suites"][0]["cases"]] == [
        *("passed", "failed", "error", "unjudged")
    ]
    assert told["suites"][0]["cases"][0]["tools"][0]["arguments"] == {"at": 2**70}


def test_the_summary_counts_all() -> None:
    assert summary([SUITE]) == (
        "1 of 4 passed, 1 failed, 1 could not be run, 1 could not be judged (25%); $0.0120 spent"
    )
    assert pass_rate([]) == 0


def test_little_money_is_not_nothing() -> None:
    little = SuiteResult("a", Path("a.yaml"), (CaseResult("x", "passed", cost=Decimal("0.00002")),))
    assert summary([little]).endswith("<$0.0001 spent")
    assert "| <0.0001 USD |" in markdown([little])
    assert [money(Decimal(d)) for d in ("0", "0.00005", "0.00006", "0.0012")] == [
        *("$0.0000", "<$0.0001", "$0.0001", "$0.0012")
    ]


def test_a_suite_as_quality_fabric_takes_it() -> None:
    suite = SUITE.submitted()
    assert [result.status for result in suite.results] == ["passed", "failed", "error", "error"]
    assert suite.success_rate == 25
    assert suite.results[0].duration_ms == 1250


async def test_gates_are_held_against_without_a_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gates = tmp_path / "gates.yaml"
    gates.write_text("quality_gates: {success_rate: {threshold: 25, operator: '>='}}\n")
    assert await Gating(gates=gates).verdict([SUITE]) == 0
    gates.write_text("quality_gates: {success_rate: {threshold: 26, operator: '>='}}\n")
    assert await Gating(gates=gates).verdict([SUITE]) == 1
    assert "success_rate: failed (25, wanted >= 26)" in capsys.readouterr().err
    gates.write_text("quality_gates: {kindness: {threshold: 1, operator: '>='}}\n")
    assert await Gating(gates=gates).verdict([SUITE]) == 3
    assert await Gating().verdict([SUITE]) == 0


def test_gates_that_cannot_be_are_refused_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EP_QUALITY_FABRIC_URL", raising=False)
    gates = tmp_path / "gates.yaml"
    gates.write_text("quality_gates: {success_rate: {threshold: 25, operator: '~'}}\n")
    for gating, told in (
        (Gating(gates=gates), "--gates"),
        (Gating(submit=True), "EP_QUALITY_FABRIC_URL"),
        (Gating(project="x"), "only with --submit"),
    ):
        with pytest.raises(Refusal, match=told):
            gating.check()
    gates.write_text("quality_gates: {sucess_rate: {threshold: 25, operator: '>='}}\n")
    with pytest.raises(Refusal, match='Did you mean "success_rate"'):
        Gating(gates=gates).check()
    gates.write_text("quality_gates: {}\n")
    with pytest.raises(Refusal, match="there is no gate in it"):
        Gating(gates=gates).check()
    monkeypatch.setenv("EP_QUALITY_FABRIC_URL", "http://127.0.0.1:1")
    gates.write_text("quality_gates: {coverage: {threshold: 25, operator: '>='}}\n")
    Gating(gates=gates, submit=True).check()
    monkeypatch.setenv("EP_QUALITY_FABRIC_URL", "nonsense")
    with pytest.raises(Refusal, match="URL"):
        Gating(submit=True).check()
