"""Executes a plan: stages while one applies, then generation, for each call; fallback; clean-up.

Strategy: the rules decide, an `Effects` port acts. The same effect of two calls is one: it is
started once and both wait for it. Deterministic, given its effects.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

from contracts.calls import CallFailure
from contracts.execution import (
    CacheEffect,
    CacheRef,
    CallResult,
    Capabilities,
    Decline,
    Effect,
    ErrorInfo,
    ExecutionPlan,
    ExecutionStage,
    ExecutionState,
    Failure,
    FileRefPart,
    Refuse,
    UploadEffect,
)
from contracts.execution_calls import (
    Asked,
    CacheCall,
    ExecutionOutcome,
    ExecutionRequest,
    GenerateCall,
    GenerateReply,
    RemoveCall,
    UploadCall,
)
from rules import execution, stages
from workflows.effects import Effects
from workflows.refusals import Refused, refusal
from workflows.reusing import kept_answer, reuse_key

R = TypeVar("R")

GENERATION = "generation"


class Execution:
    """One execution, from its request to its outcome."""

    def __init__(self, request: ExecutionRequest, effects: Effects) -> None:
        self._request, self._effects = request, effects
        self._once: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._able: dict[tuple[str, str], asyncio.Task[Capabilities | CallFailure]] = {}
        self._uploads: dict[Asked, list[str]] = {}
        self._caches: dict[Asked, list[str]] = {}
        self._dead: dict[Asked, list[str]] = {}
        self._notes: dict[str, None] = {}
        self._durations: dict[str, float] = dict.fromkeys((*request.plan.stages, GENERATION), 0.0)

    async def run(self) -> ExecutionOutcome:
        """Execute to the end. Cancelled, it stops what is open and cleans up all the same."""
        plan = self._request.plan
        width = execution.concurrency(
            len(plan.calls), plan.concurrency, rate_constrained=plan.rate_constrained
        )
        gate = asyncio.Semaphore(width)
        calls = [
            asyncio.ensure_future(self._gated(gate, index)) for index in range(len(plan.calls))
        ]
        try:
            results = tuple(await asyncio.gather(*calls))
        except BaseException:
            await asyncio.shield(_stopped(calls, list(self._once.values())))
            raise
        finally:
            await asyncio.shield(asyncio.ensure_future(self._clean_up()))
        return ExecutionOutcome(
            results=results,
            failure=self._failure(results),
            diagnostics=tuple(self._notes),
            durations=self._durations,
        )

    def _failure(self, results: tuple[CallResult, ...]) -> Failure | None:
        """Return why there is no answer at all, if there is none."""
        failures = [result.failure for result in results if result.failure is not None]
        if len(failures) < len(results):
            return None
        first = failures[0]
        if len(failures) == 1:
            return first
        return first.model_copy(
            update={"index": None, "message": f"{first.message} (and so all {len(failures)} calls)"}
        )

    async def _gated(self, gate: asyncio.Semaphore, index: int) -> CallResult:
        async with gate:
            return await self._answered(index)

    async def _answered(self, index: int) -> CallResult:
        """Answer a call by the plan, or once by its fallback."""
        plan = self._request.plan
        result = await _Call(self, plan, index, index, retries=True).run()
        primary = result.primary_error
        fallback = plan.fallback
        if result.failure is None or primary is None or fallback is None:
            return result
        other = index if index < len(fallback.calls) else 0
        second = await _Call(self, fallback, other, index, retries=False).run()
        both = {"used_fallback": True, "tries": (*result.tries, *second.tries)}
        if second.failure is None:
            return second.model_copy(update={**both, "primary_error": primary})
        failure = execution.provider_failed(index, primary, second.primary_error)
        return result.model_copy(update={**both, "failure": failure})

    # for the calls

    @contextlib.contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Add the seconds of a block to those of a stage."""
        begun = self._effects.now()
        try:
            yield
        finally:
            spent = self._effects.now() - begun
            self._durations[name] = self._durations.get(name, 0.0) + spent

    def note(self, text: str) -> None:
        """Show a text in the diagnostics, once."""
        self._notes.setdefault(text)

    def asked(self, plan: ExecutionPlan) -> Asked:
        """Return who is asked by a plan."""
        request = self._request
        return Asked(
            execution_id=request.execution_id,
            provider=plan.provider or request.provider,
            model=plan.model,
        )

    async def able(self, asked: Asked) -> Capabilities:
        """Return what a provider can do, as far as it may be used. Raises Refused."""
        key = (asked.provider, asked.model)
        if key not in self._able:
            self._able[key] = asyncio.ensure_future(self._effects.capabilities(asked))
        found = await asyncio.shield(self._able[key])
        if isinstance(found, CallFailure):
            raise Refused(execution.error_info(found, asked.provider, asked.model))
        return execution.overridden(found, self._request.overrides)

    async def once(self, asked: Asked, effect: Effect, plan: ExecutionPlan) -> Any:
        """Do an effect, or wait for the same one of another call."""
        key = (asked.provider, effect.key)
        if key not in self._once:
            self._once[key] = asyncio.ensure_future(self._perform(asked, effect, plan))
        return await asyncio.shield(self._once[key])

    async def _perform(self, asked: Asked, effect: Effect, plan: ExecutionPlan) -> Any:
        who = asked.model_dump()
        if isinstance(effect, UploadEffect):
            call = UploadCall(**who, file=effect.file)
            reply = await self._retrying(lambda: self._effects.upload(call))
            if isinstance(reply, CallFailure):
                return reply
            if not plan.keep_uploads:
                self._uploads.setdefault(asked, []).append(reply.uri)
            file = effect.file
            return FileRefPart(uri=reply.uri, mime_type=file.mime_type, name=file.name or None)
        if isinstance(effect, CacheEffect):
            made = CacheCall(**who, effect=effect, files=plan.files)
            found = await self._retrying(lambda: self._effects.cache(made))
            if isinstance(found, CacheRef) and _to_be_deleted(found, plan):
                self._caches.setdefault(asked, []).append(found.name)
                self._dead.setdefault(asked, []).append(found.key)
            return found
        return await self._retrying(lambda: self._effects.named(effect))

    async def _retrying(self, make: Callable[[], Awaitable[R | CallFailure]]) -> R | CallFailure:
        """Try an effect that leaves something behind, as the rules allow."""
        failed, waited = 0, 0.0
        while True:
            reply = await make()
            if not isinstance(reply, CallFailure):
                return reply
            failed += 1
            wait = self.wait(reply, failed, waited, creates=True)
            if wait is None:
                return reply
            await self.sleep(wait)
            waited += wait

    def wait(
        self, failure: CallFailure, failed: int, waited: float, *, creates: bool = False
    ) -> float | None:
        """Return how long to wait before the next try, or None for none."""
        return execution.wait_before_retry(
            failure, failed, waited, self._effects.random(), creates=creates
        )

    async def sleep(self, seconds: float) -> None:
        """Wait, if only for a moment."""
        if seconds > 0:
            await self._effects.sleep(seconds)

    async def generate(self, call: GenerateCall) -> GenerateReply | CallFailure:
        """Make one request."""
        return await self._effects.generate(call)

    async def kept_answer(self, plan: ExecutionPlan, call: int) -> GenerateReply | None:
        """Return the answer that an identical call was given, or None."""
        return await kept_answer(self._effects, self.asked(plan), plan, call)

    def forget(self, asked: Asked, cache: CacheRef) -> None:
        """Do not use a cache again that a request failed with."""
        if cache.key:
            self._dead.setdefault(asked, []).append(cache.key)

    async def _clean_up(self) -> None:
        """Delete what was left at the vendors; what cannot be deleted is told."""
        for asked in dict.fromkeys((*self._uploads, *self._caches, *self._dead)):
            call = RemoveCall(
                **asked.model_dump(),
                uploads=tuple(self._uploads.get(asked, ())),
                caches=tuple(self._caches.get(asked, ())),
                forget=tuple(self._dead.get(asked, ())),
            )
            for problem in (await self._effects.remove(call)).problems:
                self.note(problem)


