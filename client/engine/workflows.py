"""Workflows as seed 004 writes them: agents that depend on each other, and how far they are.

A workflow is checked when it is made and again when it is registered. While it runs, its agents'
status and its totals follow the run; when it has ended, they are the run's results.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from client.engine.agents import Agent, isoformat, plain_money, positive
from config.teamtypes import LONGEST_S
from contracts.teams import AgentStatus, WorkflowStatus
from rules import graph


@dataclass
class Workflow:
    """Workflow configuration and state.

    `cost_budget` is in dollars and never passed, `timeout` in seconds. `inputs` are values for
    placeholders that are no agent's name. `on_budget` "pause" waits for a raised budget where a
    call is not affordable, "fail" ends its agent; `waits_for` says what a waiting one needs.
    `error` says why a workflow failed as a whole.
    Raises ValueError, which names the field, for values and graphs that cannot be.
    """

    name: str
    description: str
    agents: list[Agent]
    max_parallel_agents: int = 10
    cost_budget: float = 100.0
    timeout: float = 3600.0
    allow_partial_completion: bool = True
    inputs: dict[str, Any] = field(default_factory=dict)
    on_budget: Literal["fail", "pause"] = "fail"
    status: WorkflowStatus = field(default=WorkflowStatus.PENDING, init=False)
    workflow_id: str | None = field(default=None, init=False)
    started_at: datetime | None = field(default=None, init=False)
    completed_at: datetime | None = field(default=None, init=False)
    total_cost: float = field(default=0.0, init=False)
    total_tokens: int = field(default=0, init=False)
    error: str | None = field(default=None, init=False)
    waits_for: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Raise ValueError with the first thing that cannot be, its agents included."""
        self.cost_budget = plain_money(self.cost_budget)
        problem = next(self._misshapen(), None)
        if problem is None:
            for agent in self.agents:
                agent.validate()
            problem = next(self._problems(), None)
        if problem is not None:
            raise ValueError(f"workflow {self.name!r}: {problem}")

    def _misshapen(self) -> Iterator[str]:
        agents = self.agents
        if not isinstance(agents, list | tuple) or not all(isinstance(a, Agent) for a in agents):
            yield f"agents must be a list of agents, not {agents!r}"
        if not isinstance(self.inputs, dict):
            yield f"inputs must be a dictionary, not {self.inputs!r}"

    def _problems(self) -> Iterator[str]:
        if not isinstance(self.name, str) or not self.name.strip():
            yield "name must not be empty"
        if not self.agents:
            yield "agents must have at least one agent"
        if not isinstance(self.max_parallel_agents, int) or self.max_parallel_agents < 1:
            yield f"max_parallel_agents must be 1 or more, not {self.max_parallel_agents!r}"
        if not positive(self.cost_budget):
            yield f"cost_budget must be more than 0 dollars, not {self.cost_budget!r}"
        if not positive(self.timeout):
            yield f"timeout must be more than 0 seconds, not {self.timeout!r}"
        elif self.timeout > LONGEST_S:
            yield f"timeout must be {LONGEST_S:,.0f} seconds or less, not {self.timeout!r}"
        if self.on_budget not in ("fail", "pause"):
            yield f"on_budget must be 'fail' or 'pause', not {self.on_budget!r}"
        for name, count in Counter(agent.name for agent in self.agents).items():
            if count > 1:
                yield f"agents: {count} agents have the name {name!r}"
        nodes = [graph.Node(a.name, tuple(a.dependencies)) for a in self.agents]
        for problem in graph.problems(nodes):
            yield f"dependencies: {problem}"

    def reset(self) -> None:
        """Forget how the last execution went, of all agents too."""
        self.status = WorkflowStatus.PENDING
        self.started_at = self.completed_at = None
        self.total_cost, self.total_tokens, self.error = 0.0, 0, None
        self.waits_for = None
        for agent in self.agents:
            agent.reset()

    def get_agent_by_name(self, name: str) -> Agent | None:
        """Return an agent, or None."""
        return next((agent for agent in self.agents if agent.name == name), None)

    def get_ready_agents(self) -> list[Agent]:
        """Return the pending agents whose dependencies have completed, most urgent first."""
        completed = {a.name for a in self.agents if a.status is AgentStatus.COMPLETED}
        ready = [
            agent
            for agent in self.agents
            if agent.status is AgentStatus.PENDING and agent.can_execute(completed)
        ]
        return sorted(ready, key=lambda agent: -agent.priority)

    def get_statistics(self) -> dict[str, Any]:
        """Return agents by state, tokens, and money in dollars."""
        counts = Counter(agent.status for agent in self.agents)
        return {
            "total": len(self.agents),
            "completed": counts[AgentStatus.COMPLETED],
            "failed": sum(counts[status] for status in graph.FAILURES),
            "running": counts[AgentStatus.RUNNING],
            "pending": counts[AgentStatus.PENDING],
            "cancelled": counts[AgentStatus.CANCELLED],
            "total_cost": self.total_cost,
            "total_tokens": self.total_tokens,
            "cost_budget": self.cost_budget,
            "budget_remaining": max(0.0, self.cost_budget - self.total_cost),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return configuration and state as JSON can hold them."""
        return {
            "name": self.name,
            "description": self.description,
            "agents": [agent.to_dict() for agent in self.agents],
            "max_parallel_agents": self.max_parallel_agents,
            "cost_budget": self.cost_budget,
            "timeout": self.timeout,
            "allow_partial_completion": self.allow_partial_completion,
            "inputs": dict(self.inputs),
            "on_budget": self.on_budget,
            "status": self.status.value,
            "workflow_id": self.workflow_id,
            "started_at": isoformat(self.started_at),
            "completed_at": isoformat(self.completed_at),
            "total_cost": self.total_cost,
            "total_tokens": self.total_tokens,
            "error": self.error,
            "waits_for": self.waits_for,
        }
