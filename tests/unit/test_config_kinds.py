"""An agent's file where a team's is wanted, and the other way round, is told in one line."""

from pathlib import Path

import pytest

from config.agentfile import AgentFileError, load_agent
from config.teamfile import TeamFileError, load_team

pytestmark = pytest.mark.unit

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_an_agent_is_no_team() -> None:
    with pytest.raises(TeamFileError) as error:
        load_team(EXAMPLES / "agents" / "weather.yaml", env={})
    (problem,) = error.value.problems
    assert "is an agent, not a team" in problem.message
    assert "starter.py chat" in problem.message


def test_a_team_is_no_agent() -> None:
    with pytest.raises(AgentFileError) as error:
        load_agent(EXAMPLES / "hello.yaml", env={})
    (problem,) = error.value.problems
    assert "is a team, not an agent" in problem.message
    assert "starter.py run" in problem.message


def test_what_lacks_both_lacks_what_was_wanted(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("name: x\n")
    with pytest.raises(TeamFileError, match='"agents" is missing'):
        load_team(file, env={})
    with pytest.raises(AgentFileError, match='"instructions" is missing'):
        load_agent(file, env={})
