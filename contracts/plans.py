"""A resolved team: which models each step may use, at which price, and the graph as data.

The plan is one artifact. A run's workflow reads its graph in pages, so that no payload grows
with the team; the texts stay in the artifact, where activities read them.
"""

from decimal import Decimal
from typing import Literal

from contracts.agents import AgentSpec
from contracts.artifacts import ArtifactRef
from contracts.base import Frozen, Json, Slim, StepName
from contracts.enclosures import FileRates
from contracts.files import AttachedFile
from contracts.prices import Price
from contracts.retry import RetryRule
from contracts.teams import TeamSpec

DEFAULT_MAX_TOKENS = 4096
"""Sent where neither the step nor its persona says how much it may answer."""


class Candidate(Frozen):
    """A provider and model that may serve a step. Sizes in tokens.

    `overhead_tokens` is what the adapter adds to each request by itself. `caching` says how the
    vendor caches a prefix: within requests that repeat it ("prefix"), or under a name of its own
    ("named"), from `cache_floor` tokens on; `uploads` the kinds of files that it keeps (None: not
    known, whatever the adapter can). `uncached`: the vendor makes no caches of this model,
    whatever its others have. `assumed` says what of this is no vendor's word. `options` go to the
    adapter as they are (the simulator's faults, for example). `why` says how it was chosen.
    """

    provider: str
    model: str
    queue: str
    price: Price
    context_window: int | None = None
    max_output_tokens: int | None = None
    overhead_tokens: int = 0
    can_prefill: bool = False
    can_resume: bool = False
    counts_tokens: bool = False
    caching: Literal["none", "prefix", "named"] = "none"
    cache_floor: int = 0
    uploads: tuple[str, ...] | None = None
    uncached: bool = False
    assumed: tuple[str, ...] = ()
    options: dict[str, Json] = {}
    why: str = ""


class PersonaProfile(Frozen):
    """What a persona adds to each of its calls."""

    name: str
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None


class AgentForm(Frozen):
    """What the workflow knows of an agent within a team whose requests begin as others' do.

    `before` is a digest of what stands before the shared context in them; `tools`: they have any.
    """

    before: str
    tools: bool = False


class Plan(Frozen):
    """The artifact: the team, the candidates by step (indexes into `candidates`), the rules.

    `file_tokens` are the most that a step's files take of its prompt, for whichever candidate;
    `shared_tokens` what the team's shared context takes of it, by candidate.
    `child_plans` are the stored plans of its `team` steps, and the stored AgentHeaders of its
    `agent` steps; until they are stored they are `children` and `agents`. `agent_forms` are of
    those that use the shared context.
    """

    team: TeamSpec
    candidates: tuple[Candidate, ...] = ()
    step_candidates: dict[StepName, tuple[int, ...]] = {}
    personas: dict[str, PersonaProfile] = {}
    retry: RetryRule = RetryRule()
    notes: tuple[str, ...] = ()
    child_plans: dict[StepName, ArtifactRef] = {}
    children: dict[StepName, "Plan"] = {}
    agents: dict[StepName, "AgentDraft"] = {}
    agent_forms: dict[StepName, AgentForm] = {}
    file_tokens: dict[StepName, int] = {}
    shared_tokens: tuple[int, ...] = ()


class SharedHeader(Frozen):
    """What the workflow knows of a team's shared context.

    `files` are all of it; `tokens` is the most that it takes of a prompt, by candidate. `lasts`
    is `SharedContext`'s.
    """

    files: tuple[AttachedFile, ...]
    tokens: tuple[int, ...] = ()
    cache: bool = True
    ttl: float = 3600.0
    keep: bool = False
    lasts: float | None = None


