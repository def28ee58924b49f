"""What a run's agents share at their providers: uploaded files, and the cached shared context.

Promises: a large file is uploaded once per provider, the shared context cached once per provider
and model, whoever needs it first; the others wait. Where a prefix is cached within requests that
repeat it, one attempt goes first and its siblings wait for its first token. Nothing of it is ever
a reason not to answer, unless the files are more than a request holds: what cannot be uploaded is
sent with each request, and what cannot be cached, or does not fit into the budget just then, is
sent uncached. At the end all is deleted that is not to be kept.

How files are uploaded is `sharing_uploads`' business, what a cache costs `sharing_money`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from temporalio import workflow

from contracts.calls import CallFailure, ModelCall, ModelReply, SharedUse
from contracts.execution import (
    CacheEffect,
    CacheRef,
    CallSettings,
    Capabilities,
    FilePlaceholder,
    FileRefPart,
)
from contracts.execution_calls import Asked, CacheCall, RemoveCall
from contracts.failures import FailureKind
from contracts.files import AttachedFile, kind_of
from contracts.plans import Candidate, PlanHeader, SharedHeader, StepNode
from contracts.sharing import WARM_SIGNAL, MadeCache, PrefixWarm
from rules import execution
from rules.identity import content_key
from workflows.effects import Effects
from workflows.execution import ActivityEffects
from workflows.reserving import Reserver
from workflows.sharing_money import CacheMoney
from workflows.sharing_uploads import Uploading, retried
from workflows.state import RunState

PREFIX_LASTS = timedelta(minutes=5)
"""How long vendors keep a prefix from its last use on (Anthropic; OpenAI for longer)."""

Ask = Callable[[ModelCall], Awaitable[ModelReply | CallFailure]]


def shares(header: PlanHeader) -> bool:
    """Whether a team has anything that is shared at a provider."""
    return bool(header.files) or header.shared is not None


class Sharer(Protocol):
    """What an attempt asks for what its files are at the provider."""

    async def make(
        self, node: StepNode, call: ModelCall, candidate: Candidate, ask: Ask
    ) -> ModelReply | CallFailure:
        """Make an attempt with it. Never raises: a cancellation is an outcome too."""
        ...

    async def lend(self, node: StepNode) -> dict[int, SharedUse]:
        """Return what child runs of a step may use, by candidate."""
        ...


class Lent:
    """What a run has shared already, for a child run that works on a slice of a list."""

    def __init__(self, uses: dict[int, SharedUse]) -> None:
        self._uses = uses

    async def make(
        self, node: StepNode, call: ModelCall, candidate: Candidate, ask: Ask
    ) -> ModelReply | CallFailure:
        """Make an attempt with what was lent."""
        return await ask(call.model_copy(update={"shared": self._uses.get(call.candidate)}))

    async def lend(self, node: StepNode) -> dict[int, SharedUse]:
        """Return the same."""
        return self._uses


class Sharing:
    """What one run shares. It begins where the run's history before this one ended."""

    def __init__(self, state: RunState, reserver: Reserver, effects: Effects | None = None) -> None:
        self._state = state
        self._effects = effects or ActivityEffects()
        self._money = CacheMoney(state, reserver)
        self._uploading = Uploading(state, self._effects)
        self._able: dict[str, asyncio.Task[Capabilities | CallFailure]] = {}
        self._caching: dict[tuple[str, str], asyncio.Task[MadeCache | None]] = {}
        self._warming: set[str] = set()
        self._warm: dict[str, datetime] = {}
        self._dead: dict[str, list[str]] = {}
        workflow.set_signal_handler(WARM_SIGNAL, self._told_warm)

    async def make(
        self, node: StepNode, call: ModelCall, candidate: Candidate, ask: Ask
    ) -> ModelReply | CallFailure:
        """Make an attempt with what is shared; once more without what the provider has lost."""
        try:
            use = await self._use(node, call.candidate)
            if isinstance(use, CallFailure):
                return use
            outcome = await self._in_turn(node, call, candidate, use, ask)
            if isinstance(outcome, ModelReply) or not self._lost(outcome, candidate, use):
                return outcome
            again = await self._use(node, call.candidate)
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
        uses = {index: await self._use(node, index) for index in chosen}
        return {index: use for index, use in uses.items() if isinstance(use, SharedUse)}

    async def close(self) -> None:
        """Delete what is not to be kept, and settle what the caches cost. Never fails."""
        self._uploading.cancel()
        open_tasks = [*self._caching.values(), *self._able.values()]
        for task in open_tasks:
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)
        there, shared = self._state.at_vendors, self._state.header.shared
        keep = shared is not None and shared.keep
        uploads = [] if keep else [one for one in there.uploads if one.ours]
        caches = [] if keep else [one for one in there.caches if one.ours and not one.ref.resends]
        providers = dict.fromkeys(
            [*(one.provider for one in uploads), *(one.provider for one in caches), *self._dead]
        )
        for provider in providers:
            call = RemoveCall(
                **self._asked(provider, self._model_of(provider)).model_dump(),
                uploads=tuple(one.uri for one in uploads if one.provider == provider),
                caches=tuple(str(one.ref.name) for one in caches if one.provider == provider),
                forget=tuple(
                    [*self._dead.get(provider, ())]
                    + [one.ref.key for one in caches if one.provider == provider]
                ),
            )
            problems = (await self._effects.remove(call)).problems
            for problem in problems:
                workflow.logger.warning("%s", problem)
            for one in caches:
                if one.provider == provider:
                    stays = any(str(one.ref.name) in problem for problem in problems)
                    self._money.settle(one, gone=not stays)
        self._money.settle_rest()

    # what an attempt uses

    async def _use(self, node: StepNode, index: int) -> SharedUse | CallFailure:
        """Return what a candidate is told of a step's files; what it cannot be told is sent."""
        candidate = self._state.header.candidates[index]
        cache = await self._cache_for(node, index)
        files = [self._state.header.files[number] for number in node.uploads]
        shared = self._state.header.shared
        if cache is not None and not cache.resends and shared is not None:
            cached = {file.sha256 for file in shared.files}
            files = [file for file in files if file.sha256 not in cached]
        kept = [file for file in files if _keeps(candidate, file)]
        files = files if node.needs_uploads else kept
        if not files:
            return SharedUse(cache=cache)
        able = await self._capabilities(candidate)
        uris = await self._uploading.all(
            candidate, files, able=able, required=node.needs_uploads, keep_s=self._keep_s()
        )
        return uris if isinstance(uris, CallFailure) else SharedUse(uris=uris, cache=cache)

    async def _cache_for(self, node: StepNode, index: int) -> CacheRef | None:
        """Return the cache that a step may use: one of a name of its own takes no tools."""
        candidate, shared = self._state.header.candidates[index], self._state.header.shared
        if not node.shared or shared is None or not shared.cache:
            return None
        if index < len(shared.tokens) and shared.tokens[index] < candidate.cache_floor:
            return None
        able = await self._capabilities(candidate)
        if "caching" not in able or (node.tools and not able.resends_prefix):
            return None
        made = await self._cached(candidate, index, shared)
        return made.ref if made is not None else None

    async def _capabilities(self, candidate: Candidate) -> Capabilities:
        """Ask a provider once what it can do; one that does not say can do nothing more."""
        task = self._able.get(candidate.provider)
        if task is None:
            asked = self._asked(candidate.provider, candidate.model)
            task = asyncio.create_task(self._effects.capabilities(asked))
            self._able[candidate.provider] = task
        found = await asyncio.shield(task)
        return Capabilities() if isinstance(found, CallFailure) else found

    def _asked(self, provider: str, model: str) -> Asked:
        run_id = self._state.request.run_id
        return Asked(execution_id=run_id, provider=provider, model=model)

    def _model_of(self, provider: str) -> str:
        return next(c.model for c in self._state.header.candidates if c.provider == provider)

    def _keep_s(self) -> float:
        shared = self._state.header.shared
        return shared.ttl if shared is not None and shared.keep else 0.0

    # caches

    async def _cached(
        self, candidate: Candidate, index: int, shared: SharedHeader
    ) -> MadeCache | None:
        """Return the cache of the shared context for a model: made once, or None."""
        who = (candidate.provider, candidate.model)
        task = self._caching.get(who)
        if task is not None and task.done() and not task.cancelled():
            made = task.result()
            if made is not None and made.until <= workflow.now():
                self._forget(made)
                task = None
        if task is None:
            task = asyncio.create_task(self._find_or_make(candidate, index, shared))
            self._caching[who] = task
        return await asyncio.shield(task)

    async def _find_or_make(
        self, candidate: Candidate, index: int, shared: SharedHeader
    ) -> MadeCache | None:
        there = self._state.at_vendors
        for known in there.caches:
            who = (known.provider, known.model)
            if who == (candidate.provider, candidate.model) and known.until > workflow.now():
                return known
        able = await self._capabilities(candidate)
        found = await self._effects.cache(self._call(candidate, shared, create=able.resends_prefix))
        if isinstance(found, CallFailure):
            workflow.logger.warning("no cache at %s: %s", candidate.provider, found.message)
            return None
        made = self._noted(candidate, found, shared) if found.name else None
        if made is None and not able.resends_prefix:
            made = await self._make(candidate, index, shared)
        if made is not None:
            there = self._state.at_vendors
            update = {"caches": (*there.caches, made)}
            self._state.at_vendors = there.model_copy(update=update)
        return made

    async def _make(
        self, candidate: Candidate, index: int, shared: SharedHeader
    ) -> MadeCache | None:
        """Make a cache of a name of its own, with its worst case held before."""
        bound = shared.tokens[index] if index < len(shared.tokens) else 0
        paid_as = self._money.hold(candidate, bound, shared.ttl)
        if paid_as is None:
            workflow.logger.warning("no cache at %s: it is too dear now", candidate.provider)
            return None
        uris: dict[str, str] = {}
        large = [file for file in shared.files if file.large and _keeps(candidate, file)]
        if large:
            able = await self._capabilities(candidate)
            uploaded = await self._uploading.all(
                candidate, large, able=able, required=False, keep_s=self._keep_s()
            )
            uris = uploaded if isinstance(uploaded, dict) else {}
        call = self._call(candidate, shared, create=True, uris=uris)
        made = await retried(lambda: self._effects.cache(call), self._effects)
        if isinstance(made, CallFailure):
            self._money.failed(paid_as, made)
            return None
        noted = self._noted(candidate, made, shared, paid_as)
        if noted is None or not noted.ours:
            self._money.release(paid_as, "another run has made it")
        elif shared.keep:
            self._money.settle(noted, gone=False)
        return noted

    def _call(
        self,
        candidate: Candidate,
        shared: SharedHeader,
        *,
        create: bool,
        uris: dict[str, str] | None = None,
    ) -> CacheCall:
        files = tuple(file.source for file in shared.files)
        placeholders = [FilePlaceholder(index=index) for index in range(len(files))]
        known = uris or {}
        parts = tuple(
            FileRefPart(uri=known[file.sha256], mime_type=file.mime_type, name=file.name)
            if file.sha256 in known
            else placeholder
            for file, placeholder in zip(files, placeholders, strict=True)
        )
        effect = CacheEffect(
            content_key=content_key(candidate.model, None, placeholders, files),
            parts=parts,
            settings=CallSettings(),
            ttl_s=shared.ttl,
            create=create,
            keep=shared.keep,
        )
        asked = self._asked(candidate.provider, candidate.model)
        return CacheCall(**asked.model_dump(), effect=effect, files=files)

    def _noted(
        self, candidate: Candidate, ref: CacheRef, shared: SharedHeader, paid_as: str = ""
    ) -> MadeCache | None:
        if ref.name is None:
            return None
        lasts = timedelta(seconds=shared.ttl - min(30.0, shared.ttl / 2))
        now = workflow.now()
        return MadeCache(
            provider=candidate.provider,
            model=candidate.model,
            ref=ref,
            made_at=now,
            until=datetime.max.replace(tzinfo=now.tzinfo) if ref.resends else now + lasts,
            paid_as=paid_as,
            ours=ref.application == "created",
        )

    def _forget(self, made: MadeCache) -> None:
        """Leave out a cache that is no more."""
        self._money.settle(made, gone=True)
        if made.ref.key:
            self._dead.setdefault(made.provider, []).append(made.ref.key)
        there = self._state.at_vendors
        left = tuple(one for one in there.caches if one != made)
        self._state.at_vendors = there.model_copy(update={"caches": left})

    def _lost(self, failure: CallFailure, candidate: Candidate, use: SharedUse) -> bool:
        """Whether the provider may have lost what a request relied on; if so, leave it out."""
        if not 400 <= (failure.status or 0) < 500 or not execution.drops_cache(failure):
            return False
        who = (candidate.provider, candidate.model)
        lost = self._uploading.drop_kept(candidate.provider, use.uris)
        if use.cache is None or use.cache.resends:
            return lost
        for made in self._state.at_vendors.caches:
            if (made.provider, made.model) == who:
                self._forget(made)
        gone: asyncio.Task[MadeCache | None] = asyncio.create_task(_none())
        self._caching[who] = gone
        return True

    # who goes first

    async def _in_turn(
        self, node: StepNode, call: ModelCall, candidate: Candidate, use: SharedUse, ask: Ask
    ) -> ModelReply | CallFailure:
        """Ask, first of all or behind the one that warms the prefix."""
        call = call.model_copy(update={"shared": use})
        if use.cache is None or not use.cache.resends:
            return await ask(call)
        key = f"{candidate.provider}/{candidate.model}/{node.shared}"
        while key in self._warming:
            await workflow.wait_condition(lambda: key not in self._warming)
        first = self._warm.get(key, workflow.now()) <= workflow.now()
        if first:
            self._warming.add(key)
            call = call.model_copy(update={"warms": key})
        try:
            outcome = await ask(call)
        finally:
            self._warming.discard(key)
        if isinstance(outcome, ModelReply) or outcome.first_token_at is not None:
            self._warm[key] = workflow.now() + PREFIX_LASTS
        return outcome

    async def _told_warm(self, told: PrefixWarm) -> None:
        if told.key in self._warming:
            self._warm[told.key] = workflow.now() + PREFIX_LASTS
            self._warming.discard(told.key)


def _keeps(candidate: Candidate, file: AttachedFile) -> bool:
    """Whether a provider keeps files of this kind, as far as is known."""
    return candidate.uploads is None or kind_of(file.mime_type) in candidate.uploads


async def _none() -> None:
    return None
