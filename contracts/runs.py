"""A run: what starts it, what it answers to queries, what it leaves behind."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

from contracts.artifacts import ArtifactRef, Value
from contracts.base import Frozen, Json, Slim
from contracts.messages import Usage
from contracts.plans import PlanPage
from contracts.teams import AgentStatus, WorkflowStatus

RUN_WORKFLOW = "callboard.run"
"""The run workflow's type, as Temporal knows it."""

RUN_SHAPE = 4
"""What a new run's workflow does as a matter of course; histories without the number have none.

1: a list of more than a history's items is cut into slices, however it travels.
2: a paused run starts no agent, where it let them wait for a slot before; a team within a team
   keeps to its own `cost_budget`, where it is granted more; a run that pauses for money does so
   before a team within it, too.
3: a run that failed or was cancelled has its declared outputs as well, as far as they go.
4: within a round a step waits for its optional dependencies too; an `end` ends the rounds.

It stands in for `workflow.patched` where that may be asked for before anything but local
activities has ended. A run that is queried at that time has a workflow task of its own for what
follows, the SDK tells of that task's patches too late when it replays, and the run would be stuck.
"""


class RunRequest(Frozen):
    """Starts a run. `run_id` is the workflow id too.

    `budget`, for a child run, is its grant: it spends neither more than that nor than its own
    `cost_budget`.
    `carried` is what the run's history before this one had stored, where it had one.
    `searchable` says that the namespace knows our search attributes: an unknown one would fail
    the workflow's task for ever.
    `shape` is the RUN_SHAPE of whoever started it.
    `first_page` is the plan's, where whoever starts the run has it at hand.
    `may_ask` says that a child run whose grant is spent waits until the run around it gives more.
    """

    run_id: str
    team: str
    plan: ArtifactRef
    first_page: PlanPage | None = None
    inputs: dict[str, Value] = {}
    searchable: bool = False
    budget: Decimal | None = None
    carried: ArtifactRef | None = None
    shape: int = 0
    may_ask: bool = False


def money_signal(step: str) -> str:
    """Return the signal by which the child run of a step asks its run for more money."""
    return f"money_wanted:{step}"


MONEY_SIGNAL = "money_given"
"""By which it is answered."""


class MoneyWanted(Frozen):
    """A child run's grant is spent. `ask` tells its asks apart; amounts are dollars beside it.

    `least` is what its next call cannot do without, `need` what that may cost at most.
    """

    child: str
    ask: str
    least: Decimal
    need: Decimal
    why: str


class MoneyGiven(Frozen):
    """The whole grant of a child run by now, or why it gets no more."""

    ask: str
    grant: Decimal
    refused: str | None = None


class StateQuery(Frozen):
    """Argument of the query `carried_state`: which characters of it."""

    start: int = 0
    count: int = 200_000


def step_of(unit: str) -> str:
    """Return the step that a unit of work belongs to: "risk" of its item "risk[3]".

    And of what an agent's tools asked a model for: "risk.2.1", "risk[3].2.1".
    """
    return unit.partition("[")[0].partition(".")[0]


class SlicePart(Slim):
    """What an entry for a slice of a long list stands for: `calls` attempts made by a child run.

    `record` is that child's RunRecord, which has them; None while it goes on, or was lost.
    `most_attempts` is the highest number among them.
    """

    run_id: str
    record: ArtifactRef | None = None
    calls: int = 0
    most_attempts: int = 0


def child_run_id(run_id: str, step: str, number: int = 1) -> str:
    """Return the id of the run that a `team` step starts, of its second and later ones too."""
    return f"{run_id}/{step}" if number == 1 else f"{run_id}/{step}-{number}"


def outermost(run_id: str) -> str:
    """Return the run that a person started: "r1" of "r1/sub/inner"."""
    return run_id.partition("/")[0]


AttemptState = Literal["reserved", "settled", "uncertain", "released"]


