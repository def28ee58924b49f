"""Executes a plan: stages while one applies, then generation, for each call; fallback; clean-up.

Strategy: the rules decide, an `Effects` port acts. The same effect of two calls is one: it is
started once and both wait for it. Deterministic, given its effects.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from contracts.calls import CallFailure
from contracts.execution import (
    CacheEffect,
    CacheRef,
    CallResult,
    Capabilities,
    Effect,
    ExecutionPlan,
    Failure,
    FileRefPart,
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
from contracts.failures import FailureKind
from rules import execution
from workflows.effects import Effects
from workflows.executing_call import GENERATION, Call
from workflows.purse import Purse
from workflows.refusals import Refused
from workflows.reusing import kept_answer

R = TypeVar("R")


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
        self._kept: set[str] = set()
        self.purse = Purse(request.money, effects.now)
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
            spent=self.purse.spent,
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
        result = await Call(self, plan, index, index, retries=True).run()
        primary = result.primary_error
        fallback = plan.fallback
        if result.failure is None or primary is None or fallback is None:
            return result
        if primary.kind == FailureKind.NOT_KEPT:
            return result
        other = index if index < len(fallback.calls) else 0
        second = await Call(self, fallback, other, index, retries=False).run()
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
            entry, other = f"cache:{asked.provider}/{asked.model}", plan is not self._request.plan
            costs = effect.create and not (await self.able(asked)).resends_prefix
            if costs and not self.purse.hold_cache(entry, effect.ttl_s, fallback=other):
                self.note("no cache is made: the budget cannot hold it now")
                return CacheRef()
            found = await self._retrying(lambda: self._effects.cache(made))
            if costs:
                self.purse.cache_made(entry, found)
                self._kept |= {entry} if plan.cache and plan.cache.keep else set()
            if isinstance(found, CacheRef) and found.name and _to_be_deleted(found, plan):
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
        self.purse.close(frozenset(self._kept))


def _to_be_deleted(cache: CacheRef, plan: ExecutionPlan) -> bool:
    """Whether a cache is deleted at the end: ours, and not kept.

    Plans of before there was the stage "kept" deleted what others had made as well.
    """
    ours = cache.application == "created" or "kept" not in plan.stages
    return plan.cache is not None and not plan.cache.keep and ours


async def _stopped(
    calls: list["asyncio.Task[CallResult]"], effects: list["asyncio.Task[Any]"]
) -> None:
    """Stop the calls. Uploads and caches that are being made are waited for, to be deleted."""
    for task in calls:
        if not task.cancelling():
            task.cancel()
    await asyncio.gather(*calls, *effects, return_exceptions=True)
