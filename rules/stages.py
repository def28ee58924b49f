"""The stages before generation: when each applies, what it decides, how it changes the state.

Pure. Which stages a plan has, and in which order, is in the plan; a program adds its own with
`register_stage` in the process that executes, and nothing else changes. Those that come with
Callboard:

- kept: a cache of the shared parts that is there, at a vendor who keeps them, stands for them.
  Their files are then not uploaded again.
- upload: placeholders become references to uploaded files. Without the capability it declines
  (the files are then sent inline) or, where an upload is required, refuses.
- cache: the shared parts become a cache reference. A name of the caller's own needs no
  capability; everything else that stands in the way is a reason to go on without.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from contracts.execution import (
    CacheEffect,
    CacheRef,
    Capabilities,
    ConversationPart,
    Decision,
    Decline,
    ExecutionPlan,
    ExecutionStage,
    ExecutionState,
    FilePlaceholder,
    FileRefPart,
    Perform,
    Refuse,
    UploadEffect,
    UploadTask,
)
from rules.identity import content_key

NOT_SUPPORTED = "Uploads required but not supported"


class _Work(NamedTuple):
    """A placeholder to be replaced: in the shared parts or the call's own, at which index."""

    shared: bool
    at: int
    file: int
    required: bool


class KeptStage:
    """Finds a cache that an execution before this one has left, where files are shared."""

    name = "kept"

    def applies_to(self, state: ExecutionState) -> bool:
        """Tell whether a cache is asked for that would save uploads."""
        if self.name in state.declined or state.cache is not None or state.plan.cache is None:
            return False
        files = any(isinstance(part, FilePlaceholder) for part in state.shared_parts)
        return files and state.api_call.cache_name is None and _why_not(state) is None

    def decide(self, state: ExecutionState, capabilities: Capabilities) -> Decision:
        """Look for it, where the vendor keeps what is cached."""
        if "caching" not in capabilities or capabilities.resends_prefix:
            return Decline()
        return Perform(effects=(_cache_effect(state, create=False),))

    def transform(self, state: ExecutionState, outcomes: Mapping[str, Any]) -> ExecutionState:
        """Refer to the cache, if there is one."""
        found = _named(outcomes)
        changed = state.but(declined=(*state.declined, self.name))
        return changed if found is None else changed.but(cache=found)


class UploadStage:
    """Replaces placeholders by uploaded files."""

    name = "upload"

    def applies_to(self, state: ExecutionState) -> bool:
        """Tell whether a placeholder, or a task without one, is left."""
        if self.name in state.declined:
            return False
        return bool(_placeholders(state) or _unfulfilled(state))

    def decide(self, state: ExecutionState, capabilities: Capabilities) -> Decision:
        """Upload every file once; refuse what is required and impossible."""
        work = _placeholders(state)
        left = _unfulfilled(state)
        required = [task for task in left if task.required]
        if "uploads" not in capabilities:
            if required:
                return Refuse(message=f"{NOT_SUPPORTED} by the provider{_told(state, work)}")
            return Decline(reason="the provider takes no uploads; files are sent inline")
        known = {(item.shared, item.at) for item in work}
        for task in required:
            if (task.call is None, task.part_index) not in known:
                return Refuse(message=_misplaced(state, task))
        if not work:
            return Decline(reason="the upload tasks name no file")
        need: dict[str, UploadEffect] = {}
        for item in work:
            effect = UploadEffect(file=state.plan.files[item.file], required=item.required)
            other = need.get(effect.key)
            if other is None or effect.required:
                need[effect.key] = effect
        return Perform(effects=tuple(need.values()))

    def transform(self, state: ExecutionState, outcomes: Mapping[str, Any]) -> ExecutionState:
        """Put the references where the placeholders were."""
        own, shared = list(state.parts), list(state.shared_parts)
        for item in _placeholders(state):
            uploaded = outcomes.get(UploadEffect(file=state.plan.files[item.file]).key)
            if isinstance(uploaded, FileRefPart):
                (shared if item.shared else own)[item.at] = uploaded
        changed = state.but(parts=tuple(own), shared=tuple(shared))
        if self.applies_to(changed):  # something optional could not be done
            return changed.but(declined=(*changed.declined, self.name))
        return changed


def _placeholders(state: ExecutionState) -> list[_Work]:
    """Return the placeholders that are left; one without a task is an optional upload.

    What a cache at the vendor has is not uploaded.
    """
    cached = _keeps_shared(state)
    required = {(t.call is None, t.part_index) for t in _tasks(state) if t.required}
    return [
        _Work(shared, index, part.index, (shared, index) in required)
        for shared, parts in ((True, state.shared_parts), (False, state.parts))
        for index, part in enumerate(parts)
        if isinstance(part, FilePlaceholder) and not (shared and cached)
    ]


def _tasks(state: ExecutionState) -> list[UploadTask]:
    """Return the tasks of this state's call, and those of the shared parts."""
    return [task for task in state.plan.upload_tasks if task.call in (None, state.call)]