class AttemptRecord(Slim):
    """One attempt as the ledger and the bill know it. Money in dollars.

    `reserved` was its worst case; `cost` is what counts against every cap; `served` is the
    price of the usage that was seen, equal to `cost` once settled. `outcome` is "running",
    "completed" or a FailureKind; `decision` says what was done next and why. An entry with `part`
    is the sum of others. `reused_from` names the attempt whose answer was taken, at no cost.
    Of a cache of the prompt, `stored_token_hours` were paid for, and `held_token_hours` reserved.
    """

    step: str
    number: int
    provider: str
    model: str
    state: AttemptState
    reserved: Decimal
    cost: Decimal = Decimal(0)
    served: Decimal = Decimal(0)
    usage: Usage | None = None
    over_bound: bool = False
    outcome: str = "running"
    error: str | None = None
    decision: str | None = None
    max_tokens: int = 0
    input_bound: int = 0
    queued_at: datetime | None = None
    started_at: datetime | None = None
    first_token_at: datetime | None = None
    ended_at: datetime | None = None
    response_id: str | None = None
    part: SlicePart | None = None
    reused_from: str | None = None
    stored_token_hours: int = 0
    held_token_hours: int = 0

    @property
    def calls(self) -> int:
        """How many calls the entry stands for."""
        return self.part.calls if self.part is not None else 1

    @property
    def id(self) -> str:
        """The attempt's name in ledgers, spools and summaries."""
        return f"{self.step}#{self.number}"


def attempt_shown(kind: str, attempts: Sequence[AttemptRecord]) -> int:
    """Return which attempt a step is at; of an agent's many calls none is another try."""
    if kind == "agent":
        return min(len(attempts), 1)
    return attempts[-1].number if attempts else 0


class StepResult(Slim):
    """What became of a step: seed 004's AgentResult. Times in seconds, cost in dollars."""

    agent_id: str
    status: AgentStatus = AgentStatus.PENDING
    output: Value | None = None
    error: str | None = None
    tokens_used: int = 0
    cost: Decimal = Decimal(0)
    execution_time: float = 0.0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    retry_count: int = 0
    metadata: dict[str, Json] = {}


class StepStatus(Slim):
    """A line of `status`: one step now.

    Of a `for_each` that has ended, `failed_items` of its `items` gave nothing.
    """

    name: str
    status: AgentStatus
    kind: str = "model"
    provider: str | None = None
    model: str | None = None
    attempt: int = 0
    tokens: int = 0
    cost: Decimal = Decimal(0)
    started_at: datetime | None = None
    completed_at: datetime | None = None
    note: str | None = None
    items: int = 0
    failed_items: int = 0


class Question(Frozen):
    """What a run asks a person: answered by the update `answer` with one of the choices."""

    step: str
    ask: str
    choices: tuple[str, ...]
    asked_at: datetime
    until: datetime | None = None


class RunStatus(Frozen):
    """Answer to the query `status`. `paused_for` says what a person has to do to let it go on.

    `budget_used` is the last mark of the budget that was passed: 0, 50, 80 or 100 percent;
    `uncertain` the "at most" part of `cost`.
    """

    run_id: str
    team: str
    status: WorkflowStatus
    steps: tuple[StepStatus, ...] = ()
    cost: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    budget: Decimal
    tokens: int = 0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: str | None = None
    paused_for: str | None = None
    budget_used: int = 0
    questions: tuple[Question, ...] = ()
    uncertain: Decimal = Decimal(0)


class RunCost(Frozen):
    """Answer to the query `cost`: the ledger. `uncertain` is the "at most" part of `cost`."""

    run_id: str
    budget: Decimal
    cost: Decimal
    served: Decimal
    uncertain: Decimal
    reserved: Decimal
    by_step: dict[str, Decimal] = {}
    attempts: tuple[AttemptRecord, ...] = ()


class RunResult(Frozen):
    """What a run's workflow returns: small, the rest is in the run artifact.

    `uncertain` is the "at most" part of `cost`.
    """

    run_id: str
    team: str
    status: WorkflowStatus
    outputs: dict[str, Value] = {}
    cost: Decimal = Decimal(0)
    tokens: int = 0
    error: str | None = None
    artifact: ArtifactRef | None = None
    uncertain: Decimal = Decimal(0)


class RecordQuery(Frozen):
    """Argument of the query `records`: which steps, by their place in the team's order."""

    start: int = 0
    count: int = 200


class RecordPage(Frozen):
    """Answer to the query `records`: some steps' results with all their attempts.

    `inputs` and `outputs` come with the first page.
    """

    results: tuple[StepResult, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    inputs: dict[str, Value] = {}
    outputs: dict[str, Value] = {}


class RunRecord(Frozen):
    """The run artifact: all that `status`, `result` and `bill` need when the server forgot.

    None of it passes through history: a local activity is given the whole; any other has it
    without inputs, outputs, the results of its `steps` and their attempts, and fetches those by
    query.
    """

    run_id: str
    team: str
    status: WorkflowStatus
    plan: ArtifactRef
    inputs: dict[str, Value] = {}
    outputs: dict[str, Value] = {}
    budget: Decimal
    cost: Decimal
    served: Decimal
    uncertain: Decimal
    tokens: int = 0
    error: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    steps: int = 0
    results: tuple[StepResult, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