class StepNode(Slim):
    """What the workflow knows of a step. Other steps are named by their index in the plan.

    `for_each` and `until` are CEL. `item_uses` counts how often the prompt reads the item.
    `members` are repeated with the step. `handler` runs when this step has failed for good.

    `uses` lists the steps and `uses_inputs` the inputs that the prompt or expression reads, once
    per occurrence, so that the size of the rendered prompt can be bounded from `prompt_bytes`
    (all fixed text) and the sizes of the values. `inline`: some expression reads the output.

    `uploads` are large files that it sends, by their index in the header. `shared` is a digest of
    what stands before the shared context in its requests: steps of one share a cached prefix;
    "" where it does not use the shared context. `tools`: its requests declare tools.
    """

    name: StepName
    kind: Literal["model", "set", "gate", "end", "approval", "wait", "team", "agent"]
    dependencies: tuple[int, ...] = ()
    optional_dependencies: tuple[int, ...] = ()
    when: str | None = None
    when_uses: tuple[int, ...] = ()
    when_uses_inputs: tuple[str, ...] = ()
    expression: str | None = None
    uses: tuple[int, ...] = ()
    uses_inputs: tuple[str, ...] = ()
    inline: bool = False
    priority: int = 5
    module: str | None = None
    persona: str | None = None
    candidates: tuple[int, ...] = ()
    max_retries: int = 3
    timeout: float = 300.0
    first_token_timeout: float = 120.0
    idle_timeout: float = 60.0
    cost_limit: Decimal = Decimal("1.0")
    max_tokens: int = DEFAULT_MAX_TOKENS
    min_output_tokens: int = 256
    on_interrupt: Literal["restart", "continue"] = "restart"
    structured: bool = False
    repairs: int = 0
    prompt_bytes: int = 0
    end_status: Literal["completed", "failed", "cancelled"] | None = None
    because: str = ""
    for_each: str | None = None
    for_each_uses: tuple[int, ...] = ()
    for_each_inputs: tuple[str, ...] = ()
    item: str | None = None
    item_uses: int = 0
    max_parallel: int = 10
    min_success: float = 1.0
    until: str | None = None
    until_uses: tuple[int, ...] = ()
    until_inputs: tuple[str, ...] = ()
    max_rounds: int = 1
    members: tuple[int, ...] = ()
    handler: int | None = None
    choices: tuple[str, ...] = ()
    answer_timeout: float | None = None
    on_timeout: str | None = None
    seconds: float = 0.0
    reuse: float = 0.0
    child_plan: ArtifactRef | None = None
    uploads: tuple[int, ...] = ()
    needs_uploads: bool = False
    shared: str = ""
    tools: bool = False


class AgentPlan(Frozen):
    """The artifact: an agent, who may answer for it, and the system text. Candidates are whole.

    `tool_choice` is `ChatRequest`'s: "auto", "required", or the name of a tool.
    """

    agent: AgentSpec
    candidates: tuple[Candidate, ...]
    system: str = ""
    temperature: float | None = None
    tool_choice: str | None = None


class AgentHeader(Frozen):
    """What a workflow needs of an agent. `plan` is the stored AgentPlan, `agent` its AgentSpec.

    `node` has the candidates' indexes, clocks, retries, sizes and the cap of a turn. `queues` are
    those that its tools are listed on. `max_calls` counts calls of the model in a turn.
    `children` are the stored AgentHeaders of its `prompt` and `agent` tools, by the tool's name.
    A conversation over `compact_over_bytes` is summed up before the next turn. `file_rates`: what
    files take of any of its models' prompts.
    """

    name: str
    plan: ArtifactRef
    agent: ArtifactRef
    candidates: tuple[Candidate, ...]
    retry: RetryRule = RetryRule()
    node: StepNode
    budget: Decimal
    on_budget: Literal["fail", "pause"] = "fail"
    max_calls: int = 10
    turn_timeout: float = 600.0
    argument_repairs: int = 2
    max_parallel_tools: int = 5
    approval_timeout: float | None = None
    queues: tuple[str | None, ...] = ()
    children: dict[str, ArtifactRef] = {}
    compact_over_bytes: int | None = None
    file_rates: FileRates = FileRates()


class AgentDraft(Frozen):
    """An agent that was planned and not stored yet, with those that its tools stand for."""

    plan: AgentPlan
    node: StepNode
    retry: RetryRule = RetryRule()
    children: dict[str, "AgentDraft"] = {}


class PlanHeader(Frozen):
    """What the workflow needs of a plan beside its steps.

    `output_uses` lists the steps (by index) that the team's `outputs` read. `files` are those that
    are too large to be sent with each request, wherever a provider keeps files.
    """

    team: str
    steps: int
    pages: int
    candidates: tuple[Candidate, ...] = ()
    retry: RetryRule = RetryRule()
    cost_budget: Decimal
    on_budget: Literal["fail", "pause"] = "fail"
    max_parallel_agents: int = 10
    timeout: float = 3600.0
    allow_partial_completion: bool = True
    has_outputs: bool = False
    output_uses: tuple[int, ...] = ()
    personas: tuple[str, ...] = ()
    files: tuple[AttachedFile, ...] = ()
    shared: SharedHeader | None = None


class PlanPage(Frozen):
    """A page of the plan's graph. `header` comes with page 0 only."""

    number: int
    header: PlanHeader | None = None
    nodes: tuple[StepNode, ...] = ()


class PlanView(Frozen):
    """Answer to the query `plan`."""

    plan: ArtifactRef
    header: PlanHeader | None = None
    nodes: tuple[StepNode, ...] = ()
