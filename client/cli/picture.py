"""What is known of a run while it is watched: its state as last told, and its text as it comes."""

from collections import deque
from dataclasses import dataclass, field

from contracts.runs import RunStatus, StepStatus, step_of
from contracts.spools import SpoolRecord
from contracts.teams import AgentStatus
from stores.assembling import TextAssembler

CHARS_PER_TOKEN = 4
"""For the count shown while an answer comes in; the vendor's own replaces it at its end."""

MOST_TOOLS = 200


@dataclass
class Picture:
    """A run as a viewer sees it. `follow` names the agent whose text is wanted, if one is.

    `trouble` says why the state is not fresh, `unread` why the text is not. `newest` is the agent
    that wrote last, `calls` which call of its model an agent with tools wrote in. `tools` are the
    last MOST_TOOLS events of tools that nobody has shown yet, `using` what is heard of each
    agent's last one.
    """

    run_id: str
    follow: str | None = None
    status: RunStatus | None = None
    trouble: str | None = None
    unread: str | None = None
    newest: str | None = None
    texts: TextAssembler = field(default_factory=TextAssembler)
    calls: dict[str, str] = field(default_factory=dict)
    tools: deque[SpoolRecord] = field(default_factory=lambda: deque(maxlen=MOST_TOOLS))
    using: dict[str, SpoolRecord] = field(default_factory=dict)

    def take_record(self, record: SpoolRecord) -> None:
        """Take a record of the run's stream."""
        name = record.agent.partition(".")[0]
        if record.tool is not None:
            self.tools.append(record)
            self.using[step_of(name)] = record
            return
        change = self.texts.feed(record)
        if change is not None and change.added:
            self.newest = name
            self.calls[name] = record.agent

    def take_status(self, status: RunStatus) -> None:
        """Take the run's state."""
        self.status, self.trouble = status, None

    @property
    def steps(self) -> tuple[StepStatus, ...]:
        """All steps, in the team's order; none before the first state came."""
        return self.status.steps if self.status else ()

    @property
    def shown_agent(self) -> str | None:
        """The agent whose text is shown: the one asked for, else the one that writes."""
        if self.follow:
            return self.follow
        running = [step.name for step in self.steps if step.status is AgentStatus.RUNNING]
        return self.newest if self.newest in running or not running else running[0]

    @property
    def shown_text(self) -> str:
        """The text of that agent."""
        agent = self.shown_agent
        return self._text(agent) if agent else ""

    def _text(self, agent: str) -> str:
        """Return what an agent wrote last."""
        return self.texts.text(self.calls.get(agent, agent))

    def tokens(self, step: StepStatus) -> str:
        """Return a step's tokens: as billed, and about how many more are coming in now."""
        if step.status is not AgentStatus.RUNNING:
            return f"{step.tokens:,}" if step.tokens else ""
        coming = len(self._text(step.name)) // CHARS_PER_TOKEN
        if not coming:
            return f"{step.tokens:,}" if step.tokens else ""
        return f"~{step.tokens + coming:,}"

    def count(self, *states: AgentStatus) -> int:
        """Return how many steps are in one of these states."""
        return sum(step.status in states for step in self.steps)
