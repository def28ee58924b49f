"""Commands to a run: updates whose validators refuse without leaving an event.

Each is one command however often it is sent: by its `request_id`, remembered for the last
REMEMBERED commands, and where it has none by what it would change.
"""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from contracts.money import misfit
from contracts.plans import StepNode
from contracts.runs import Question, StepResult, outermost, step_of
from contracts.teams import AgentStatus
from contracts.updates import (
    MOST_PROMPT_BYTES,
    RUN_NOT_READY,
    Accepted,
    Answer,
    BudgetRaise,
    BudgetView,
    PauseRequest,
    PromptEdit,
    RetryRequest,
    SkipRequest,
)
from rules import graph, templates
from rules.nearest import suggestion
from workflows.reserving import Reserver
from workflows.state import RunState
from workflows.steps import WORKING_KINDS, Steps

UNCHANGED = Accepted(status="unchanged")


class Control:
    """The updates of a run's workflow."""

    _state: RunState | None
    _steps: Steps
    _tasks: dict[str, asyncio.Task[StepResult]]
    _reserver: Reserver
    _changed: bool

    @workflow.update(name="raise_budget")
    def raise_budget(self, raised: BudgetRaise) -> BudgetView:
        """Raise the run's budget; what waits for money goes on."""
        state = self._running()
        if state.first_time(raised) and raised.to > state.ledger.cap:
            self._reserver.raise_cap(raised.to)
        return BudgetView(budget=state.ledger.cap, cost=state.ledger.counted)

    @raise_budget.validator
    def _check_raise(self, raised: BudgetRaise) -> None:
        state = self._running()
        if not state.done_before(raised) and raised.to < state.ledger.cap:
            raise ValueError(f"the budget is {state.ledger.cap} already; it can only be raised")
        if (wrong := misfit(raised.to)) is not None:
            raise ValueError(f"the budget {wrong}")
        granted = state.request.budget
        if granted is not None and raised.to > granted:
            raise ValueError(
                f"the run is a step of another, which gave it {granted} dollars: raise the budget "
                f"of {outermost(state.request.run_id)}"
            )

    @workflow.update(name="answer")
    def answer(self, answer: Answer) -> Accepted:
        """Answer a question of the run; the same answer twice is one."""
        state = self._running()
        question = _asked_by(state, answer.step)
        if not state.first_time(answer) or question is None:
            return UNCHANGED
        state.answers[question.step] = answer
        return Accepted()

    @answer.validator
    def _check_answer(self, answer: Answer) -> None:
        state = self._running()
        question = _asked_by(state, answer.step)
        if state.done_before(answer) or (question is None and _answered(state, answer)):
            return
        if question is None:
            asked = ", ".join(state.questions) or "nothing"
            raise ValueError(f"{answer.step} asks nothing now (waiting: {asked})")
        if answer.choice not in question.choices:
            raise ValueError(
                f'"{answer.choice}" is no choice of {answer.step}: {", ".join(question.choices)}'
            )

    @workflow.update(name="pause")
    def pause(self, request: PauseRequest) -> Accepted:
        """Start no further model call until resumed; those handed out go on.

        A call that waits for its turn under its account's limits is handed out: it is made when
        it is due.
        """
        state = self._running()
        if not state.first_time(request) or state.paused == request.paused:
            return UNCHANGED
        state.paused, state.pause_reason = request.paused, request.reason
        self._steps.slots.open = not request.paused
        self._steps.slots.admit()
        self._changed = True
        return Accepted()

    @pause.validator
    def _check_pause(self, request: PauseRequest) -> None:
        self._running()

    @workflow.update(name="skip")
    def skip(self, request: SkipRequest) -> Accepted:
        """Leave out an agent that has asked no model yet, and what needs it."""
        state, name = self._running(), request.step
        if not state.first_time(request) or name in state.skipped or name in state.left_out:
            return UNCHANGED
        reason = f"skipped: by request{f': {request.reason}' if request.reason else ''}"
        if name in self._tasks:
            state.left_out[name] = reason
            self._tasks[name].cancel()
        else:
            state.skip(name, reason, workflow.now())
        self._changed = True
        return Accepted()

    @skip.validator
    def _check_skip(self, request: SkipRequest) -> None:
        state = self._running()
        node = self._node(state, request.step)
        status = state.results[node.name].status
        if node.name in state.skipped or state.done_before(request):
            return
        self._check_alone(state, node)
        if status is not AgentStatus.PENDING and not self._only_waits(state, node):
            raise ValueError(f"{node.name} cannot be skipped any more: it is {status.value}")

    @workflow.update(name="retry")
    def retry(self, request: RetryRequest) -> Accepted:
        """Run a failed agent again, and what was skipped because of it."""
        state = self._running()
        if not state.first_time(request):
            return UNCHANGED
        state.reopen(request.step, workflow.now())
        self._changed = True
        return Accepted()

    @retry.validator
    def _check_retry(self, request: RetryRequest) -> None:
        state = self._running()
        node = self._node(state, request.step)
        if not state.done_before(request):
            self._check_failed(state, node)

    @workflow.update(name="edit_prompt")
    def edit_prompt(self, edit: PromptEdit) -> Accepted:
        """Give an agent another prompt; one that has failed runs again with it."""
        state = self._running()
        if not state.first_time(edit):
            return UNCHANGED
        state.edit_prompt(edit.step, edit.prompt)
        if state.results[edit.step].status in graph.FAILURES:
            state.reopen(edit.step, workflow.now())
            self._changed = True
        return Accepted()

    @edit_prompt.validator
    def _check_edit(self, edit: PromptEdit) -> None:
        state = self._running()
        node = self._node(state, edit.step)
        if state.done_before(edit):
            return
        status = state.results[node.name].status
        if node.kind not in ("model", "agent"):
            raise ValueError(f"{node.name} has no prompt: it is a step of kind {node.kind}")
        if node.name in state.skipped or status not in (AgentStatus.PENDING, *graph.FAILURES):
            raise ValueError(f"{node.name} cannot be given a prompt any more: it is {status.value}")
        if status is not AgentStatus.PENDING:
            self._check_failed(state, node)
        size = len(edit.prompt.encode())
        if size > MOST_PROMPT_BYTES:
            raise ValueError(
                f"the prompt has {size:,} bytes, {MOST_PROMPT_BYTES:,} at most: "
                "put what is longer into an input"
            )
        try:
            templates.parse(edit.prompt, state.readable(node.name))
        except templates.TemplateError as error:
            raise ValueError(f"character {error.position + 1} of the prompt: {error}") from None

    def _check_failed(self, state: RunState, node: StepNode) -> None:
        """Raise unless a step has failed and nothing has gone on from its failure."""
        status = state.results[node.name].status
        if status not in graph.FAILURES:
            raise ValueError(f"{node.name} has not failed: it is {status.value}")
        self._check_alone(state, node)
        if node.handler is not None:
            handler = state.names[node.handler]
            if state.results[handler].status is not AgentStatus.PENDING:
                raise ValueError(f"{handler} has taken care of the failure of {node.name} already")

    def _check_alone(self, state: RunState, node: StepNode) -> None:
        """Raise for a step that is repeated with another, whose rounds it belongs to."""
        for other in state.nodes.values():
            if node.name in state.names_of(other.members):
                why = "only that can be, before its first round or once it has failed itself"
                raise ValueError(f"{node.name} is repeated with {other.name}: {why}")

    def _only_waits(self, state: RunState, node: StepNode) -> bool:
        """Whether a step was started and has sent no call: it waits for money, or for a slot."""
        began = node.kind in WORKING_KINDS and node.name in self._tasks
        return began and not state.attempts_of(node.name)

    def _node(self, state: RunState, name: str) -> StepNode:
        """Return a step. Raises ValueError with the nearest name where there is none."""
        if name not in state.nodes:
            said = f'no step named "{name}".{suggestion(name, state.names)}'
            raise ValueError(said.removesuffix("."))
        return state.nodes[name]

    def _running(self) -> RunState:
        """Return the state of a run that can be told something."""
        if self._state is None or self._state.moving:
            raise ApplicationError(
                "the run is being loaded: try again in a moment", type=RUN_NOT_READY
            )
        if self._state.completed_at is not None or self._state.stopping:
            ended = "has ended" if self._state.completed_at else "is ending"
            raise ValueError(f"the run {ended} ({self._state.status.value})")
        return self._state


def _asked_by(state: RunState, name: str) -> Question | None:
    """Return the question of that name, or the first that a tool of that agent asks."""
    own = (q for key, q in state.questions.items() if step_of(key) == name)
    return state.questions.get(name) or next(own, None)


def _answered(state: RunState, answer: Answer) -> bool:
    """Whether a question was answered so before, whoever's command that was."""
    before = state.answers.get(answer.step)
    return before is not None and before == answer.model_copy(
        update={"request_id": before.request_id}
    )
