"""Steps of a team that are an agent with a tool, `find`, which leaves a line for every call."""

from pathlib import Path
from typing import Any

from client.agent_plans import plan_own
from config.agentfile import load_agent
from contracts.plans import Plan
from contracts.teams import AgentStep, StepSpec
from tests.support.teams import AT_ONCE, candidate, plan, team

FILE = """\
name: finder
model: {provider: scripted, name: gpt-4, max_tokens: 50}
instructions: Find things.
execution: {max_turns: MAX_TURNS}
budget: {turn: BUDGET}
tools:
  - {name: find, type: function, file: tools.py, function: find, HOW}
"""
CODE = '''
from pathlib import Path

LOG = Path(__file__).with_name("log")


def find(text: str) -> str:
    """Find something."""
    with LOG.open("a") as log:
        log.write(text + "\\n")
    return f"found {text}"
'''


def planned(
    folder: Path,
    *steps: StepSpec,
    how: str = "effect: read",
    budget: int = 1,
    max_turns: int = 10,
    **more: Any,
) -> Plan:
    """Return the plan of a team whose agents are all the finder; `how` is more of its tool."""
    (folder / "tools.py").write_text(CODE)
    file = folder / "agent.yaml"
    text = FILE.replace("HOW", how).replace("BUDGET", str(budget))
    file.write_text(text.replace("MAX_TURNS", str(max_turns)))
    own = plan_own(load_agent(file, {}), lambda _: candidate(), AT_ONCE)
    drafts = {step.name: own.draft() for step in steps if isinstance(step, AgentStep)}
    return plan(team(*steps, **more), agents=drafts)


def found(folder: Path) -> list[str]:
    """Return what the tool was called with, in order."""
    file = folder / "log"
    return file.read_text().split() if file.exists() else []
