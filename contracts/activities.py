"""Typed stubs of all activities: what workflows call and `activities/` implements.

An implementation subclasses the stub and repeats the decorator with the same name.
"""

from abc import ABC, abstractmethod
from decimal import Decimal
from typing import Literal

from temporalio import activity

from contracts.artifacts import ArtifactRef, Bindings, Value
from contracts.base import Frozen
from contracts.calls import ItemBinding, ModelCall, ModelReply
from contracts.plans import AgentHeader, Candidate, PlanPage
from contracts.runs import RunRecord
from contracts.slices import Answers, AnswersQuery, SliceQuery, StoredSlice


class PageRequest(Frozen):
    """Asks for one page of a plan's graph."""

    plan: ArtifactRef
    number: int


class BindingsPage(Frozen):
    """Values to be stored as a page of bindings."""

    values: dict[str, Value]


class StepFact(Frozen):
    """What an expression may read of a step: `agents.NAME.{status, output, cost, attempts}`."""

    status: str
    cost: Decimal = Decimal(0)
    attempts: int = 0
    output: Value | None = None


class EvaluateCall(Frozen):
    """An expression that is too large for the workflow: evaluated in a process of its own."""

    expression: str
    inputs: Bindings = Bindings()
    agents: dict[str, StepFact] = {}
    run_cost: Decimal = Decimal(0)
    run_elapsed: float = 0.0
    timeout: float = 10.0


class RenderCall(Frozen):
    """Renders templates of the plan: a step's own (`ask`, `inputs`), or the team's `outputs`.

    Of an `agent` step its `prompt`, with the `item` that it is mapped over; or the `prompt` that
    replaces the plan's.
    """

    plan: ArtifactRef
    bindings: Bindings = Bindings()
    step: str | None = None
    item: ItemBinding | None = None
    prompt: str | None = None


class ListFacts(Frozen):
    """A stored list: how many items it has, and each one's size in bytes as it is rendered.

    Of a long one (contracts.slices) no sizes but the bounds of them, and the index of the slices
    that it was stored in.
    """

    sizes: tuple[int, ...]
    count: int = 0
    largest: int = 0
    smallest: int = 0
    slices: ArtifactRef | None = None


class CarriedState(Frozen):
    """All that a run knows, as text, for its next history. Fetched by query where it is None."""

    run_id: str
    text: str | None = None


class StateRequest(Frozen):
    """Asks for one piece of what a run's history before had stored."""

    state: ArtifactRef
    number: int


class StatePiece(Frozen):
    """A piece of the compressed text, in base64; `pieces` is how many there are."""

    data: str
    pieces: int


class GatherCall(Frozen):
    """Makes one value of many: a list in the order of their names, or an object by name.

    "chain" makes one list of lists, in the order of their names.
    """

    items: Bindings
    form: Literal["list", "object", "chain"] = "list"


class RenderReply(Frozen):
    """The rendered values by name, each stored."""

    outputs: dict[str, Value]


class WaitingCall(Frozen):
    """An attempt, by its name, that waits for its candidate's account to have room."""

    name: str
    candidate: Candidate


class ModelActivities(ABC):
    """One streamed provider call. Served on the provider's own queue."""

    @activity.defn(name="call_model")
    @abstractmethod
    async def call_model(self, call: ModelCall) -> ModelReply:
        """Make one attempt; see activities.models for its duties."""

    @activity.defn(name="count_tokens")
    @abstractmethod
    async def count_tokens(self, call: ModelCall) -> int:
        """Return the prompt's tokens as the provider counts them, without charge."""

    @activity.defn(name="give_back")
    @abstractmethod
    async def give_back(self, call: WaitingCall) -> None:
        """Give up the turn under its account's limits that a call waits for, if it does."""


class RunActivities(ABC):
    """Light work for a run. Served on the workflow queue; safe to repeat."""

    @activity.defn(name="load_plan")
    @abstractmethod
    async def load_plan(self, request: PageRequest) -> PlanPage:
        """Return one page of the plan's graph, at most 12 kB of JSON."""

    @activity.defn(name="load_agent")
    @abstractmethod
    async def load_agent(self, ref: ArtifactRef) -> AgentHeader:
        """Return a stored agent's header."""

    @activity.defn(name="store_bindings")
    @abstractmethod
    async def store_bindings(self, page: BindingsPage) -> ArtifactRef:
        """Store values that are too many to travel."""

    @activity.defn(name="evaluate")
    @abstractmethod
    async def evaluate(self, call: EvaluateCall) -> Value:
        """Evaluate an expression over stored values, and store the result."""

    @activity.defn(name="render")
    @abstractmethod
    async def render(self, call: RenderCall) -> RenderReply:
        """Render and store what the call asks for."""

    @activity.defn(name="measure_list")
    @abstractmethod
    async def measure_list(self, value: Value) -> ListFacts:
        """Return what the workflow must know of a list that it does not hold itself."""

    @activity.defn(name="gather")
    @abstractmethod
    async def gather(self, call: GatherCall) -> Value:
        """Store many values as one."""

    @activity.defn(name="store_record")
    @abstractmethod
    async def store_record(self, record: RunRecord) -> ArtifactRef:
        """Complete the run artifact by query, store it, and note it under the run's id."""

    @activity.defn(name="store_state")
    @abstractmethod
    async def store_state(self, state: CarriedState) -> ArtifactRef:
        """Store what a run knows, for its next history."""

    @activity.defn(name="load_state")
    @abstractmethod
    async def load_state(self, request: StateRequest) -> StatePiece:
        """Return a piece of what `store_state` stored."""


class SliceActivities(ABC):
    """Light work for the child runs of long lists. Served on the workflow queue; safe to repeat."""

    @activity.defn(name="load_slice")
    @abstractmethod
    async def load_slice(self, query: SliceQuery) -> StoredSlice:
        """Return one slice of a stored list, by reference."""

    @activity.defn(name="load_answers")
    @abstractmethod
    async def load_answers(self, query: AnswersQuery) -> Answers:
        """Return some items that an earlier child run has answered; none of a lost record."""

    @activity.defn(name="store_slice")
    @abstractmethod
    async def store_slice(self, record: RunRecord) -> ArtifactRef:
        """Complete a slice's record by query where it is not whole, and store it."""
