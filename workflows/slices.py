"""A long `for_each`: slices of the list, each the work of a child run, a few at a time.

Promises: the same as for a short list. Results keep the order of the items; no more than
`max_parallel` calls, of those that the run may have, are in flight over all slices together;
`min_success` holds for the whole list, and once it cannot be reached the children in flight are
stopped and settled. How the budget is shared is in `workflows.slice_child`.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from temporalio import workflow

from contracts.activities import ListFacts
from contracts.artifacts import ArtifactRef, Bindings, Value
from contracts.base import Json
from contracts.calls import SharedUse
from contracts.plans import StepNode
from contracts.runs import StepResult
from contracts.slices import (
    LISTED_FAILURES,
    SLICE_ITEMS,
    AnsweredSlices,
    ItemFailure,
    SliceControl,
    SliceReport,
    SliceRequest,
    SliceResult,
    report_signal,
)
from contracts.teams import AgentStatus
from rules import bounds, prices, slicing
from rules.graph import FAILURES
from workflows import gathering, reading
from workflows.reserving import Reserver, Unaffordable
from workflows.slice_child import SliceChild, SliceLost
from workflows.slots import Slots
from workflows.state import RunState

LISTED = 50
"""Failures that the step's result names."""

WORKING = frozenset({AgentStatus.PENDING, AgentStatus.RUNNING})


@dataclass(frozen=True)
class Work:
    """A slice, or the rest of one: its number, and the places of its items in the list."""

    number: int
    places: range
    skip: int = 0


