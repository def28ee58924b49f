"""A model step, or one item of it: what its attempts ask for, and the step's result.

How attempts are paid, made, settled and followed by others is `workflows.attempting`'s.
"""

from dataclasses import dataclass

from contracts.artifacts import Bindings, Value
from contracts.base import Json
from contracts.calls import CallFailure, ItemBinding, ModelCall, ModelReply
from contracts.plans import Candidate, StepNode
from contracts.runs import StepResult
from contracts.teams import AgentStatus
from rules import bounds
from workflows.attempting import Attempting, Ended
from workflows.outcome import attempt, count_tokens
from workflows.reading import bindings_of, prompt_sizes
from workflows.reserving import Reserver
from workflows.state import RunState


@dataclass(frozen=True)
class Item:
    """One item of a `for_each`: its name among the run's attempts, and where its value is."""

    unit: str
    size_bytes: int
    inline: Value | None = None
    stored: ItemBinding | None = None


class ModelStepRun(Attempting):
    """One model step, or one item of it, from its first reservation to its result.

    `bindings` are the values that its prompt reads, where they were gathered before.
    """

    def __init__(
        self,
        state: RunState,
        node: StepNode,
        reserver: Reserver,
        item: Item | None = None,
        bindings: Bindings | None = None,
    ) -> None:
        super().__init__(state, node, reserver, item.unit if item else node.name)
        self._bindings = bindings
        self._state = state
        self._item = item

    async def run(self) -> StepResult:
        """Return the step's result. Cancelled, it settles what is in flight and returns too."""
        node, state = self._node, self._state
        bindings = self._bindings
        if bindings is None:
            bindings = await bindings_of(state, state.names_of(node.uses), node.uses_inputs)
        if self._item is not None and self._item.inline is not None and node.item:
            values = {**bindings.values, node.item: self._item.inline}
            bindings = bindings.model_copy(update={"values": values})
        self._bindings = bindings
        outcome = await self._answer()
        return self._ended(outcome) if isinstance(outcome, Ended) else self._completed(outcome)

    async def _make(
        self, call: ModelCall, candidate: Candidate, has_next: bool
    ) -> ModelReply | CallFailure:
        async def ask(asked: ModelCall) -> ModelReply | CallFailure:
            return await attempt(asked, candidate, self._node.priority, has_next)

        node, sharing = self._node, self._state.sharing
        if sharing is None or not (node.uploads or node.shared):
            return await ask(call)
        return await sharing.make(node, call, candidate, ask)

    async def _count_tokens(self, call: ModelCall, candidate: Candidate) -> int | None:
        return await count_tokens(call, candidate)

    def _fixed_bound(self) -> int:
        sizes = prompt_sizes(self._state, self._node)
        if self._item is not None:
            sizes += [self._item.size_bytes] * self._node.item_uses
        return bounds.input_bound(self._node.prompt_bytes, sizes)

    def _call(self, max_tokens: int, bound: int) -> ModelCall:
        node, request = self._node, self._state.request
        return ModelCall(
            run_id=request.run_id,
            plan=request.plan,
            step=node.name,
            unit=self._unit,
            attempt=self._number,
            candidate=node.candidates[self._candidate],
            bindings=self._bindings or Bindings(),
            item=self._item.stored if self._item else None,
            max_tokens=max_tokens,
            input_bound=bound,
            timeout=node.timeout,
            first_token_timeout=node.first_token_timeout,
            idle_timeout=node.idle_timeout,
            want_inline=node.inline or node.structured,
            prompt=self._state.prompts.get(node.name),
            continuation=self._continuation,
            repair=self._repair,
            reuse_s=node.reuse,
        )

    def _completed(self, reply: ModelReply) -> StepResult:
        candidate = self._state.header.candidates[self._node.candidates[self._candidate]]
        metadata: dict[str, Json] = {
            "provider": candidate.provider,
            "model": reply.model or candidate.model,
            "finish_reason": reply.finish_reason,
        }
        if reply.notes:
            metadata["notes"] = list(reply.notes)
        return StepResult(
            agent_id=self._unit,
            status=AgentStatus.COMPLETED,
            output=reply.output,
            retry_count=max(self._number - self._first - 1, 0),
            metadata=metadata,
        )

    def _ended(self, ended: Ended) -> StepResult:
        metadata: dict[str, Json] = {"reason": ended.error}
        if self._partial_preview:
            metadata["partial_text"] = self._partial_preview
        return StepResult(
            agent_id=self._unit,
            status=ended.status,
            error=ended.error,
            retry_count=max(self._number - self._first - 1, 0),
            metadata=metadata,
        )
