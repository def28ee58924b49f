"""One call of an execution: stages while one applies, then requests until there is an answer."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from contracts.calls import CallFailure
from contracts.execution import (
    CacheRef,
    CallResult,
    Decline,
    Effect,
    ErrorInfo,
    ExecutionPlan,
    ExecutionStage,
    ExecutionState,
    Failure,
    Refuse,
    UploadEffect,
)
from contracts.execution_calls import GenerateCall, GenerateReply
from rules import execution, stages
from workflows.refusals import Refused, refusal
from workflows.reusing import reuse_key

if TYPE_CHECKING:
    from workflows.executing import Execution

GENERATION = "generation"


class Call:
    """One call of a plan. `index` is what its result is called, and how many answer as it."""

    def __init__(
        self, whole: "Execution", plan: ExecutionPlan, call: int, index: int, *, retries: bool
    ) -> None:
        self._whole, self._plan, self._call, self._index = whole, plan, call, index
        self._retries = retries
        self._asked = whole.asked(plan)

    async def run(self) -> CallResult:
        """Return the result; a failure in it has the error beside it."""
        state = ExecutionState.of(self._plan, self._call)
        found = await self._whole.kept_answer(self._plan, self._call)
        if found is not None:
            return self._result(state, found)
        try:
            state = await self._staged(state)
        except Refused as error:
            return self._refused(error.error)
        with self._whole.measured(GENERATION):
            return await self._generated(state)

    def _refused(self, error: ErrorInfo) -> CallResult:
        return CallResult(
            index=self._index,
            primary_error=error,
            failure=Failure(message=error.message, index=self._index, primary=error),
        )

    async def _staged(self, state: ExecutionState) -> ExecutionState:
        """Run stages while one applies. Raises Refused."""
        try:
            known = stages.stages_of(self._plan)
        except stages.UnknownStage as error:
            raise refusal(str(error)) from None
        while (stage := next((s for s in known if s.applies_to(state)), None)) is not None:
            with self._whole.measured(stage.name):
                changed = await self._step(stage, state)
            if changed == state:
                raise refusal(f"stage {stage.name!r} applies again and again and changes nothing")
            state = changed
        return state

    async def _step(self, stage: ExecutionStage, state: ExecutionState) -> ExecutionState:
        decision = stage.decide(state, await self._whole.able(self._asked))
        if isinstance(decision, Refuse):
            raise refusal(decision.message)
        if isinstance(decision, Decline):
            if decision.reason:
                self._whole.note(f"{stage.name} skipped: {decision.reason}")
            return state.but(declined=(*state.declined, stage.name))
        outcomes = await self._outcomes(stage.name, decision.effects)
        return stage.transform(state, outcomes)

    async def _outcomes(self, stage: str, effects: tuple[Effect, ...]) -> Mapping[str, Any]:
        asked = self._asked
        done = await asyncio.gather(*(self._whole.once(asked, e, self._plan) for e in effects))
        outcomes: dict[str, Any] = {}
        for effect, outcome in zip(effects, done, strict=True):
            if not isinstance(outcome, CallFailure):
                outcomes[effect.key] = outcome
                continue
            info = execution.error_info(outcome, asked.provider, asked.model)
            named = f" of {effect.file.path}" if isinstance(effect, UploadEffect) else ""
            if effect.required:
                told = info.model_copy(update={"message": f"{stage}{named}: {info.message}"})
                raise Refused(told)
            self._whole.note(f"{stage}{named} failed, gone on without: {info}")
        return outcomes

    async def _generated(self, state: ExecutionState) -> CallResult:
        """Ask until there is an answer, or no reason to ask again."""
        failures: list[CallFailure] = []
        waited, dropped = 0.0, False
        while True:
            try:
                reply = await self._generate(state, len(failures) + 1)
            except Refused as error:
                refused = self._refused(error.error)
                return self._after(refused, failures, max(0, len(failures) - 1), dropped)
            if not isinstance(reply, CallFailure):
                result = self._result(state, reply)
                return self._after(result, failures, len(failures), dropped)
            failures.append(reply)
            knows = "kept" in self._plan.stages
            if state.cache is not None and execution.drops_cache(reply, forbidden=knows):
                dropped = True
                try:
                    state = await self._staged(self._without_cache(state, state.cache, reply))
                except Refused as error:
                    refused = self._refused(error.error)
                    return self._after(refused, failures, len(failures) - 1, dropped)
                continue
            wait = None
            if self._retries:
                wait = self._whole.wait(reply, len(failures) - dropped, waited)
            if wait is None:
                return self._after(self._failed(reply), failures, len(failures) - 1, dropped)
            await self._whole.sleep(wait)
            waited += wait

    def _without_cache(
        self, state: ExecutionState, cache: CacheRef, failure: CallFailure
    ) -> ExecutionState:
        self._whole.forget(self._asked, cache)
        self._whole.note(f"asked again without the cache: {failure.kind}: {failure.message}")
        declined = dict.fromkeys((*state.declined, "kept", "cache"))
        return state.but(cache=None, declined=tuple(declined))

    async def _generate(self, state: ExecutionState, attempt: int) -> GenerateReply | CallFailure:
        """Make one request, with its worst case held. Raises Refused where it cannot be paid."""
        settings, purse = state.api_call.settings, self._whole.purse
        entry = f"{'' if self._retries else 'fallback:'}{self._index}#{attempt}"
        most = await purse.hold(entry, self._call, settings.max_tokens, fallback=not self._retries)
        if most != settings.max_tokens:
            settings = settings.model_copy(update={"max_tokens": most})
        reply = await self._whole.generate(
            GenerateCall(
                **self._asked.model_dump(),
                index=self._index,
                attempt=attempt,
                parts=state.parts,
                shared=state.shared_parts,
                files=self._plan.files,
                settings=settings,
                cache=state.cache,
                timeout=self._plan.timeout,
                reuse_key=reuse_key(self._plan, self._call, self._asked.provider),
            )
        )
        purse.settle(entry, reply)
        return reply

    def _after(
        self, result: CallResult, failures: list[CallFailure], retries: int, dropped: bool
    ) -> CallResult:
        """Return a result with what went before it."""
        who = self._asked
        tries = tuple(execution.error_info(f, who.provider, who.model) for f in failures)
        return result.model_copy(
            update={"tries": tries, "retries": retries, "retried_without_cache": dropped}
        )

    def _failed(self, failure: CallFailure) -> CallResult:
        asked = self._asked
        info = execution.error_info(failure, asked.provider, asked.model)
        return CallResult(
            index=self._index,
            provider=asked.provider,
            model=asked.model,
            primary_error=info,
            failure=execution.provider_failed(self._index, info),
        )

    def _result(self, state: ExecutionState, reply: GenerateReply) -> CallResult:
        return CallResult(
            index=self._index,
            output=reply.output,
            tool_calls=reply.tool_calls,
            finish_reason=reply.finish_reason,
            usage=reply.usage,
            provider=self._asked.provider,
            model=reply.model or self._asked.model,
            cache=state.cache,
            notes=reply.notes,
            reused_from=reply.reused_from,
        )
