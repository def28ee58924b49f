"""An agent as data: who answers, under which instructions, with which tools and bounds.

Everything that a file names is already read: an AgentSpec is stored as one artifact and means
the same on every machine, but for the files of its function tools. Durations are seconds, money
is dollars.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.agent_cases import AgentCase
from contracts.base import Frozen
from contracts.teams import Dollars, FallbackSpec, ModelParams, Positive
from contracts.tools import ToolSpec


class AgentModel(Frozen):
    """Who answers: a persona of the policy, or a provider and its model (`params.model`)."""

    persona: str | None = None
    provider: str | None = None
    params: ModelParams = ModelParams()
    fallback: tuple[FallbackSpec, ...] = ()


class ResponseFormat(Frozen):
    """The final answer is JSON that fits `schema_`; None: any JSON."""

    schema_: dict[str, Any] | None = None
    repairs: Annotated[int, Field(ge=0, le=10)] = 1


class AgentExecution(Frozen):
    """Bounds of a turn and of the calls in it.

    `max_turns` counts model calls of one turn of the conversation, those that ask for tools and
    the final one. `argument_repairs` is how often in a turn the model may mend arguments that do
    not fit. `turn_timeout` is for a whole turn without the time a person takes; `timeout` for
    one model call once it was sent. A conversation over `compact_over_bytes` is summed up by its
    agent before the next turn; the original is kept (None: never).
    """

    max_turns: Annotated[int, Field(ge=1, le=1000)] = 10
    turn_timeout: Positive = 600.0
    timeout: Positive = 300.0
    first_token_timeout: Positive | None = None
    idle_timeout: Positive | None = None
    max_retries: Annotated[int, Field(ge=0)] = 3
    max_parallel_tools: Annotated[int, Field(ge=1, le=50)] = 5
    argument_repairs: Annotated[int, Field(ge=0, le=10)] = 2
    min_output_tokens: Annotated[int, Field(ge=1)] = 256
    on_interrupt: Literal["restart", "continue"] = "restart"
    approval_timeout: Positive | None = None
    compact_over_bytes: Annotated[int | None, Field(ge=1000)] = None


class AgentBudget(Frozen):
    """Caps that are never passed: of a whole conversation, and of one turn."""

    session: Dollars = Decimal("10.0")
    turn: Dollars = Decimal("1.0")
    on_budget: Literal["fail", "pause"] = "fail"


class AgentObservability(Frozen):
    """Spans of OpenTelemetry, one a turn and one a tool."""

    enabled: bool = False
    service_name: str = "callboard"


class AgentSpec(Frozen):
    """One agent. `instructions` is its system text."""

    name: str
    description: str = ""
    author: str = ""
    model: AgentModel
    instructions: str
    response_format: ResponseFormat | None = None
    tools: tuple[ToolSpec, ...] = ()
    execution: AgentExecution = AgentExecution()
    budget: AgentBudget = AgentBudget()
    test_cases: tuple[AgentCase, ...] = ()
    observability: AgentObservability = AgentObservability()

    def tool(self, name: str) -> ToolSpec | None:
        """Return the declaration of that name, or None."""
        return next((tool for tool in self.tools if tool.name == name), None)
