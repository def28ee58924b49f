"""`starter.py test`: exit codes, reports, and what is refused before anything starts."""

import asyncio
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from client.cli import testing
from client.cli.console import Refusal
from client.cli.verdict_gates import Gating
from config.problems import ConfigError
from tests.support.fixtures import ROOT, Starter
from tests.wire.server import Reply, Request, WireServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

BOOKS = ROOT / "examples" / "agents" / "bookkeeper.yaml"

AGENT = """\
name: helper
model: {provider: simulated, name: gpt-4o-mini}
instructions: You help people.
test_cases:
  - {name: right, input: "Briefly: the sun is hot.", ground_truth: hot}
  - {name: wrong, input: "Briefly: the sea is wet.", ground_truth: dry}
  - name: judged
    input: "Briefly: the sun is hot."
    metrics: [{metric: judge, rubric: It speaks of the sun., threshold: 0}]
"""


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    file = tmp_path / "agent.yaml"
    file.write_text(AGENT)
    return file


@pytest.mark.slow
def test_the_example_passes_and_is_reported(starter: Starter, tmp_path: Path) -> None:
    junit, markdown = tmp_path / "out.xml", tmp_path / "out.md"
    done = starter(
        "test", str(BOOKS), "--provider", "simulated", "--parallel", "2",
        "--junit", str(junit), "--markdown", str(markdown),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert "4 of 4 passed (100%)" in done.stdout
    assert "✓ a sum  " in done.stderr
    assert ElementTree.parse(junit).getroot().get("tests") == "4"
    assert "| ✓ | sums after each other |" in markdown.read_text()


def test_what_is_refused_before_anything_starts(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TEMPORAL_ADDRESS", raising=False)
    monkeypatch.delenv("EP_QUALITY_FABRIC_URL", raising=False)

    def refused(told: str, gating: Gating | None = None, **wanted: Any) -> None:
        with pytest.raises((Refusal, ConfigError), match=told):
            testing.test_agents(
                testing.TestWanted(**{"files": [agent], **wanted}), gating or Gating()
            )

    refused("none.yaml: no such file", files=[agent.with_name("none.yaml")])
    refused("no such test case. Did you mean", cases=["rigth"])
    refused("cannot be written", junit=Path("/no/such/folder/x.xml"))
    refused("EP_QUALITY_FABRIC_URL", Gating(submit=True))
    agent.write_text(AGENT.replace(", ground_truth: dry", ", metrics: [numeric]"))
    refused("wrong: numeric: there is neither a value nor")
    agent.write_text(AGENT.replace("threshold: 0", "threshold: 2"))
    refused("agent.yaml:9: .*threshold")
    agent.write_text(AGENT.partition("test_cases")[0])
    refused("there are no test_cases")


@pytest.mark.slow
def test_exit_codes_say_what_is_to_be_looked_at_first(starter: Starter, agent: Path) -> None:
    common = ("--provider", "simulated")
    assert starter("test", "none.yaml").returncode == 2
    failed = starter("test", str(agent), *common, "--case", "right", "--case", "wr*", "--json")
    assert failed.returncode == 1, failed.stderr
    told = json.loads(failed.stdout)
    assert [case["outcome"] for case in told["suites"][0]["cases"]] == ["passed", "failed"]
    assert starter(
        "test", str(agent), *common, "--case", "[rw]*", "--threshold", "0.5"
    ).returncode == 0  # fmt: skip
    faults = agent.with_name("sim.yaml")
    faults.write_text("faults: [{kind: wrong_json}]\n")
    unjudged = starter("test", str(agent), *common, "--simulation", str(faults))
    assert unjudged.returncode == 4, unjudged.stderr
    faults.write_text("faults: [{kind: auth}]\n")
    away = starter("test", str(agent), *common, "--simulation", str(faults))
    assert away.returncode == 3, away.stderr
    assert "AuthenticationFailed" in away.stderr


class Fabric:
    """A Quality Fabric service with a gate that nothing passes."""

    def __init__(self) -> None:
        self.suite: dict[str, object] = {}

    def __call__(self, request: Request) -> Reply:
        gates = {"success_rate": {"threshold": 100, "operator": ">"}}
        if request.method == "POST":
            self.suite = request.json
        body = {"metrics": self.suite["metrics"], "quality_gates": gates}
        return Reply((json.dumps(body).encode(),), 200, {"content-type": "application/json"})


@pytest.mark.slow
async def test_a_suite_is_submitted_and_its_gates_decide(starter: Starter, agent: Path) -> None:

    fabric = Fabric()
    async with WireServer(fabric) as service:
        done = await asyncio.to_thread(
            starter, "test", str(agent), "--provider", "simulated", "--case", "right",
            "--submit", "--project", "shop", env={"EP_QUALITY_FABRIC_URL": service.url},
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert fabric.suite["name"] == "helper"
    assert "success_rate: failed (100, wanted > 100)" in done.stderr
    assert "1 of 1 passed" in done.stdout
