"""Agents as seed 004 writes them: what one is asked, where it stands, what came of it.

Mutable, and only a face: a run copies what it needs, and what comes back is written here.
Mistakes that one agent alone can show are found when it is made, and again when its workflow is
registered, since its fields may have been changed meanwhile.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, get_args

from config.teamtypes import LONGEST_S
from contracts.teams import AgentStatus, ModelStep

MODULES: tuple[str, ...] = get_args(ModelStep.model_fields["module"].annotation)
"""The ERP modules: HR, Finance, Inventory, Compliance, General."""

_RETRIABLE = frozenset({AgentStatus.FAILED, AgentStatus.RATE_LIMITED})


@dataclass
class AgentResult:
    """Result of an agent's execution.

    `output` is {"content": text}, with "tool_calls" where the model asked for tools. `cost` is in
    dollars, `execution_time` in seconds. `metadata["attempts"]` lists every attempt: provider,
    model, times, outcome, usage, cost and the reason for what came next.
    """

    agent_id: str
    status: AgentStatus
    output: dict[str, Any] | None = None
    error: str | None = None
    tokens_used: int = 0
    cost: float = 0.0
    execution_time: float = 0.0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    retry_count: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)

    def is_success(self) -> bool:
        """Tell whether the agent completed."""
        return self.status is AgentStatus.COMPLETED

    def is_retriable(self) -> bool:
        """Tell whether another try might end otherwise: it failed, or was only throttled."""
        return self.status in _RETRIABLE

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON can hold them."""
        return {
            "agent_id": self.agent_id,
            "status": self.status.value,
            "output": self.output,
            "error": self.error,
            "tokens_used": self.tokens_used,
            "cost": self.cost,
            "execution_time": self.execution_time,
            "started_at": isoformat(self.started_at),
            "completed_at": isoformat(self.completed_at),
            "retry_count": self.retry_count,
            "metadata": self.metadata,
        }


@dataclass
class Agent:
    """AI agent configuration and state.

    `llm_config` takes model, temperature, max_tokens, top_p, stop, seed, system,
    reasoning_effort and thinking_budget. In `prompt_template`, `{name}` is the output of the
    dependency of that name; doubled braces are literal ones. `timeout` bounds one attempt in
    seconds; `cost_limit` (dollars) all of them. Raises ValueError, which names the field.
    """

    name: str
    module: str
    description: str
    llm_config: dict[str, Any]
    prompt_template: str
    tools: list[dict[str, Any]] = field(default_factory=list)
    dependencies: list[str] = field(default_factory=list)
    max_retries: int = 3
    timeout: float = 300.0
    cost_limit: float = 1.0
    priority: int = 5
    status: AgentStatus = field(default=AgentStatus.PENDING, init=False)
    result: AgentResult | None = field(default=None, init=False)
    retry_count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Raise ValueError for what cannot be, naming the agent and the field."""
        self.cost_limit = plain_money(self.cost_limit)
        problem = next(self._problems(), None)
        if problem is not None:
            raise ValueError(f"agent {self.name!r}: {problem}")

    def _problems(self) -> Iterator[str]:
        if not isinstance(self.name, str) or not self.name.strip():
            yield "name must not be empty"
        if self.module not in MODULES:
            yield f"module must be one of {', '.join(MODULES)}, not {self.module!r}"
        yield from self._misshapen()
        if not isinstance(self.max_retries, int) or self.max_retries < 0:
            yield f"max_retries must be 0 or more, not {self.max_retries!r}"
        if not positive(self.timeout):
            yield f"timeout must be more than 0 seconds, not {self.timeout!r}"
        elif self.timeout > LONGEST_S:
            yield f"timeout must be {LONGEST_S:,.0f} seconds or less, not {self.timeout!r}"
        if not positive(self.cost_limit):
            yield f"cost_limit must be more than 0 dollars, not {self.cost_limit!r}"
        if self.priority not in range(1, 11):
            yield f"priority must be from 1 to 10, not {self.priority!r}"

    def _misshapen(self) -> Iterator[str]:
        """Find what would be taken for something else, or for nothing, later on."""
        if not isinstance(self.llm_config, dict):
            yield f"llm_config must be a dictionary, not {self.llm_config!r}"
        if not isinstance(self.tools, list | tuple):
            yield f"tools must be a list, not {self.tools!r}"
        names = self.dependencies
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            yield f"dependencies must be a list of agents' names, not {names!r}"

    def reset(self) -> None:
        """Forget how the last execution went, so that the agent can run again."""
        self.status = AgentStatus.PENDING
        self.result = None
        self.retry_count = 0

    def can_execute(self, completed_agents: Collection[str]) -> bool:
        """Tell whether all dependencies are among the names of the completed agents."""
        return all(name in completed_agents for name in self.dependencies)

    def to_dict(self) -> dict[str, Any]:
        """Return configuration and state as JSON can hold them."""
        return {
            "name": self.name,
            "module": self.module,
            "description": self.description,
            "llm_config": dict(self.llm_config),
            "prompt_template": self.prompt_template,
            "tools": list(self.tools),
            "dependencies": list(self.dependencies),
            "max_retries": self.max_retries,
            "timeout": self.timeout,
            "cost_limit": self.cost_limit,
            "priority": self.priority,
            "status": self.status.value,
            "retry_count": self.retry_count,
            "result": self.result.to_dict() if self.result else None,
        }


def positive(value: object) -> bool:
    """Tell whether a value is a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value) and value > 0
    except OverflowError:  # an integer that no float can hold
        return False


def plain_money(dollars: float) -> float:
    """Return dollars as the seed has them, where they were given as a Decimal."""
    return float(dollars) if isinstance(dollars, Decimal) else dollars


def isoformat(moment: datetime | None) -> str | None:
    """Return a moment as JSON can hold it."""
    return moment.isoformat() if moment else None
