"""The execution pattern's values (seed 002): a plan, the state of one call, and what came of it.

```text
ExecutionState → [Upload?] → [Cache?] → … → generation → FinalizedCommand | Failure
```

All are frozen. A list where a tuple belongs is a `TypeError`, so that nothing inside can be
changed; JSON, which has no tuples, is read as usual. A state holds what the next stage needs and
nothing else: durations and errors are no part of it.
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, Self, get_origin, runtime_checkable

from pydantic import Field, ValidationInfo, field_validator, model_validator

from contracts.artifacts import ArtifactRef, Value
from contracts.base import Frozen, Json
from contracts.execution_parts import AnyPart as AnyPart
from contracts.execution_parts import ConversationPart as ConversationPart
from contracts.execution_parts import FilePlaceholder as FilePlaceholder
from contracts.execution_parts import part_type as part_type
from contracts.messages import ToolCall, Usage
from contracts.parts import FileInlinePart as FileInlinePart
from contracts.parts import FileRefPart as FileRefPart
from contracts.parts import TextPart as TextPart

DEFAULT_STAGES = ("upload", "cache")
"""What may apply before generation, in the order in which it is asked."""


class Strict(Frozen):
    """A contract that takes no list for a tuple from Python."""

    @model_validator(mode="before")
    @classmethod
    def _tuples_are_tuples(cls, data: Any, info: ValidationInfo) -> Any:
        if info.mode == "json" or not isinstance(data, dict):
            return data
        for name, value in data.items():
            field = cls.model_fields.get(name)
            if field is None or not isinstance(value, list):
                continue
            if get_origin(field.annotation) is tuple:
                raise TypeError(f"{cls.__name__}.{name} must be a tuple, not a list")
        return data


# What is planned


class SourceFile(Strict):
    """A file as it was when the plan was made.

    `content` says where its bytes are kept, once they were stored; else they are at `path`.
    """

    path: str
    mime_type: str
    size_bytes: int
    sha256: str
    name: str = ""
    content: ArtifactRef | None = None


class UploadTask(Strict):
    """Upload the file that a part stands for.

    `part_index` counts within the parts of the call, from 0; where `call` is None, within the
    shared parts. Required: without an upload the execution fails; else the file is sent inline.
    """

    part_index: int
    call: int | None = 0
    required: bool = True


class CachePlan(Strict):
    """How the shared parts are cached at the vendor.

    `ttl_s` in seconds. No cache is made where the estimate says with at least `confidence` that
    the prompt is smaller than `floor_tokens` (vendors refuse small ones), nor, with
    `first_turn_only`, for a conversation that goes on. `reuse_only` takes one that is there.
    `keep` leaves it to its time to live; else it is deleted at the end.
    """

    reuse_only: bool = False
    required: bool = False
    ttl_s: float = Field(default=3600.0, gt=0)
    floor_tokens: int = Field(default=4096, ge=0)
    confidence: float = Field(default=0.85, ge=0, le=1)
    first_turn_only: bool = False
    keep: bool = True


class TokenEstimate(Strict):
    """How large a prompt of the plan may be, the shared parts included, in tokens.

    `confidence` that it is within the bounds, from 0 to 1. Where calls differ: the largest.
    """

    min: int = Field(ge=0)
    expected: int = Field(ge=0)
    max: int = Field(ge=0)
    confidence: float = Field(default=0.9, ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.min <= self.expected <= self.max:
            raise ValueError("an estimate needs min <= expected <= max")
        return self


class CallSettings(Strict):
    """What a call asks of the model beside its parts; None is the vendor's default."""

    system: str | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    stop: tuple[str, ...] = ()
    seed: int | None = None
    response_schema: dict[str, Json] | None = None
    json_mode: bool = False
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    thinking_budget: int | None = Field(default=None, ge=0)


class APICall(Strict):
    """One request. `questions`: how many prompts it holds, each to be answered for itself.

    `cache_name` with the application "override" names a cache of the caller's own.
    """

    model: str = Field(min_length=1)
    parts: tuple[AnyPart, ...] = ()
    settings: CallSettings = CallSettings()
    cache_name: str | None = None
    cache_application: Literal["none", "override"] = "none"
    questions: int = Field(default=1, ge=1)

    @field_validator("cache_name")
    @classmethod
    def _blank_is_none(cls, name: str | None) -> str | None:
        return name if name and name.strip() else None

    @model_validator(mode="after")
    def _named_is_applied(self) -> Self:
        if self.cache_name and self.cache_application == "none":
            raise ValueError("cache_name is given, and cache_application is 'none'")
        return self