def _unfulfilled(state: ExecutionState) -> list[UploadTask]:
    tasks = [task for task in _tasks(state) if not (task.call is None and _keeps_shared(state))]
    return [task for task in tasks if not isinstance(_target(state, task), FileRefPart)]


def _target(state: ExecutionState, task: UploadTask) -> object:
    parts = state.shared_parts if task.call is None else state.parts
    return parts[task.part_index] if 0 <= task.part_index < len(parts) else None


def _misplaced(state: ExecutionState, task: UploadTask) -> str:
    where = "the shared parts" if task.call is None else f"call {task.call}"
    if _target(state, task) is None:
        return f"an upload is required of part {task.part_index} of {where}, which is out of range"
    return f"an upload is required of part {task.part_index} of {where}, which is no file"


def _told(state: ExecutionState, work: list[_Work]) -> str:
    names = [state.plan.files[item.file] for item in work if item.required]
    return f": {', '.join(file.name or file.path for file in names)}" if names else ""


class CacheStage:
    """Finds or makes a cache of the shared parts."""

    name = "cache"

    def applies_to(self, state: ExecutionState) -> bool:
        """Tell whether a cache is asked for and neither there nor given up."""
        if self.name in state.declined or state.cache is not None:
            return False
        return state.api_call.cache_name is not None or state.plan.cache is not None

    def decide(self, state: ExecutionState, capabilities: Capabilities) -> Decision:
        """Take the caller's own cache, or find or make one, or say why not."""
        cache = state.plan.cache
        if state.api_call.cache_name is not None or cache is None:
            return Perform()
        reason = _why_not(state)
        if reason is not None:
            return Decline(reason=reason)
        if "caching" not in capabilities:
            if cache.required:
                return Refuse(message="Caching required but not supported by the provider")
            return Decline(reason="the provider makes no caches")
        return Perform(effects=(_cache_effect(state, create=not cache.reuse_only),))

    def transform(self, state: ExecutionState, outcomes: Mapping[str, Any]) -> ExecutionState:
        """Refer to the cache; without one the call goes on uncached."""
        own = state.api_call.cache_name
        if own is not None:
            return state.but(cache=CacheRef(name=own, application="override"))
        found = _named(outcomes)
        if found is None:
            return state.but(declined=(*state.declined, self.name))
        lasts = state.plan.cache.lasts_s if state.plan.cache is not None else None
        return state.but(cache=found.model_copy(update={"lasts_s": lasts}))


def _cache_effect(state: ExecutionState, *, create: bool) -> CacheEffect:
    plan, settings = state.plan, state.api_call.settings
    assert plan.cache is not None
    return CacheEffect(
        content_key=content_key(plan.model, settings.system, plan.shared_parts, plan.files),
        parts=state.shared_parts,
        settings=settings,
        ttl_s=plan.cache.ttl_s,
        create=create,
        keep=plan.cache.keep,
        required=plan.cache.required and create,
    )


def _named(outcomes: Mapping[str, Any]) -> CacheRef | None:
    """Return the cache that was found or made, if any was."""
    found = (o for o in outcomes.values() if isinstance(o, CacheRef) and o.name is not None)
    return next(found, None)


def _keeps_shared(state: ExecutionState) -> bool:
    """Whether the vendor has the shared parts: nothing of them is sent."""
    return state.cache is not None and state.cache.name is not None and not state.cache.resends


def _why_not(state: ExecutionState) -> str | None:
    cache = state.plan.cache
    if cache is None:
        return "no cache is asked for"
    if not state.plan.shared_parts:
        return "there are no shared parts"
    talk = any(isinstance(p, ConversationPart) for p in (*state.shared_parts, *state.parts))
    if cache.first_turn_only and talk:
        return "the conversation goes on, and only a first turn is cached"
    estimate = state.plan.token_estimate
    if estimate is None or cache.reuse_only:
        return None
    if estimate.max < cache.floor_tokens and estimate.confidence >= cache.confidence:
        return f"at most {estimate.max:,} tokens, fewer than {cache.floor_tokens:,}"
    return None


_stages: dict[str, ExecutionStage] = {
    stage.name: stage for stage in (KeptStage(), UploadStage(), CacheStage())
}


class UnknownStage(ValueError):
    """A plan names a stage that this process does not know."""


def register_stage(stage: ExecutionStage) -> None:
    """Make a stage known by its name, in this process; it replaces one of the same name."""
    _stages[stage.name] = stage


def stages_of(plan: ExecutionPlan) -> tuple[ExecutionStage, ...]:
    """Return a plan's stages, in order. Raises `UnknownStage`."""
    unknown = [name for name in plan.stages if name not in _stages]
    if unknown:
        known = ", ".join(_stages)
        raise UnknownStage(f"no stage {unknown[0]!r} is registered here (there are: {known})")
    return tuple(_stages[name] for name in plan.stages)
