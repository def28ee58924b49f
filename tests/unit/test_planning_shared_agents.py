"""Agents within a team that use its shared context: what is planned for them, and what it costs."""

from pathlib import Path

import pytest

from client.planning import PlanError, Planner
from config.teamfile import TeamFileError, load_team
from contracts.files import LARGE_BYTES
from contracts.plans import Plan
from providers import media
from providers.router import PersonaRouter
from rules import planning
from rules.estimates import estimate

pytestmark = pytest.mark.unit

AGENT = """\
name: finder
model: {persona: architect, max_tokens: 200}
instructions: Find things.
budget: {turn: 9}
"""
TOOLS = "tools: [{name: find, type: function, file: tools.py, function: find}]\n"
TEAM = """\
name: t
shared_context: {files: [notes.md]}
defaults: {shared_context: true}
agents:
  - {name: look, agent: finder.yaml, prompt_template: "Look."}
  - {name: think, agent: thinker.yaml, prompt_template: "Think."}
  - {name: write, prompt_template: "Write.", persona: architect, cost_limit: 9}
"""
TEXT = "Bees make honey. " * 600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tools.py").write_text("def find(text: str) -> str:\n    return text\n")
    (tmp_path / "finder.yaml").write_text(AGENT + TOOLS)
    (tmp_path / "thinker.yaml").write_text(AGENT.replace("finder", "thinker"))
    (tmp_path / "notes.md").write_text(TEXT)
    (tmp_path / "team.yaml").write_text(TEAM)
    return tmp_path


def planned(folder: Path, provider: str = "anthropic") -> Plan:
    keys = {f"{name}_API_KEY": "sk-x" for name in ("OPENAI", "ANTHROPIC", "GEMINI")}
    file = folder / "team.yaml"
    planner = Planner(PersonaRouter(env=keys), provider=provider, served={provider})
    return planner.plan(load_team(file, {}).team, {}, file)


def test_its_files_are_in_what_each_of_its_calls_is_reserved(folder: Path) -> None:
    made = planned(folder)
    size = media.NAME_BYTES + len(TEXT) * 3
    assert made.file_tokens == dict.fromkeys(("look", "think", "write"), size)
    for name in ("look", "think"):
        node = made.agents[name].node
        assert node.prompt_bytes > size
        assert (node.shared, node.uploads, node.needs_uploads) == ("", (), False)


def test_who_has_no_tools_shares_a_prefix_with_steps_that_have_none(folder: Path) -> None:
    look, think, write = planning.nodes(planned(folder))
    assert think.shared == write.shared != look.shared
    assert look.shared
    assert (look.tools, think.tools, write.tools) == (True, False, False)


def test_who_does_not_use_it_is_planned_as_before(folder: Path) -> None:
    text = (folder / "team.yaml").read_text()
    plain = text.replace('prompt_template: "Look."', 'shared_context: false, prompt_template: "L."')
    (folder / "team.yaml").write_text(plain)
    made = planned(folder)
    look, think, _ = planning.nodes(made)
    assert (look.shared, look.uploads, look.tools) == ("", (), False)
    assert think.shared
    assert "look" not in made.file_tokens
    assert made.agents["look"].node.prompt_bytes < 2_000


def test_the_break_even_counts_their_calls(folder: Path) -> None:
    found = {one.model: one for one in estimate(planned(folder), {}).shared if one.calls}
    ((_, one),) = found.items()
    assert one.calls == 3 + 3 + 1
    assert one.writes == 2


def test_a_named_cache_takes_no_tools_so_their_calls_are_not_counted(folder: Path) -> None:
    (folder / "notes.md").write_text(TEXT * 10)
    (one,) = [one for one in estimate(planned(folder, "gemini"), {}).shared if one.calls]
    assert (one.caching, one.calls) == ("named", 3 + 1)


def test_files_that_no_model_of_it_takes_are_refused_with_the_step(folder: Path) -> None:
    (folder / "talk.mp3").write_bytes(b"ID3")
    text = (folder / "team.yaml").read_text().replace("[notes.md]", "[talk.mp3]")
    (folder / "team.yaml").write_text(text)
    with pytest.raises(PlanError) as error:
        planned(folder)
    said = [line for line in error.value.problems if line.startswith("agent look: ")]
    assert len(said) == 1
    assert "the model takes no audio files" in said[0]
    assert "its files: talk.mp3; these would take them: openai (gpt-audio), gemini (" in said[0]


def test_a_turn_that_cannot_pay_for_the_context_says_what_to_raise(folder: Path) -> None:
    file = folder / "finder.yaml"
    file.write_text(file.read_text().replace("{turn: 9}", "{turn: 0.001}"))
    with pytest.raises(PlanError) as error:
        planned(folder, "openai")
    assert "more than budget.turn 0.001: raise budget.turn" in str(error.value)


def test_large_files_of_agents_alone_are_uploaded_too(folder: Path) -> None:
    (folder / "big.pdf").write_bytes(b"%PDF-1.4\n\0" + bytes(LARGE_BYTES))
    text = TEAM.replace("[notes.md]", "[big.pdf]").replace(", cost_limit: 9", "")
    (folder / "team.yaml").write_text(text.replace("persona: architect", "shared_context: false"))
    made = planned(folder)
    assert [file.name for file in planning.header(made, 1).files] == ["big.pdf"]
    look, think, write = planning.nodes(made)
    assert (look.uploads, think.uploads, write.uploads) == ((0,), (0,), ())


def test_a_team_without_one_says_where_it_is_asked_for(folder: Path) -> None:
    text = TEAM.replace(
        "shared_context: {files: [notes.md]}\ndefaults: {shared_context: true}\n", ""
    )
    text = text.replace('prompt_template: "Look."', 'shared_context: true, prompt_template: "L."')
    (folder / "team.yaml").write_text(text)
    with pytest.raises(TeamFileError, match="shared_context: the team has no shared_context"):
        load_team(folder / "team.yaml", {})


def test_files_are_likely_to_be_what_they_look_like_and_bounded_by_three_times_that(
    folder: Path,
) -> None:
    for step in estimate(planned(folder), {}).steps:
        assert len(TEXT) // 4 <= step.tokens.prompt < len(TEXT) // 4 + 500
        if step.tokens.prompt_most is not None:
            assert step.tokens.prompt_most > len(TEXT) * 3