class SlicedRun:
    """One `for_each` step over a stored list in slices."""

    def __init__(
        self, state: RunState, node: StepNode, reserver: Reserver, slots: Slots, facts: ListFacts
    ) -> None:
        assert facts.slices is not None
        self._state, self._reserver, self._slots = state, reserver, slots
        self._node, self._count = node, facts.count
        self._largest, self._smallest = facts.largest, facts.smallest
        self._slices: ArtifactRef = facts.slices
        cut = slicing.cut(facts.count, SLICE_ITEMS)
        self._works = deque(Work(number, places) for number, places in enumerate(cut))
        self._width = min(node.max_parallel, state.header.max_parallel_agents)
        self._runners = slicing.children(len(cut), self._width)
        self._lent = [0] * self._runners
        self._live: dict[int, SliceChild] = {}
        """By runner, as `_lent` is."""
        self._results: dict[int, SliceResult] = {}
        self._bindings = Bindings()
        self._lent_uses: dict[int, SharedUse] = {}
        self._earlier: dict[int, SliceResult] = {}
        """What is known of slices that fell short before, by the place of their first item."""
        self._alone = _alone(state, node)
        self._first_attempt = max(
            (a.part.most_attempts for a in state.attempts_of(node.name) if a.part), default=0
        )
        needs = {name: _needs(state, name) for name in state.names}
        self._beside = [
            name
            for name in state.names
            if name not in slicing.after(node.name, needs) | {node.name}
            and state.nodes[name].kind == "model"
        ]

    async def run(self) -> StepResult:
        """Return the step's result. Cancelled, it settles what is in flight and returns too."""
        state, node = self._state, self._node
        self._bindings = await reading.bindings_of(
            state, state.names_of(node.uses), node.uses_inputs
        )
        if state.sharing is not None and (node.uploads or node.shared):
            self._lent_uses = await state.sharing.lend(node)
        earlier = state.answered_slices.pop(node.name, None)
        if earlier and earlier.slices == self._slices and workflow.patched("asks-what-it-lacks"):
            self._take_over(earlier.results)
        workflow.set_signal_handler(report_signal(node.name), self._heard)
        self._show_progress()
        runners = [asyncio.create_task(self._take_slices(n)) for n in range(self._runners)]
        cancelled = await self._until_done(runners)
        for runner in runners:
            if not runner.cancelled():
                runner.result()
        if cancelled or state.stopping:
            return StepResult(agent_id=node.name, status=AgentStatus.CANCELLED, error="cancelled")
        return await self._result()

    def _take_over(self, results: Mapping[int, SliceResult]) -> None:
        """Keep the slices that were answered whole, and what is known of the others."""
        left: list[Work] = []
        for work in self._works:
            own = {start: result for start, result in results.items() if start in work.places}
            whole = all(result.whole for result in own.values())
            if whole and sum(result.taken for result in own.values()) == len(work.places):
                self._results.update(own)
                continue
            left.append(work)
            self._earlier.update({n: r for n, r in own.items() if r.record is not None})
        self._works = deque(left)

    async def _until_done(self, runners: list[asyncio.Task[None]]) -> bool:
        """Wait for all slices, or stop them where no success is left. True if cancelled."""

        def done() -> bool:
            return all(runner.done() for runner in runners)

        cancelled = False
        try:
            await workflow.wait_condition(lambda: done() or not self._can_succeed())
        except asyncio.CancelledError:
            cancelled = True
        if not done():
            for child in self._live.values():
                child.cancel()
            for runner in runners:
                runner.cancel()
        while not done():
            try:
                await workflow.wait_condition(done)
            except asyncio.CancelledError:
                cancelled = True
        return cancelled

    async def _take_slices(self, runner: int) -> None:
        """Run one slice after the other, each with as many slots as there are just then."""
        while self._works and self._goes_on():
            await workflow.wait_condition(lambda: self._unlent() > 0)
            share = slicing.share(self._width, self._runners, runner)
            self._lent[runner] = min(share, self._unlent())
            try:
                most = self._lent[runner]
                count = await self._slots.take(self._node.priority, most, self._leave())
            except asyncio.CancelledError:
                self._lent[runner] = 0
                raise
            self._lent[runner] = count
            try:
                if self._works and self._goes_on():
                    await self._run_slice(runner, self._works.popleft())
            finally:
                self._slots.give(self._lent[runner])
                self._lent[runner] = 0
                self._grow()

    async def _run_slice(self, runner: int, work: Work) -> None:
        """Run a slice, and put back what it leaves of it."""
        places = work.places[work.skip :]
        child = SliceChild(
            self._state,
            self._reserver,
            self._request(work, self._lent[runner]),
            slicing.total(self._most(self._largest), len(places)),
            self._idle,
        )
        self._live[runner] = child
        try:
            result = await child.run(self._first(), self._least())
        except Unaffordable as error:
            result = _none(places, AgentStatus.BUDGET_EXCEEDED, str(error))
        except SliceLost as error:
            result = _none(places, AgentStatus.FAILED, f"the slice was lost: {error}")
        finally:
            del self._live[runner]
            self._lent[runner] = child.slots
        if result is None:
            return
        if result.error is not None:
            result = _none(places, AgentStatus.FAILED, result.error)
        self._results[places.start] = result
        if 0 < result.taken < len(places) and not result.cancelled:
            self._works.appendleft(Work(work.number, work.places, work.skip + result.taken))
        self._show_progress()

    def _request(self, work: Work, slots: int) -> SliceRequest:
        state, node = self._state, self._node
        places = work.places[work.skip :]
        may_fail = slicing.may_fail(self._count, node.min_success)
        return SliceRequest(
            run_id=state.request.run_id,
            team=state.request.team,
            unit=f"{node.name}[{places.start}..{places.stop - 1}]",
            plan=state.request.plan,
            node=self._alone,
            prompt=state.prompts.get(node.name),
            slices=self._slices,
            number=work.number,
            skip=work.skip,
            bindings=self._bindings,
            shared=self._lent_uses,
            first_attempt=self._first_attempt,
            answered=tuple(
                earlier.record
                for start, earlier in sorted(self._earlier.items())
                if start in work.places and earlier.record is not None
            ),
            most_slots=self._width,
            may_fail=max(0, may_fail - self._failed()),
            report_failures=slicing.report_every(may_fail),
            control=SliceControl(slots=slots),
        )

    def _heard(self, report: SliceReport) -> None:
        """Take a child's word; it may be late."""
        for child in self._live.values():
            if child.id == report.child:
                child.report = report
                self._show_progress()
                self._grow()

    def _grow(self) -> None:
        """Lend what is free to the children in flight, where no further one will need it."""
        if self._works or not self._live or not self._goes_on():
            return
        runner = min(self._live, key=self._lent.__getitem__)
        extra = self._slots.more(self._unlent(), self._leave())
        self._live[runner].slots += extra
        self._lent[runner] += extra

    def _unlent(self) -> int:
        return self._width - sum(self._lent)

    def _leave(self) -> int:
        """Return how many slots to leave free: one, while other steps of the run may want it."""
        results = self._state.results
        return int(any(results[name].status in WORKING for name in self._beside))

    def _goes_on(self) -> bool:
        return not self._state.stopping and self._can_succeed()

    def _can_succeed(self) -> bool:
        return slicing.can_succeed(self._count, self._failed(), self._node.min_success)

    def _failed(self) -> int:
        """Return how many items are known to have failed, in the slices in flight too."""
        ended = sum(sum(result.failed.values()) for result in self._results.values())
        return ended + sum(child.report.failed for child in self._live.values())

    def _idle(self) -> int:
        """Return how many children have no grant: those that ask, and those still to come."""
        asking = sum(not child.has_grant for child in self._live.values())
        return asking + min(len(self._works), self._runners - len(self._live))

    def _bound(self, size: int) -> int:
        """Return the most tokens that a prompt with an item of this size has."""
        return bounds.input_bound(self._alone.prompt_bytes, [size] * self._node.item_uses)

    def _most(self, size: int) -> Decimal:
        """Return the worst case of an item of this size, whichever candidate is asked."""
        node = self._node
        candidates = [self._state.header.candidates[index] for index in node.candidates]
        worst = [
            prices.worst_case(c.price, self._bound(size) + c.overhead_tokens, node.max_tokens)
            for c in candidates
        ]
        return min(max(worst), node.cost_limit)

    def _first(self) -> Decimal:
        """Return what the first call of a slice may cost."""
        return self._most(self._largest)

    def _least(self) -> Decimal:
        """Return what the cheapest item costs at least; 0 where only its provider can say."""
        node = self._node
        candidate = self._state.header.candidates[node.candidates[0]]
        if candidate.counts_tokens:
            return Decimal(0)
        tokens = min(node.min_output_tokens, node.max_tokens)
        prompt = self._bound(self._smallest) + candidate.overhead_tokens
        return min(prices.worst_case(candidate.price, prompt, tokens), node.cost_limit)

    def _show_progress(self) -> None:
        """Say in the status how far the list is."""
        done = sum(result.taken for result in self._results.values())
        done += sum(child.report.done for child in self._live.values())
        failed = self._failed()
        note = f"{done:,} of {self._count:,} items{f', {failed:,} failed' if failed else ''}"
        self._state.show_progress(self._node.name, note)

    async def _result(self) -> StepResult:
        ordered = [result for _, result in sorted(self._results.items())]
        failures = [failure for result in ordered for failure in result.failures]
        metadata: dict[str, Json] = {"items": self._count, "slices": len(ordered)}
        if failures:
            metadata["failed"] = self._failed()
            metadata["failed_items"] = [failure.model_dump() for failure in failures[:LISTED]]
        retries = sum(result.retries for result in ordered)
        if not self._can_succeed():
            return self._below(ordered, failures, metadata, retries)
        return StepResult(
            agent_id=self._node.name,
            status=AgentStatus.COMPLETED,
            output=await self._gathered(ordered),
            retry_count=retries,
            metadata=metadata,
        )

    def _below(
        self,
        ordered: list[SliceResult],
        failures: list[ItemFailure],
        metadata: dict[str, Json],
        retries: int,
    ) -> StepResult:
        """Return the failure of a step that too many items of failed.

        Run again, it asks only for the answers that it does not have.
        """
        known = {start: r for start, r in self._results.items() if r.record is not None}
        self._state.answered_slices[self._node.name] = AnsweredSlices(
            slices=self._slices, results={**self._earlier, **known}
        )
        kinds = sorted({kind for result in ordered for kind in result.failed})
        error = (
            f"{self._failed():,} of {self._count:,} items failed, min_success is "
            f"{self._node.min_success:g}; item {failures[0].index}: {failures[0].error}"
        )
        return StepResult(
            agent_id=self._node.name,
            status=AgentStatus(kinds[0]) if len(kinds) == 1 else AgentStatus.FAILED,
            error=error,
            retry_count=retries,
            metadata={**metadata, "reason": error},
        )

    async def _gathered(self, ordered: list[SliceResult]) -> Value:
        lists = [result.outputs for result in ordered if result.outputs is not None]
        summary = f"{self._node.name}: results"
        if not lists:
            return await gathering.one_list([], summary)
        return await gathering.stored(lists, "chain", summary)


def _alone(state: RunState, node: StepNode) -> StepNode:
    """Return a step as if it were the only one: the values that it reads count as fixed text."""
    return node.model_copy(
        update={
            "dependencies": (),
            "optional_dependencies": (),
            "when": None,
            "when_uses": (),
            "when_uses_inputs": (),
            "uses": (),
            "uses_inputs": (),
            "for_each": None,
            "for_each_uses": (),
            "for_each_inputs": (),
            "until": None,
            "until_uses": (),
            "until_inputs": (),
            "members": (),
            "handler": None,
            "prompt_bytes": node.prompt_bytes + sum(reading.prompt_sizes(state, node)),
        }
    )


def _needs(state: RunState, name: str) -> list[str]:
    node = state.nodes[name]
    return state.names_of((*node.dependencies, *node.optional_dependencies))


def _none(places: range, status: AgentStatus, error: str) -> SliceResult:
    """Return the result of a slice of which nothing is left, all its items failed."""
    assert status in FAILURES
    listed = places[:LISTED_FAILURES]
    return SliceResult(
        taken=len(places),
        failed={status.value: len(places)},
        failures=tuple(ItemFailure(index=index, error=error[:200]) for index in listed),
    )
