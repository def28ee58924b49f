"""The caches of a run's shared context: one per provider and model, found or made once.

Promises: whoever needs one first makes it and the others wait for it. A cache that has come to
its end, or that the vendor has lost, is forgotten, and its name in the store with it. None is
made that the budget cannot hold just then, and none that cannot be made is a reason to fail.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio import workflow

from contracts.calls import CallFailure
from contracts.execution import CacheEffect, CacheRef, CallSettings, FilePlaceholder, FileRefPart
from contracts.execution_calls import CacheCall
from contracts.files import AttachedFile, kind_of
from contracts.plans import Candidate, SharedHeader
from contracts.sharing import MadeCache
from rules.identity import content_key
from workflows.effects import Effects
from workflows.sharing_money import CacheMoney
from workflows.sharing_uploads import Uploading, retried
from workflows.sharing_vendors import Vendors
from workflows.state import RunState

EARLY_S = 30.0
"""Before its end a cache counts as gone: a call that uses it has to arrive in time."""


class Caches:
    """The caches of one run, in its state."""

    def __init__(
        self,
        state: RunState,
        effects: Effects,
        vendors: Vendors,
        uploading: Uploading,
        money: CacheMoney,
    ) -> None:
        self._state, self._effects, self._vendors = state, effects, vendors
        self._uploading, self._money = uploading, money
        self._tasks: dict[tuple[str, str], asyncio.Task[MadeCache | None]] = {}
        self.dead: dict[str, list[str]] = {}
        """Keys of caches that are no more, by provider."""

    async def ref(self, candidate: Candidate, shared: SharedHeader, bound: int) -> CacheRef | None:
        """Return the cache of the shared context for a model, or None.

        `bound`: the most tokens that it may have there.
        """
        who = (candidate.provider, candidate.model)
        task = self._tasks.get(who)
        if task is not None and task.done() and not task.cancelled():
            made = task.result()
            if made is not None and made.until <= workflow.now():
                self._forget(made)
                task = None
        if task is None:
            task = asyncio.create_task(self._find_or_make(candidate, shared, bound))
            self._tasks[who] = task
        found = await asyncio.shield(task)
        return found.ref if found is not None else None

    def drop(self, candidate: Candidate) -> None:
        """Leave out what the vendor has lost; from now on the model has none in this run."""
        who = (candidate.provider, candidate.model)
        for made in self._state.at_vendors.caches:
            if (made.provider, made.model) == who:
                self._forget(made)
        gone: asyncio.Task[MadeCache | None] = asyncio.create_task(_none())
        self._tasks[who] = gone

    def open_tasks(self) -> "list[asyncio.Task[MadeCache | None]]":
        """Return what is being made, for who has to end it."""
        return list(self._tasks.values())

    def settle(self, made: Sequence[MadeCache], problems: Sequence[str]) -> None:
        """Count what caches cost that were deleted, but for those that the problems name."""
        for one in made:
            stays = any(str(one.ref.name) in problem for problem in problems)
            self._money.settle(one, gone=not stays)

    async def _find_or_make(
        self, candidate: Candidate, shared: SharedHeader, bound: int
    ) -> MadeCache | None:
        for known in self._state.at_vendors.caches:
            who = (known.provider, known.model)
            if who == (candidate.provider, candidate.model) and known.until > workflow.now():
                return known
        able = await self._vendors.capabilities(candidate)
        found = await self._effects.cache(self._call(candidate, shared, create=able.resends_prefix))
        if isinstance(found, CallFailure):
            workflow.logger.warning("no cache at %s: %s", candidate.provider, found.message)
            return None
        made = _noted(candidate, found, shared) if found.name else None
        if made is None and not able.resends_prefix:
            made = await self._make(candidate, shared, bound)
        if made is not None:
            there = self._state.at_vendors
            update = {"caches": (*there.caches, made)}
            self._state.at_vendors = there.model_copy(update=update)
        return made

    async def _make(
        self, candidate: Candidate, shared: SharedHeader, bound: int
    ) -> MadeCache | None:
        """Make a cache of a name of its own, with its worst case held before."""
        paid_as = self._money.hold(candidate, bound, shared.ttl)
        if paid_as is None:
            workflow.logger.warning("no cache at %s: it is too dear now", candidate.provider)
            return None
        uris = await self._uploaded(candidate, shared)
        call = self._call(candidate, shared, create=True, uris=uris)
        made = await retried(lambda: self._effects.cache(call), self._effects)
        if isinstance(made, CallFailure):
            self._money.failed(paid_as, made)
            return None
        noted = _noted(candidate, made, shared, paid_as)
        if noted is None or not noted.ours:
            self._money.release(paid_as, "another run has made it")
        elif shared.keep:
            self._money.settle(noted, gone=False)
        return noted

    async def _uploaded(self, candidate: Candidate, shared: SharedHeader) -> dict[str, str]:
        """Return the addresses of the large files, as far as they could be uploaded."""
        large = [file for file in shared.files if file.large and keeps(candidate, file)]
        if not large:
            return {}
        able = await self._vendors.capabilities(candidate)
        uploaded = await self._uploading.all(
            candidate, large, able=able, required=False, keep_s=keep_s(shared)
        )
        return uploaded if isinstance(uploaded, dict) else {}

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
        asked = self._vendors.asked(candidate.provider, candidate.model)
        return CacheCall(**asked.model_dump(), effect=effect, files=files)

    def _forget(self, made: MadeCache) -> None:
        """Leave out a cache that is no more."""
        self._money.settle(made, gone=True)
        if made.ref.key:
            self.dead.setdefault(made.provider, []).append(made.ref.key)
        there = self._state.at_vendors
        left = tuple(one for one in there.caches if one != made)
        self._state.at_vendors = there.model_copy(update={"caches": left})


def keeps(candidate: Candidate, file: AttachedFile) -> bool:
    """Whether a provider keeps files of this kind, as far as is known."""
    return candidate.uploads is None or kind_of(file.mime_type) in candidate.uploads


def keep_s(shared: SharedHeader | None) -> float:
    """Return for how many seconds other runs may find what this one uploads."""
    return shared.ttl if shared is not None and shared.keep else 0.0


def _noted(
    candidate: Candidate, ref: CacheRef, shared: SharedHeader, paid_as: str = ""
) -> MadeCache | None:
    if ref.name is None:
        return None
    lasts = timedelta(seconds=shared.ttl - min(EARLY_S, shared.ttl / 2))
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


async def _none() -> None:
    return None
