"""What a run's agents share at their providers: uploaded files, and the cached shared context.

Promises: a large file is uploaded once per provider, the shared context cached once per provider
and model, whoever needs it first; the others wait. Nothing of it is ever a reason not to answer,
unless the files are more than a request holds: what cannot be uploaded is sent with each request,
and what cannot be cached, or does not fit into the budget just then, is sent uncached. At the end
all is deleted that is not to be kept.

This module says what an attempt uses. How files are uploaded is `sharing_uploads`' business, how
caches are made `sharing_caches`', what they cost `sharing_money`'s, and who goes first
`sharing_warming`'s.
"""

import asyncio

from temporalio import workflow

from contracts.calls import CallFailure, ModelCall, ModelReply, SharedUse
from contracts.execution import CacheRef
from contracts.execution_calls import RemoveCall
from contracts.failures import FailureKind
from contracts.plans import Candidate, PlanHeader, StepNode
from rules import execution
from workflows.effects import Effects
from workflows.execution import ActivityEffects
from workflows.reserving import Reserver
from workflows.sharing_caches import Caches, keep_s, keeps
from workflows.sharing_money import CacheMoney
from workflows.sharing_uploads import Uploading
from workflows.sharing_vendors import Vendors
from workflows.sharing_warming import LONG_LASTS, PREFIX_LASTS, Ask, Warming
from workflows.state import RunState


def shares(header: PlanHeader) -> bool:
    """Whether a team has anything that is shared at a provider."""
    return bool(header.files) or header.shared is not None


class Sharing:
    """What one run shares. It begins where the run's history before this one ended."""

    def __init__(self, state: RunState, reserver: Reserver, effects: Effects | None = None) -> None:
        self._state = state
        self._effects = effects or ActivityEffects()
        self._money = CacheMoney(state, reserver)
        self._uploading = Uploading(state, self._effects)
        self._vendors = Vendors(state, self._effects)
        self._caches = Caches(state, self._effects, self._vendors, self._uploading, self._money)
        self._warming = Warming()

    async def make(
        self, node: StepNode, call: ModelCall, candidate: Candidate, ask: Ask
    ) -> ModelReply | CallFailure:
        """Make an attempt with what is shared; once more without what the provider has lost."""
        try:
            use = await self._use(node, candidate)
            if isinstance(use, CallFailure):
                return use
            outcome = await self._in_turn(node, call, candidate, use, ask)
            if isinstance(outcome, ModelReply) or not self._lost(outcome, candidate, use):
                return outcome
            again = await self._use(node, candidate)
        except asyncio.CancelledError:
            return CallFailure(
                kind=FailureKind.STOPPED, message="cancelled", retryable=False, sent=False
            )
        if isinstance(again, CallFailure):
            return again
        return await ask(call.model_copy(update={"shared": again}))

    async def lend(self, node: StepNode) -> dict[int, SharedUse]:
        """Return what a step's first candidate shares, and others where they cannot do without."""
        chosen = node.candidates if node.needs_uploads else node.candidates[:1]
        candidates = self._state.header.candidates
        uses = {index: await self._use(node, candidates[index]) for index in chosen}
        return {index: use for index, use in uses.items() if isinstance(use, SharedUse)}

    async def close(self) -> None:
        """Delete what is not to be kept, and settle what the caches cost. Never fails."""
        self._uploading.cancel()
        open_tasks = [*self._caches.open_tasks(), *self._vendors.open_tasks()]
        for task in open_tasks:
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)
        there, shared, dead = self._state.at_vendors, self._state.header.shared, self._caches.dead
        keep = shared is not None and shared.keep
        uploads = [] if keep else [one for one in there.uploads if one.ours]
        caches = [] if keep else [one for one in there.caches if one.ours and not one.ref.resends]
        providers = dict.fromkeys(
            [*(one.provider for one in uploads), *(one.provider for one in caches), *dead]
        )
        for provider in providers:
            mine = [one for one in caches if one.provider == provider]
            call = RemoveCall(
                **self._vendors.asked(provider).model_dump(),
                uploads=tuple(one.uri for one in uploads if one.provider == provider),
                caches=tuple(str(one.ref.name) for one in mine),
                forget=(*dead.get(provider, ()), *(one.ref.key for one in mine)),
            )
            problems = (await self._effects.remove(call)).problems
            for problem in problems:
                workflow.logger.warning("%s", problem)
            self._caches.settle(mine, problems)
        self._money.settle_rest()

    async def _in_turn(
        self, node: StepNode, call: ModelCall, candidate: Candidate, use: SharedUse, ask: Ask
    ) -> ModelReply | CallFailure:
        """Ask with it; where it is a prefix, first of all or behind the one that warms it."""
        call = call.model_copy(update={"shared": use})
        if use.cache is None or not use.cache.resends:
            return await ask(call)
        key = f"{candidate.provider}/{candidate.model}/{node.shared}"
        lasts = LONG_LASTS if candidate.price.cache_write_1h is not None else PREFIX_LASTS
        return await self._warming.in_turn(key, call, ask, lasts)

    async def _use(self, node: StepNode, candidate: Candidate) -> SharedUse | CallFailure:
        """Return what a candidate is told of a step's files; what it cannot be told is sent."""
        cache = await self._cache_for(node, candidate)
        files = [self._state.header.files[number] for number in node.uploads]
        shared = self._state.header.shared
        if cache is not None and not cache.resends and shared is not None:
            cached = {file.sha256 for file in shared.files}
            files = [file for file in files if file.sha256 not in cached]
        kept = [file for file in files if keeps(candidate, file)]
        files = files if node.needs_uploads else kept
        if not files:
            return SharedUse(cache=cache)
        able = await self._vendors.capabilities(candidate)
        uris = await self._uploading.all(
            candidate, files, able=able, required=node.needs_uploads, keep_s=keep_s(shared)
        )
        return uris if isinstance(uris, CallFailure) else SharedUse(uris=uris, cache=cache)

    async def _cache_for(self, node: StepNode, candidate: Candidate) -> CacheRef | None:
        """Return the cache that a step may use: one of a name of its own takes no tools."""
        shared = self._state.header.shared
        if not node.shared or shared is None or not shared.cache or candidate.uncached:
            return None
        tokens = self._shared_tokens(candidate)
        if tokens is not None and tokens < candidate.cache_floor:
            return None
        able = await self._vendors.capabilities(candidate)
        if "caching" not in able or (node.tools and not able.resends_prefix):
            return None
        return await self._caches.ref(candidate, shared, tokens or 0)

    def _shared_tokens(self, candidate: Candidate) -> int | None:
        """Return the most that the shared context takes of a model's prompt, where it is known."""
        header = self._state.header
        known = header.shared.tokens if header.shared is not None else ()
        who = (candidate.provider, candidate.model)
        found = (
            tokens
            for one, tokens in zip(header.candidates, known, strict=False)
            if (one.provider, one.model) == who
        )
        return next(found, None)

    def _lost(self, failure: CallFailure, candidate: Candidate, use: SharedUse) -> bool:
        """Whether the provider may have lost what a request relied on; if so, leave it out."""
        if not 400 <= (failure.status or 0) < 500 or not execution.drops_cache(failure):
            return False
        lost = self._uploading.drop_kept(candidate.provider, use.uris)
        if use.cache is None or use.cache.resends:
            return lost
        self._caches.drop(candidate)
        return True
