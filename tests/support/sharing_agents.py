"""A team whose agents share a context: one with a tool, one without, and a model's step beside."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from client.agent_plans import plan_own
from config.agentfile import load_agent
from contracts.files import AttachedFile
from contracts.plans import AgentDraft, AgentForm, Plan
from contracts.teams import AgentStep, SharedContext
from tests.support.scripted import Say, Turn
from tests.support.teams import AT_ONCE, agent, candidate, plan, team

TOKENS = 5_000
"""The most that the shared context takes of a prompt."""

TOOLS = '''
def look(at: str) -> str:
    """Look at something."""
    return f"seen {at}"
'''
AGENT = """\
name: NAME
model: {provider: scripted, name: gpt-4, max_tokens: 50}
instructions: You are NAME.
"""
TOOL = "tools: [{name: look, type: function, file: tools.py, function: look, effect: read}]\n"


def turns(answer: Say | None = None) -> dict[str, list[Turn]]:
    """Return what the model says: the agent with a tool uses it in its first call."""
    looks = (("look", {"at": "the sea"}),)
    first = Say("Let me see.", finish="tool_calls", calls=looks)
    return {"looks.1": [first], "looks.2": [answer or Say("It is blue.")]}


def shared_plan(folder: Path, *files: AttachedFile, caching: str = "prefix") -> Plan:
    """Return the plan of the team; `looks` goes first, `thinks` and `says` behind it."""
    (folder / "tools.py").write_text(TOOLS)
    drafts = {"looks": _draft(folder, "looks", TOOL), "thinks": _draft(folder, "thinks", "")}
    steps = [
        AgentStep(
            name=name,
            file=f"{name}.yaml",
            prompt_template=f"{name}: what is it?",
            cost_limit=Decimal(50),
            shared_context=True,
        )
        for name in drafts
    ]
    says = agent("says", "says: what is it?", shared_context=True, llm_config={"max_tokens": 50})
    spec = team(*steps, says, shared_context=SharedContext(files=files), cost_budget=Decimal(100))
    forms: Mapping[str, AgentForm] = {
        "looks": AgentForm(before="with a tool", tools=True),
        "thinks": AgentForm(before="plain"),
    }
    made = plan(
        spec,
        candidate(caching=caching),
        agents=drafts,
        agent_forms=forms,
        file_tokens={step.name: TOKENS for step in spec.agents},
        shared_tokens=(TOKENS,),
    )
    every = {step.name: (0,) for step in spec.agents}
    return made.model_copy(update={"step_candidates": every})


def _draft(folder: Path, name: str, tools: str) -> AgentDraft:
    """Return an agent whose calls are paid for with the files in them."""
    file = folder / f"{name}.yaml"
    file.write_text(AGENT.replace("NAME", name) + tools)
    draft = plan_own(load_agent(file, {}), lambda _: candidate(), AT_ONCE).draft()
    node = draft.node.model_copy(update={"prompt_bytes": draft.node.prompt_bytes + TOKENS})
    return draft.model_copy(update={"node": node})
