"""The state of one call of an execution, and what a stage may decide about it.

A state holds what the next stage needs and nothing else: durations and errors are no part of it.
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, Self, runtime_checkable

from pydantic import model_validator

from contracts.base import Json
from contracts.execution_parts import AnyPart
from contracts.execution_plan import APICall, CallSettings, ExecutionPlan, SourceFile, Strict


class CacheRef(Strict):
    """A cache in use. `key` is the digest of what it holds, where we know.

    `resends` says that the vendor wants the cached prefix sent again with each request. `tokens`
    is its size, where the vendor told it. `lasts_s` is the plan's.
    """

    name: str | None = None
    application: Literal["none", "override", "created", "reused"] = "none"
    key: str = ""
    resends: bool = False
    tokens: int | None = None
    lasts_s: float | None = None

    @model_validator(mode="after")
    def _named_is_applied(self) -> Self:
        if (self.name is None) != (self.application == "none"):
            raise ValueError("a cache has a name and an application, or neither")
        return self


class ExecutionState(Strict):
    """What the stages transform: the plan, the call's effective parts, a cache reference.

    `shared`, where given, stands for the plan's shared parts. `declined` names the stages that
    had work and found that they cannot or need not do it.
    """

    plan: ExecutionPlan
    parts: tuple[AnyPart, ...]
    cache: CacheRef | None = None
    call: int = 0
    shared: tuple[AnyPart, ...] | None = None
    declined: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: ExecutionPlan, call: int) -> "ExecutionState":
        """Return the state in which a call of a plan begins."""
        return cls(plan=plan, parts=plan.calls[call].parts, call=call)

    @property
    def shared_parts(self) -> tuple[Any, ...]:
        """The effective shared parts."""
        return self.plan.shared_parts if self.shared is None else self.shared

    @property
    def api_call(self) -> APICall:
        """The call that this is the state of."""
        return self.plan.calls[self.call]

    def but(self, **changed: Any) -> "ExecutionState":
        """Return a copy with other values, checked."""
        own = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**own, **changed})


class Capabilities(Strict):
    """What a provider can do: names of the protocols that its client implements."""

    names: frozenset[str] = frozenset({"generation"})
    resends_prefix: bool = False

    def __contains__(self, name: object) -> bool:
        return name in self.names


class UploadEffect(Strict):
    """Upload a file. The outcome is a `FileRefPart`."""

    file: SourceFile
    required: bool = False

    @property
    def key(self) -> str:
        """What makes two of them one."""
        return f"upload:{self.file.sha256}:{self.file.mime_type}"


class CacheEffect(Strict):
    """Find or make a cache of the parts. The outcome is a `CacheRef`, without a name for none.

    `keep`: others may find it.
    """

    content_key: str
    parts: tuple[AnyPart, ...]
    settings: CallSettings
    ttl_s: float
    create: bool = True
    required: bool = False
    keep: bool = True

    @property
    def key(self) -> str:
        """What makes two of them one."""
        return f"cache:{self.content_key}" if self.create else f"find:{self.content_key}"


class NamedEffect(Strict):
    """An effect that is not ours: an activity of this name, given the argument as JSON.

    The outcome is the JSON that it returns.
    """

    name: str
    argument: Json = None
    required: bool = True

    @property
    def key(self) -> str:
        """What makes two of them one."""
        return f"{self.name}:{self.argument!r}"


Effect = UploadEffect | CacheEffect | NamedEffect


class Perform(Strict):
    """Do these, then transform the state with the outcomes. None at all: transform it now."""

    effects: tuple[Effect, ...] = ()


class Decline(Strict):
    """There is nothing to be done after all; a reason is shown in the diagnostics."""

    reason: str = ""


class Refuse(Strict):
    """The call cannot be made as it was asked for."""

    message: str


Decision = Perform | Decline | Refuse


@runtime_checkable
class ExecutionStage(Protocol):
    """A step before generation that knows its narrow work and refuses all other.

    Pure: what has to happen in the world is returned as effects. The stages of a plan are asked
    in order, again and again, while one applies; one that has declined does not apply again.
    """

    name: str

    def applies_to(self, state: ExecutionState) -> bool:
        """Tell whether there is work for this stage."""
        ...

    def decide(self, state: ExecutionState, capabilities: Capabilities) -> Decision:
        """Return what to do, given what the provider can do."""
        ...

    def transform(self, state: ExecutionState, outcomes: Mapping[str, Any]) -> ExecutionState:
        """Return the new state. `outcomes` by the effects' keys; those that failed are absent."""
        ...
