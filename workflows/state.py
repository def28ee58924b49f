"""All that a run knows: its graph, its ledger, its results. One object, owned by the workflow."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

from contracts.artifacts import Value
from contracts.plans import PlanHeader, StepNode
from contracts.runs import (
    AttemptRecord,
    Question,
    RunRequest,
    StepResult,
    step_of,
)
from contracts.sharing import SharingState
from contracts.slices import AnsweredSlices
from contracts.teams import AgentStatus, WorkflowStatus
from contracts.updates import Answer, Command
from rules import templates
from rules.attempts import Outcome, open_circuits
from rules.graph import Frontier, FrontierState
from rules.ledger import Ledger, LedgerState
from rules.plan_graph import graph_nodes
from workflows.money_waits import MoneyWaits
from workflows.parked import ParkedTurn
from workflows.sharer import Sharer

REMEMBERED = 1000
"""Commands whose request ids are known: a repetition of an older one is taken for a new one."""

CIRCUIT_MEMORY = 10
"""Endings remembered of each provider: more than a circuit ever asks for."""


class RunState:
    """The run's memory. Steps change it through the methods; queries read it."""

    def __init__(self, request: RunRequest, header: PlanHeader, nodes: list[StepNode]) -> None:
        self.request = request
        self.header = header
        self.nodes = {node.name: node for node in nodes}
        self.names = [node.name for node in nodes]
        self.guarded: dict[str, list[str]] = {}
        """By handler: the steps that it may have to catch."""
        for node in nodes:
            if node.handler is not None:
                self.guarded.setdefault(self.names[node.handler], []).append(node.name)
        self.frontier = Frontier(graph_nodes(nodes), header.allow_partial_completion)
        self.ledger = Ledger(request.budget or header.cost_budget)
        self.results = {name: StepResult(agent_id=name) for name in self.names}
        self.attempts: dict[str, AttemptRecord] = {}
        self._counts: dict[str, int] = {}
        self._units: dict[str, list[str]] = {}
        self.skipped: set[str] = set()
        self.left_out: dict[str, str] = {}
        """By step that is to be skipped though it was started: the reason."""
        self.questions: dict[str, Question] = {}
        self.answers: dict[str, Answer] = {}
        self.prompts: dict[str, str] = {}
        """By step: the templates that replaced those of the plan."""
        self.answered_items: dict[str, dict[int, StepResult]] = {}
        """By failed `for_each` step: the items that need not be asked again."""
        self.answered_slices: dict[str, AnsweredSlices] = {}
        """The same where the list was long."""
        self.turns_under_way: set[str] = set()
        """Units of agents with tools: steps, items."""
        self.parked: dict[str, ParkedTurn] = {}
        """Of those, the ones that wait for a new history."""
        self.parked_before: dict[str, ParkedTurn] = {}
        """Turns that the history before this one began."""
        self.mapping: dict[str, dict[int, StepResult]] = {}
        """By `for_each` step of an agent: the items that have ended."""
        self.may_move: Callable[[str], bool] = _stay
        """Whether a turn, by its unit, is to stop and wait for a new history."""
        self._planned: dict[str, StepNode] = {}
        self._commands: dict[str, None] = {}
        self.stopping = False
        self.moving = False
        self.paused = False
        self.pause_reason = ""
        self._endings: dict[str, list[Outcome]] = {}
        self.outputs: dict[str, Value] = {}
        self.status = WorkflowStatus.RUNNING
        self.forced: Literal["completed", "failed", "cancelled"] | None = None
        self.error: str | None = None
        self.money = MoneyWaits()
        self.started_at: datetime | None = None
        self.completed_at: datetime | None = None
        self.tokens = 0
        self.at_vendors = SharingState()
        self.sharing: Sharer | None = None
        """What agents share at their providers, where the team has anything of the kind."""

    @property
    def paused_for(self) -> str | None:
        """Why the run waits for money, if it does."""
        return self.money.latest

    def names_of(self, indexes: Iterable[int]) -> list[str]:
        """Return the names of steps given by their index in the plan."""
        return [self.names[index] for index in indexes]

    def members_of(self, node: StepNode) -> list[str]:
        """Return what is repeated with a step, each after what it needs of a round."""
        left, found = self.names_of(node.members), []
        while left:
            name = next((n for n in left if not self._needs(n) & set(left)), left[0])
            left.remove(name)
            found.append(name)
        return found

    def _needs(self, name: str) -> set[str]:
        node = self.nodes[name]
        optional = node.optional_dependencies if self.request.shape >= 4 else ()
        return set(self.names_of((*node.dependencies, *optional)))

    def value(self, name: str) -> Value | None:
        """Return what a completed step gave, or None."""
        result = self.results[name]
        return result.output if result.status is AgentStatus.COMPLETED else None

    def begin(self, name: str, now: datetime) -> None:
        """Mark a step as running."""
        self.frontier.start(name)
        self.results[name] = self.results[name].model_copy(
            update={"status": AgentStatus.RUNNING, "started_at": now}
        )

    def end(self, result: StepResult, now: datetime) -> None:
        """Record how a step ended, and skip what cannot run any more."""
        name = result.agent_id
        started = self.results[name].started_at
        cost, tokens = spent_on(self.attempts_of(name))
        self.results[name] = result.model_copy(
            update={
                "started_at": started,
                "completed_at": now,
                "execution_time": (now - started).total_seconds() if started else 0.0,
                "cost": cost,
                "tokens_used": tokens,
            }
        )
        for skip in self.frontier.finish(name, result.status):
            self.mark_skipped(skip.name, skip.reason, now)

    def skip(self, name: str, reason: str, now: datetime) -> None:
        """Skip a step that was about to run, and what needs it."""
        self.mark_skipped(name, reason, now)
        for skip in self.frontier.skip(name, reason):
            if skip.name != name:
                self.mark_skipped(skip.name, skip.reason, now)

    def reopen(self, name: str, now: datetime) -> None:
        """Let a failed step run again, and what was skipped because of it."""
        again, skips = self.frontier.reopen(name)
        for other in again:
            self.skipped.discard(other)
            self.results[other] = StepResult(agent_id=other)
        for skip in skips:
            self.mark_skipped(skip.name, skip.reason, now)

    def readable(self, name: str) -> set[str]:
        """Return the names that a step's prompt may read: inputs, its item, what it waits for.

        Of what is repeated, also the round before.
        """
        before: dict[str, None] = {}
        queue = [name]
        while queue:
            node = self.nodes[queue.pop()]
            for other in self.names_of((*node.dependencies, *node.optional_dependencies)):
                if other not in before:
                    before[other] = None
                    queue.append(other)
        node = self.nodes[name]
        rounds = [name, *self.names_of(node.members)] if node.until is not None else []
        item = [node.item] if node.item else []
        return {*before, *rounds, *self.request.inputs, *item}

    def edit_prompt(self, name: str, prompt: str) -> None:
        """Replace a step's prompt; its bound covers the old text too, which is not known here."""
        planned = self._planned.setdefault(name, self.nodes[name])
        template = templates.parse(prompt)
        read = [reference.name for reference in template.references]
        index = {other: number for number, other in enumerate(self.names)}
        self.prompts[name] = prompt
        self.answered_items.pop(name, None)
        self.answered_slices.pop(name, None)
        self.nodes[name] = planned.model_copy(
            update={
                "uses": tuple(index[other] for other in read if other in index),
                "uses_inputs": tuple(other for other in read if other in self.request.inputs),
                "item_uses": read.count(planned.item) if planned.item else 0,
                "prompt_bytes": planned.prompt_bytes + template.literal_bytes,
            }
        )

    def done_before(self, command: Command) -> bool:
        """Whether a command of this request id was carried out already."""
        return command.request_id in self._commands

    def first_time(self, command: Command) -> bool:
        """Remember a command; False where it was carried out before. Without an id it is new."""
        if self.done_before(command):
            return False
        if command.request_id:
            self._commands[command.request_id] = None
        while len(self._commands) > REMEMBERED:
            del self._commands[next(iter(self._commands))]
        return True

    def mark_skipped(self, name: str, reason: str, now: datetime) -> None:
        """Record a step that will not run; what it spent in rounds before stays its own."""
        cost, tokens = spent_on(self.attempts_of(name))
        self.skipped.add(name)
        self.results[name] = StepResult(
            agent_id=name,
            status=AgentStatus.CANCELLED,
            cost=cost,
            tokens_used=tokens,
            completed_at=now,
            metadata={"reason": reason},
        )

    def attempt_count(self, unit: str) -> int:
        """Return how many attempts a step, or one of its items, has had."""
        return self._counts.get(unit, 0)

    def attempts_of(self, name: str) -> list[AttemptRecord]:
        """Return a step's attempts in order, those of its items one after the other."""
        return [
            self.attempts[f"{unit}#{number}"]
            for unit in self._units.get(name, ())
            for number in range(1, self._counts[unit] + 1)
        ]

    def record(self, attempt: AttemptRecord) -> None:
        """Add an attempt, or replace what was known of it."""
        before = self.attempts.get(attempt.id)
        seen = before.usage.total_tokens if before and before.usage else 0
        self.tokens += (attempt.usage.total_tokens if attempt.usage else 0) - seen
        self.attempts[attempt.id] = attempt
        if attempt.step not in self._counts:
            self._units.setdefault(step_of(attempt.step), []).append(attempt.step)
        self._counts[attempt.step] = max(self.attempt_count(attempt.step), attempt.number)

    def hold(self, result: StepResult, now: datetime) -> None:
        """Record a round's result of a repeated step, for the others of its group to read."""
        name = result.agent_id
        started = self.results[name].started_at or now
        self.results[name] = result.model_copy(update={"started_at": started})

    def show_progress(self, name: str, note: str) -> None:
        """Say how far a step that runs is."""
        result = self.results[name]
        metadata = {**result.metadata, "progress": note}
        self.results[name] = result.model_copy(update={"metadata": metadata})

    def note_ending(self, provider: str, kind: str | None, now: datetime) -> None:
        """Remember how a call to a provider ended, for its circuit."""
        endings = self._endings.setdefault(provider, [])
        endings.append(Outcome(at=now.timestamp(), kind=kind))
        del endings[:-CIRCUIT_MEMORY]

    @property
    def endings(self) -> dict[str, tuple[tuple[float, str | None], ...]]:
        """How the last calls to each provider ended, as data: (time, kind)."""
        return {
            provider: tuple((ending.at, ending.kind) for ending in endings)
            for provider, endings in self._endings.items()
        }

    @endings.setter
    def endings(self, endings: Mapping[str, Iterable[tuple[float, str | None]]]) -> None:
        self._endings = {
            provider: [Outcome(at=at, kind=kind) for at, kind in known]
            for provider, known in endings.items()
        }

    @property
    def commands(self) -> tuple[str, ...]:
        """The request ids of the last commands, oldest first."""
        return tuple(self._commands)

    @commands.setter
    def commands(self, request_ids: Iterable[str]) -> None:
        self._commands = dict.fromkeys(request_ids)

    def take_over(self, ledger: LedgerState, frontier: FrontierState) -> None:
        """Go on with the account and the graph of the history before."""
        self.ledger = Ledger.from_state(ledger)
        self.frontier.restore(frontier)

    def failing_providers(self, now: datetime) -> frozenset[str]:
        """Return the providers that are to be passed over for a while."""
        return open_circuits(self._endings, now.timestamp())


def spent_on(attempts: Sequence[AttemptRecord]) -> tuple[Decimal, int]:
    """Return the dollars and the tokens of some attempts."""
    tokens = sum(attempt.usage.total_tokens for attempt in attempts if attempt.usage)
    return sum((attempt.cost for attempt in attempts), Decimal(0)), tokens


def _stay(_: str) -> bool:
    return False
