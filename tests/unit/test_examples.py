"""The examples are what they claim: they load, fit the editors' schema, and name their sources."""

import hashlib
import json
import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from config.teamfile import load_team
from contracts.teams import GateStep, ModelStep, TeamSpec
from providers.simulation.faults import Simulation

pytestmark = pytest.mark.unit

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SIMULATIONS = sorted(EXAMPLES.glob("*.simulation.yaml"))
TEAMS = sorted(set(EXAMPLES.glob("*.yaml")) - set(SIMULATIONS))
REVIEW = EXAMPLES / "licence-review.yaml"


def review() -> TeamSpec:
    return load_team(REVIEW).team


@pytest.mark.parametrize("file", TEAMS, ids=lambda file: file.name)
def test_a_team_loads_and_fits_the_schema_that_it_names(file: Path) -> None:
    load_team(file)
    first = file.read_text().splitlines()[0]
    match = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert match, first
    schema = json.loads((file.parent / match[1]).read_text())
    jsonschema.validate(YAML(typ="safe").load(file), schema)


@pytest.mark.parametrize("file", SIMULATIONS, ids=lambda file: file.name)
def test_a_simulation_is_for_steps_that_exist(file: Path) -> None:
    faults = Simulation.load(file).faults
    assert faults
    team = load_team(file.with_name(file.name.replace(".simulation", ""))).team
    assert {fault.agent for fault in faults} <= {step.name for step in team.agents}


def test_texts_are_those_that_the_sources_name() -> None:
    told = (EXAMPLES / "texts" / "SOURCES.md").read_text()
    texts = sorted((EXAMPLES / "texts").glob("*.txt"))
    assert texts
    for text in texts:
        assert f"`{text.name}`" in told
        assert hashlib.sha256(text.read_bytes()).hexdigest() in told


def test_the_demo_shows_what_it_is_for() -> None:
    steps = {step.name: step for step in review().agents}
    models = [step for step in steps.values() if isinstance(step, ModelStep)]
    assert len(models) >= 6
    assert sum(not step.dependencies for step in models) >= 4
    assert any(len(step.dependencies) >= 4 for step in models)
    assert any(step.when for step in models)
    assert any(step.output.kind == "json" for step in models)
    assert any(s.on_interrupt == "continue" and s.max_retries == 0 for s in models)
    depended_on = {name for step in steps.values() for name in step.dependencies}
    assert [s.name for s in steps.values() if isinstance(s, GateStep)] == ["good_enough"]
    assert "good_enough" not in depended_on


def test_the_demo_reads_a_long_text() -> None:
    assert (EXAMPLES / "texts" / "gpl-3.0.txt").stat().st_size > 30_000
