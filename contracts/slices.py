"""Long lists of a `for_each`: cut into slices, each the work of a child run of its own.

A list of more than `SLICE_ITEMS` items is stored in equal slices of no more, beside an index that
names them. The run starts a child (`callboard.items`) for each slice, a few at a time. Two signals
go between them: the run's `control` says what a child may do, the child's `report` what it did
and what it asks for. Both hold totals, never differences, so that one may be lost in the next.
"""

from decimal import Decimal

from contracts.artifacts import ArtifactRef, Bindings, Value
from contracts.base import Frozen, Slim
from contracts.calls import SharedUse
from contracts.messages import Usage
from contracts.plans import StepNode
from contracts.runs import StepResult

ITEMS_WORKFLOW = "callboard.items"
"""The slice workflow's type, as Temporal knows it."""

CONTROL_SIGNAL = "control"

SLICE_ITEMS = 500
"""Items of one child run: some 3,000 events and 2 MB of history, a tenth of the server's limits,
which leaves room for the retries. A list of no more is the work of the run itself."""

MOST_ITEMS = 100_000
"""Items of one `for_each`: 200 slices, some 5,000 events in the run's own history."""

MOST_EVENTS = 15_000
"""Of a child's history, before it hands its rest back: far below the server's 51,200."""

ANSWERS_PAGE = 32
"""Answered items that a child run is told of at once: less than 10 kB."""

LISTED_FAILURES = 20
"""Failures of a slice that its result names; its record has all of them."""


class StoredSlice(Slim):
    """A slice of a stored list: its items, as a list of their own, and the first one's place.

    `sizes` are bytes, item by item, as they are rendered.
    """

    items: ArtifactRef
    start: int
    sizes: tuple[int, ...]


class StoredSlices(Frozen):
    """The index artifact of a long list."""

    slices: tuple[StoredSlice, ...]


class SliceQuery(Frozen):
    """Asks for one slice of a long list."""

    slices: ArtifactRef
    number: int


class SliceControl(Frozen):
    """What a child run may do from now on; a higher `serial` replaces a lower one.

    `slots` bounds its calls in flight. `grant` dollars are its to spend from the moment of its
    ask number `grants` on, in place of what was left of the grant before; `whole` says that
    nothing more is to be had before `budget`, the run's, is raised. `refused` answers the ask
    with a reason instead.
    """

    serial: int = 0
    paused: bool = False
    slots: int = 1
    grants: int = 0
    grant: Decimal = Decimal(0)
    whole: bool = False
    refused: str | None = None
    budget: Decimal = Decimal(0)


class SliceRequest(Frozen):
    """Starts the child run of a slice, or of the rest of one from item `skip` on.

    `run_id` is the run whose items they are: spools and calls are named after it. `unit` names
    the child in the run's ledger. `node` is the step as if it stood alone: its `prompt_bytes` cover
    the values that the prompt reads beside the item, which are the `bindings`. `prompt` replaces
    the plan's. `shared` is what the run has at the providers, by candidate. Attempts are numbered
    from `first_attempt` + 1. Items that one of the `answered` records has an answer of are not
    asked again. After `may_fail` + 1 failures the child stops; every
    `report_failures` ones it says so. A history of `most_events` starts no further items: another
    child has the rest.
    """

    run_id: str
    team: str
    unit: str
    plan: ArtifactRef
    node: StepNode
    prompt: str | None = None
    slices: ArtifactRef
    number: int
    skip: int = 0
    bindings: Bindings = Bindings()
    shared: dict[int, SharedUse] = {}
    first_attempt: int = 0
    answered: tuple[ArtifactRef, ...] = ()
    most_slots: int = 1
    may_fail: int = 0
    report_failures: int = 1
    most_events: int = MOST_EVENTS
    control: SliceControl = SliceControl()


class SliceReport(Frozen):
    """What a child run has done so far, in all. `child` is its workflow id. Dollars.

    `asks` counts its asks for money: with a new one nothing is in flight, `counted` is what the
    grants so far cost, and `need` is wanted for the next call, `least` at the very least; `call`
    says which.
    """

    child: str
    done: int = 0
    failed: int = 0
    asks: int = 0
    counted: Decimal = Decimal(0)
    served: Decimal = Decimal(0)
    need: Decimal = Decimal(0)
    least: Decimal = Decimal(0)
    call: str = ""


class ItemFailure(Frozen):
    """An item that failed, by its place in the whole list."""

    index: int
    error: str


class SliceResult(Frozen):
    """What a child run returns, cancelled or not: small, whatever the slice.

    `taken` items were begun; fewer than there are where the history grew too long, the slice
    cannot succeed any more, or it was `cancelled`. `failed` counts by status. `outputs` is the
    list of the answers, in order; `record` a stored RunRecord with a result for each item and
    all attempts. `most_attempts` is the highest number that an attempt had. `error` says why the
    answers could not be kept.
    """

    taken: int
    completed: int = 0
    failed: dict[str, int] = {}
    failures: tuple[ItemFailure, ...] = ()
    outputs: Value | None = None
    counted: Decimal = Decimal(0)
    served: Decimal = Decimal(0)
    usage: Usage = Usage()
    retries: int = 0
    calls: int = 0
    most_attempts: int = 0
    record: ArtifactRef | None = None
    cancelled: bool = False
    error: str | None = None

    @property
    def whole(self) -> bool:
        """Whether every item that was begun has its answer, and the answers were stored."""
        kept = self.outputs is not None and self.error is None
        return kept and not self.failed and not self.cancelled


class AnsweredSlices(Frozen):
    """What a long list came to that fell short, for when its step is run again.

    `slices` is the list, `results` are by the place of their first item.
    """

    slices: ArtifactRef
    results: dict[int, SliceResult] = {}


class AnswersQuery(Frozen):
    """Asks for the items that a slice's record has an answer of, `start` of them left out."""

    record: ArtifactRef
    start: int = 0
    count: int = ANSWERS_PAGE


class Answers(Frozen):
    """Items that have their answer. `more`: there are further ones."""

    results: tuple[StepResult, ...] = ()
    more: bool = False


def report_signal(step: str) -> str:
    """Return the signal by which the child runs of a step report to their run."""
    return f"slice_report:{step}"