def _to_be_deleted(cache: CacheRef, plan: ExecutionPlan) -> bool:
    """Whether a cache is deleted at the end: ours, and not kept.

    Plans of before there was the stage "kept" deleted what others had made as well.
    """
    ours = cache.application == "created" or "kept" not in plan.stages
    return cache.name is not None and plan.cache is not None and not plan.cache.keep and ours


class _Call:
    """One call of a plan. `index` is what its result is called, and how many answer as it."""

    def __init__(
        self, whole: Execution, plan: ExecutionPlan, call: int, index: int, *, retries: bool
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
            reply = await self._generate(state, len(failures) + 1)
            if not isinstance(reply, CallFailure):
                result = self._result(state, reply)
                return self._after(result, failures, len(failures), dropped)
            failures.append(reply)
            if state.cache is not None and execution.drops_cache(reply):
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
        return await self._whole.generate(
            GenerateCall(
                **self._asked.model_dump(),
                index=self._index,
                attempt=attempt,
                parts=state.parts,
                shared=state.shared_parts,
                files=self._plan.files,
                settings=state.api_call.settings,
                cache=state.cache,
                timeout=self._plan.timeout,
                reuse_key=reuse_key(self._plan, self._call, self._asked.provider),
            )
        )

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


async def _stopped(
    calls: list["asyncio.Task[CallResult]"], effects: list["asyncio.Task[Any]"]
) -> None:
    """Stop the calls. Uploads and caches that are being made are waited for, to be deleted."""
    for task in calls:
        if not task.cancelling():
            task.cancel()
    await asyncio.gather(*calls, *effects, return_exceptions=True)