class ExecutionPlan(Strict):
    """What is to be asked, of which model, with which files; and what to do if that fails.

    `provider`: None is the handler's. `fallback` is executed once where this plan's call failed
    for good: its call of the same index, else its first. `stages` names those that may apply
    before generation. `concurrency` is how many calls may be open; `rate_constrained` says that
    the account takes one at a time. `timeout` bounds each request, in seconds.
    """

    calls: tuple[APICall, ...]
    shared_parts: tuple[AnyPart, ...] = ()
    files: tuple[SourceFile, ...] = ()
    upload_tasks: tuple[UploadTask, ...] = ()
    cache: CachePlan | None = None
    token_estimate: TokenEstimate | None = None
    fallback: "ExecutionPlan | None" = None
    provider: str | None = None
    stages: tuple[str, ...] = DEFAULT_STAGES
    concurrency: int | None = Field(default=None, ge=1)
    rate_constrained: bool = False
    keep_uploads: bool = False
    timeout: float = Field(default=300.0, gt=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.calls:
            raise ValueError("a plan needs at least one call")
        models = sorted({call.model for call in self.calls})
        if len(models) > 1:
            raise ValueError(f"all calls of a plan use one model, not {', '.join(models)}")
        if self.fallback is not None and self.fallback.fallback is not None:
            raise ValueError("a fallback plan has no fallback of its own")
        for parts in (self.shared_parts, *(call.parts for call in self.calls)):
            for part in parts:
                if isinstance(part, FilePlaceholder) and part.index >= len(self.files):
                    raise ValueError(
                        f"a part stands for file {part.index}, the plan has {len(self.files)}"
                    )
        return self

    @property
    def model(self) -> str:
        """The model of all calls."""
        return self.calls[0].model


class PlannedCommand(Strict):
    """A plan on its way to execution. `name` is for people."""

    plan: ExecutionPlan
    name: str = ""


# The state of one call


class CacheRef(Strict):
    """A cache in use. `key` is the digest of what it holds, where we know.

    `resends` says that the vendor wants the cached prefix sent again with each request.
    """

    name: str | None = None
    application: Literal["none", "override", "created", "reused"] = "none"
    key: str = ""
    resends: bool = False

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


# What a stage decides


class UploadEffect(Strict):
    """Upload a file. The outcome is a `FileRefPart`."""

    file: SourceFile
    required: bool = False

    @property
    def key(self) -> str:
        """What makes two of them one."""
        return f"upload:{self.file.sha256}:{self.file.mime_type}"


class CacheEffect(Strict):
    """Find or make a cache of the parts. The outcome is a `CacheRef`, without a name for none."""

    content_key: str
    parts: tuple[AnyPart, ...]
    settings: CallSettings
    ttl_s: float
    create: bool = True
    required: bool = False

    @property
    def key(self) -> str:
        """What makes two of them one."""
        return f"cache:{self.content_key}"


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
    """There is nothing to be done after all; the reason is shown in the diagnostics."""

    reason: str


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


# What came of it


class ErrorInfo(Strict):
    """Why a request failed. `usage` is what it cost nevertheless, where that is known."""

    kind: str
    message: str
    retryable: bool = False
    status: int | None = None
    provider: str = ""
    model: str = ""
    usage: Usage | None = None

    def __str__(self) -> str:
        where = f"{self.provider} {self.model}".strip()
        return f"{where}: {self.kind}: {self.message}" if where else f"{self.kind}: {self.message}"


class Telemetry(Strict):
    """Seconds by handler and stage, in all calls together; one that did not run has 0."""

    durations: dict[str, float] = {}


class Failure(Strict):
    """An execution, or one call of it, that has no answer. `primary` and `fallback`: why."""

    message: str
    index: int | None = None
    primary: ErrorInfo | None = None
    fallback: ErrorInfo | None = None
    diagnostics: tuple[str, ...] = ()
    telemetry: Telemetry | None = None

    def __str__(self) -> str:
        return self.message


class CallResult(Strict):
    """What came of the call of an index: an output, or a failure."""

    index: int
    output: Value | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""
    usage: Usage | None = None
    provider: str = ""
    model: str = ""
    cache: CacheRef | None = None
    retries: int = 0
    retried_without_cache: bool = False
    used_fallback: bool = False
    primary_error: ErrorInfo | None = None
    failure: Failure | None = None
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The answer's text; "" for a failure."""
        inline = self.output.inline if self.output is not None else None
        return inline if isinstance(inline, str) else ""


class TokenValidation(Strict):
    """An estimate beside the prompt tokens that the vendor counted. Observed, never enforced."""

    min: int
    expected: int
    max: int
    actual: int
    in_range: bool


class FinalizedCommand(Strict):
    """An executed plan: one result per call, in order, of which at least one has an answer.

    `diagnostics` tell what was left out or done otherwise. `payload` is all but the telemetry.
    """

    planned: PlannedCommand
    results: tuple[CallResult, ...]
    diagnostics: tuple[str, ...] = ()
    token_validation: TokenValidation | None = None
    telemetry: Telemetry | None = None

    @property
    def payload(self) -> "FinalizedCommand":
        """The same without telemetry, which is no part of what was asked for."""
        return self.model_copy(update={"telemetry": None})

    @property
    def used_fallback(self) -> bool:
        """Whether some call was answered by the fallback plan."""
        return any(result.used_fallback for result in self.results)

    @property
    def retried_without_cache(self) -> bool:
        """Whether some call was answered without the cache that it should have used."""
        return any(result.retried_without_cache for result in self.results)

    @property
    def primary_error(self) -> ErrorInfo | None:
        """Why the first call that needed its fallback did."""
        return next((r.primary_error for r in self.results if r.primary_error), None)
