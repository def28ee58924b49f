"""A team and its steps, as data (seed 004's Workflow and Agent, and ../shared team-file keys).

Field names, defaults and ranges are seed 004's. Durations are seconds, money is dollars. A team
as written names personas; `contracts.plans` holds what they were resolved to.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.base import Frozen, Json, StepName
from contracts.files import AttachedFile

Positive = Annotated[float, Field(gt=0)]
Dollars = Annotated[Decimal, Field(gt=0)]


class AgentStatus(StrEnum):
    """States of a step. A skipped step is CANCELLED with `metadata.reason` "skipped: …"."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RATE_LIMITED = "rate_limited"
    BUDGET_EXCEEDED = "budget_exceeded"


class WorkflowStatus(StrEnum):
    """States of a run."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    PARTIALLY_COMPLETED = "partially_completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class InputSpec(Frozen):
    """A typed input: required unless it has a default."""

    type: Literal["text", "string", "number", "boolean", "list", "file"] = "string"
    description: str = ""
    required: bool = True
    default: Json = None
    enum: tuple[Json, ...] | None = None


class ModelParams(Frozen):
    """`llm_config`: None means the persona's or the vendor's default."""

    model: str | None = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1)] = None
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    system: str | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    thinking_budget: Annotated[int | None, Field(ge=0)] = None


class OutputSpec(Frozen):
    """What a model step must return: text, or JSON that fits `schema_`."""

    kind: Literal["text", "json"] = "text"
    schema_: dict[str, Any] | None = None
    repairs: Annotated[int, Field(ge=0, le=10)] = 1


class FallbackSpec(Frozen):
    """A further candidate: a provider and model, or another persona."""

    provider: str | None = None
    model: str | None = None
    persona: str | None = None


class ForEachSpec(Frozen):
    """Run the step once per item of a list."""

    item: StepName
    in_: str
    max_parallel: Annotated[int, Field(ge=1)] = 10
    min_success: Annotated[float, Field(ge=0, le=1)] = 1.0


class RepeatSpec(Frozen):
    """Run the step, and those named in `with_`, again until a condition holds."""

    until: str
    max: Annotated[int, Field(ge=1)]
    with_: tuple[StepName, ...] = ()


class SharedContext(Frozen):
    """What the prompts of several agents begin with: files, in this order.

    It is cached at the vendor where it can be (`cache`), for `ttl` seconds; a cache and uploads
    are deleted at the run's end unless they are to be kept for further runs (`keep`). `lasts`:
    for so many seconds from its last use on a cached prefix is to be there, as far as the vendor
    leaves a choice; None: for as long as vendors keep one anyway.
    """

    files: Annotated[tuple[AttachedFile, ...], Field(min_length=1)]
    cache: bool = True
    ttl: Positive = 3600.0
    keep: bool = False
    lasts: Positive | None = None


class StepBase(Frozen):
    """What all steps have.

    `dependencies` must complete before the step starts; `optional_dependencies` (written
    `name?`) are waited for, and read as null when they were skipped or failed.
    """

    name: StepName
    description: str = ""
    dependencies: tuple[StepName, ...] = ()
    optional_dependencies: tuple[StepName, ...] = ()
    when: str | None = None
    priority: Annotated[int, Field(ge=1, le=10)] = 5
    catch: StepName | None = None


class ModelStep(StepBase):
    """A model call: seed 004's Agent.

    `reuse`: an identical request's answer is taken again for so many seconds; 0: never.
    `files` are sent along with the prompt, the team's `shared_context` before it.
    """

    kind: Literal["model"] = "model"
    module: Literal["HR", "Finance", "Inventory", "Compliance", "General"] = "General"
    persona: str | None = None
    llm_config: ModelParams = ModelParams()
    prompt_template: str
    tools: tuple[dict[str, Any], ...] = ()
    max_retries: Annotated[int, Field(ge=0)] = 3
    timeout: Positive = 300.0
    first_token_timeout: Positive | None = None
    idle_timeout: Positive | None = None
    cost_limit: Dollars = Decimal("1.0")
    min_output_tokens: Annotated[int, Field(ge=1)] = 256
    on_interrupt: Literal["restart", "continue"] = "restart"
    output: OutputSpec = OutputSpec()
    fallback: tuple[FallbackSpec, ...] = ()
    for_each: ForEachSpec | None = None
    repeat: RepeatSpec | None = None
    reuse: Annotated[float, Field(ge=0)] = 0.0
    files: tuple[AttachedFile, ...] = ()
    shared_context: bool = False


class SetStep(StepBase):
    """A value computed by CEL: no model, no cost."""

    kind: Literal["set"] = "set"
    expression: str


class GateStep(StepBase):
    """A condition that must hold: false fails the step."""

    kind: Literal["gate"] = "gate"
    expression: str


class EndStep(StepBase):
    """Ends the run early with a status."""

    kind: Literal["end"] = "end"
    status: Literal["completed", "failed", "cancelled"] = "completed"
    because: str = ""


class ApprovalStep(StepBase):
    """Waits for a person's choice, which is the step's output."""

    kind: Literal["approval"] = "approval"
    ask: str
    choices: tuple[str, ...] = ("approve", "reject")
    timeout: Positive | None = None
    on_timeout: str | None = None


class WaitStep(StepBase):
    """Waits for so many seconds."""

    kind: Literal["wait"] = "wait"
    seconds: Positive


class TeamStep(StepBase):
    """Another team as a step: a child run with its slice of the budget."""

    kind: Literal["team"] = "team"
    file: str
    inputs: dict[str, Json] = {}
    cost_limit: Dollars = Decimal("1.0")


class AgentStep(StepBase):
    """An agent with tools as a step: a turn of it, that begins with the prompt.

    `cost_limit` is for all that it takes, tools that ask models included; None: the `budget.turn`
    of the agent's own file. With `shared_context` its conversation begins with the team's.
    """

    kind: Literal["agent"] = "agent"
    file: str
    prompt_template: str = ""
    cost_limit: Dollars | None = None
    for_each: ForEachSpec | None = None
    repeat: RepeatSpec | None = None
    shared_context: bool = False


StepSpec = Annotated[
    ModelStep | SetStep | GateStep | EndStep | ApprovalStep | WaitStep | TeamStep | AgentStep,
    Field(discriminator="kind"),
]


class TeamSpec(Frozen):
    """A team: seed 004's Workflow. `cost_budget` is in dollars and never passed."""

    name: str
    description: str = ""
    inputs: dict[StepName, InputSpec] = {}
    agents: Annotated[tuple[StepSpec, ...], Field(min_length=1)]
    max_parallel_agents: Annotated[int, Field(ge=1)] = 10
    cost_budget: Dollars = Decimal("100.0")
    on_budget: Literal["fail", "pause"] = "fail"
    timeout: Positive = 3600.0
    allow_partial_completion: bool = True
    outputs: dict[StepName, str] = {}
    shared_context: SharedContext | None = None
