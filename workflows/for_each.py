"""`for_each`: a model step once per item of a list, a bounded number at a time.

Each item is a run of the step of its own, with its own attempts and its own `cost_limit`. The
results keep the order of the items; failed ones are left out of the output, counted in
`metadata.failed`, and the first of them listed in `metadata.failed_items`. Where `min_success` can
no longer be reached nothing further is started.
Lists of more than 500 items are cut into slices, which child runs work on (`workflows.slices`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from temporalio import workflow
from temporalio.exceptions import ActivityError

from contracts.activities import ListFacts, RunActivities
from contracts.artifacts import Value
from contracts.base import Json
from contracts.calls import ItemBinding
from contracts.plans import StepNode
from contracts.runs import StepResult
from contracts.slices import MOST_ITEMS, SLICE_ITEMS
from contracts.teams import AgentStatus
from rules import conditions, templates
from workflows import gathering, reading
from workflows.model_step import Item
from workflows.state import RunState

MOST_AT_ONCE = 2000
"""Items in histories of 0.1.0, which ran them all in one workflow and refused more."""

LISTED_FAILURES = 50

RunItem = Callable[[Item], Awaitable[StepResult]]
RunSlices = Callable[[ListFacts], Awaitable[StepResult]]


class ForEachRun:
    """One `for_each` step. `run_item` runs one item; it absorbs a cancellation of its task.

    `run_slices` runs a list that is too long to be the work of one workflow.
    """

    def __init__(
        self, state: RunState, node: StepNode, run_item: RunItem, run_slices: RunSlices
    ) -> None:
        self._state, self._node = state, node
        self._run_item, self._run_slices = run_item, run_slices
        self._items: list[Item] = []
        self._results: dict[int, StepResult] = {}
        self._next = 0

    async def run(self) -> StepResult:
        """Return the step's result. Raises ConditionError where there is no list."""
        listed = await self._listed()
        if isinstance(listed, ListFacts):
            return await self._run_slices(listed)
        self._items = listed
        self._results = self._state.answered_items.pop(self._node.name, {})
        if self._node.kind == "agent":
            self._state.mapping[self._node.name] = self._results
        count = min(self._node.max_parallel, len(self._items))
        runners = [asyncio.create_task(self._take_items()) for _ in range(count)]
        cancelled = False
        try:
            await workflow.wait_condition(lambda: all(runner.done() for runner in runners))
        except asyncio.CancelledError:
            cancelled = True
            for runner in runners:
                runner.cancel()
            await workflow.wait_condition(lambda: all(runner.done() for runner in runners))
        for runner in runners:
            if not runner.cancelled():
                runner.result()
        if cancelled:
            return StepResult(
                agent_id=self._node.name, status=AgentStatus.CANCELLED, error="cancelled"
            )
        self._state.mapping.pop(self._node.name, None)
        return await self._result()

    async def _take_items(self) -> None:
        while self._next < len(self._items) and self._can_succeed():
            number = self._next
            self._next += 1
            if number in self._results:
                continue
            self._results[number] = await self._run_item(self._items[number])
            done = f"{len(self._results):,} of {len(self._items):,} items"
            self._state.show_progress(self._node.name, done)
            if self._results[number].status is AgentStatus.CANCELLED:
                return

    def _failed(self) -> list[int]:
        return [n for n, r in self._results.items() if r.status is not AgentStatus.COMPLETED]

    def _can_succeed(self) -> bool:
        possible = len(self._items) - len(self._failed())
        return possible >= self._node.min_success * len(self._items)

    async def _listed(self) -> list[Item] | ListFacts:
        """Return the items: inline where the list is small, else by their place in it.

        Of a list that was cut into slices return what is known of it.
        """
        node, state = self._node, self._state
        source = node.for_each or ""
        value = await reading.evaluate(
            state, source, state.names_of(node.for_each_uses), node.for_each_inputs
        )
        if value.has_inline:
            if not isinstance(value.inline, list):
                raise conditions.ConditionError(f"for_each.in: {source} is no list")
            if len(value.inline) <= SLICE_ITEMS or not self._cuts_inline():
                return _few(
                    Item(f"{node.name}[{number}]", _size(item), inline=_inline(item))
                    for number, item in enumerate(value.inline)
                )
        facts = await self._measured(value)
        if facts.count > SLICE_ITEMS:
            return _sliced(facts)
        name, ref = node.item or "", value.ref
        assert ref is not None
        return _few(
            Item(
                f"{node.name}[{number}]",
                size,
                stored=ItemBinding(name=name, items=ref, index=number),
            )
            for number, size in enumerate(facts.sizes)
        )

    def _cuts_inline(self) -> bool:
        """Whether a long list is cut though it is at hand: histories of the beginning did not."""
        return self._state.request.shape >= 1 or workflow.patched("for-each-slices")

    async def _measured(self, value: Value) -> ListFacts:
        try:
            return await workflow.execute_activity_method(
                RunActivities.measure_list,
                value,
                start_to_close_timeout=reading.LIGHT,
                retry_policy=reading.STORE_RETRIES,
                summary=f"{self._node.name}: items",
            )
        except ActivityError as error:
            raise conditions.ConditionError(f"for_each.in: {error.cause}") from None

    async def _result(self) -> StepResult:
        failed = sorted(self._failed())
        metadata: dict[str, Json] = {"items": len(self._items)}
        if failed:
            metadata["failed"] = len(failed)
            metadata["failed_items"] = [
                {"index": n, "error": (self._results[n].error or "")[:200]}
                for n in failed[:LISTED_FAILURES]
            ]
        retries = sum(result.retry_count for result in self._results.values())
        if not self._can_succeed():
            return self._below(failed, metadata, retries)
        return StepResult(
            agent_id=self._node.name,
            status=AgentStatus.COMPLETED,
            output=await gathering.one_list(
                gathering.answers(result for _, result in sorted(self._results.items())),
                f"{self._node.name}: results",
            ),
            retry_count=retries,
            metadata=metadata,
        )

    def _below(self, failed: list[int], metadata: dict[str, Json], retries: int) -> StepResult:
        """Return the failure of a step that too many items of failed.

        Run again, it asks only for the answers that it does not have.
        """
        self._state.answered_items[self._node.name] = {
            number: result for number, result in self._results.items() if number not in failed
        }
        statuses = {self._results[n].status for n in failed}
        status = statuses.pop() if len(statuses) == 1 else AgentStatus.FAILED
        first = self._results[failed[0]].error
        error = (
            f"{len(failed)} of {len(self._items)} items failed, min_success is "
            f"{self._node.min_success:g}; item {failed[0]}: {first}"
        )
        return StepResult(
            agent_id=self._node.name,
            status=status,
            error=error,
            retry_count=retries,
            metadata={**metadata, "reason": error},
        )


def _few(items: Iterable[Item]) -> list[Item]:
    """Return items that are the work of one workflow. Raises ConditionError for too many."""
    listed = list(items)
    if len(listed) > MOST_AT_ONCE:
        raise conditions.ConditionError(
            f"for_each.in: {len(listed):,} items, and {MOST_AT_ONCE:,} are the most"
        )
    return listed


def _sliced(facts: ListFacts) -> ListFacts:
    """Return what is known of a long list. Raises ConditionError for one that is too long."""
    if facts.count > MOST_ITEMS:
        raise conditions.ConditionError(
            f"for_each.in: {facts.count:,} items, and {MOST_ITEMS:,} are the most"
        )
    return facts


def _size(item: Json) -> int:
    return len(templates.text_of(item).encode())


def _inline(item: Json) -> Value:
    return Value(kind="json", inline=item, has_inline=True, size_bytes=_size(item))
