"""Agents planned as steps of a team: their models, prices and bounds; what is wrong is said."""

from decimal import Decimal
from pathlib import Path

import pytest

from client.agents import store_draft
from client.planning import PlanError, Planner
from config.teamfile import load_team
from contracts.plans import Plan
from providers.router import PersonaRouter
from rules import planning
from rules.estimates import StepEstimate, estimate
from rules.foresight import Given
from stores.artifacts import ArtifactStore

pytestmark = pytest.mark.unit

AGENT = """\
name: finder
model: {persona: architect, max_tokens: 200}
instructions: Find things.
execution: {max_turns: 4, max_retries: 0}
budget: {turn: 0.07}
tools:
  - {name: find, type: function, file: tools.py, function: find}
"""
ASKING = """\
  - {name: sum_up, type: prompt, prompt: "Sum up: {text}", parameters: {text: string}}
  - {name: friend, type: agent, agent: friend.yaml, cost_limit: 0.01, timeout: 5}
"""
TEAM = """\
name: t
inputs: {names: {type: list}}
agents:
  - name: look
    agent: agent.yaml
    prompt_template: "Look for {name}"
    for_each: {item: name, in: inputs.names}
  - {name: report, prompt_template: "{look}", dependencies: [look], persona: architect}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tools.py").write_text("def find(text: str) -> str:\n    return text\n")
    (tmp_path / "agent.yaml").write_text(AGENT)
    (tmp_path / "friend.yaml").write_text(AGENT.replace("finder", "friend"))
    (tmp_path / "team.yaml").write_text(TEAM)
    return tmp_path


def planned(folder: Path) -> Plan:
    file = folder / "team.yaml"
    planner = Planner(PersonaRouter(), provider="simulated")
    return planner.plan(load_team(file, {}).team, {}, file)


def look(plan: Plan) -> StepEstimate:
    names = Given.of(["a", "b", "c"])
    step, _ = estimate(plan, {"names": names}).steps
    return step


def test_an_agents_step_has_its_files_limit_and_candidates(folder: Path) -> None:
    plan = planned(folder)
    node = planning.nodes(plan)[0]
    assert (node.kind, node.cost_limit) == ("agent", Decimal("0.07"))
    assert plan.agents["look"].plan.agent.name == "finder"
    asked = {plan.candidates[n].model for n in plan.step_candidates["look"]}
    assert asked == {one.model for one in plan.agents["look"].plan.candidates}


def test_the_steps_own_limit_is_the_one_that_holds(folder: Path) -> None:
    text = TEAM.replace("    prompt_template", "    cost_limit: 0.03\n    prompt_template")
    (folder / "team.yaml").write_text(text)
    assert planning.nodes(planned(folder))[0].cost_limit == Decimal("0.03")


def test_a_whole_turn_is_bounded_before_it_runs(folder: Path) -> None:
    step = look(planned(folder))
    assert step.kind == "agent"
    assert step.items == 3
    assert step.item_most <= Decimal("0.07")
    assert step.most == 3 * step.item_most
    assert step.attempts == 4 * len(step.candidates)
    assert step.expected <= step.most


def test_a_turn_that_costs_little_at_most_is_bounded_by_its_calls(folder: Path) -> None:
    dear = AGENT.replace("turn: 0.07", "turn: 100")
    (folder / "agent.yaml").write_text(dear)
    step = look(planned(folder))
    assert not step.binds
    assert step.item_most < 100
    assert step.unknown == ()
    (folder / "agent.yaml").write_text(dear + ASKING)
    step = look(planned(folder))
    assert step.binds
    assert step.item_most == 100
    assert step.unknown == ("what its tools give and cost",)


async def test_tools_that_ask_are_planned_and_stored(folder: Path) -> None:
    (folder / "agent.yaml").write_text(AGENT + ASKING)
    draft = planned(folder).agents["look"]
    friend, prompt = draft.children["friend"], draft.children["sum_up"]
    assert friend.node.cost_limit == Decimal("0.01")
    assert friend.plan.agent.execution.turn_timeout == 5
    assert prompt.plan.agent.execution.max_turns == 1
    assert prompt.plan.agent.tools == ()
    assert [c.model for c in prompt.plan.candidates] == [c.model for c in draft.plan.candidates]
    store = ArtifactStore.open(str(folder / "artifacts"))
    header = await store_draft(store, draft)
    assert set(header.children) == {"friend", "sum_up"}


def test_an_agent_that_cannot_be_used_is_said_with_its_file_and_line(folder: Path) -> None:
    (folder / "agent.yaml").write_text(AGENT.replace("max_tokens: 200", "max_tokens: none"))
    with pytest.raises(PlanError) as error:
        planned(folder)
    assert "agent look: " in str(error.value)
    assert "agent.yaml:2: model.max_tokens" in str(error.value)


def test_an_agent_file_that_is_missing_is_said(folder: Path) -> None:
    (folder / "agent.yaml").unlink()
    with pytest.raises(PlanError, match=r"agent look: .*agent\.yaml"):
        planned(folder)


def test_C27_agents_that_contain_each_other_are_refused(folder: Path) -> None:
    tool = "  - {name: other, type: agent, agent: OTHER}\n"
    (folder / "agent.yaml").write_text(AGENT + tool.replace("OTHER", "friend.yaml"))
    (folder / "friend.yaml").write_text(AGENT + tool.replace("OTHER", "agent.yaml"))
    with pytest.raises(PlanError, match="contain each other"):
        planned(folder)


def test_a_prompt_whose_persona_nobody_serves_is_said(folder: Path) -> None:
    prompt = '  - {name: p, type: prompt, prompt: "{x}", parameters: {x: string}, persona: zz}\n'
    (folder / "agent.yaml").write_text(AGENT + prompt)
    with pytest.raises(PlanError, match="tool p"):
        planned(folder)
