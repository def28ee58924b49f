"""What is planned of an execution: files, upload tasks, cache, calls, fallback.

All values are frozen. A list where a tuple belongs is a `TypeError`, so that nothing inside can
be changed; JSON, which has no tuples, is read as usual.
"""

from decimal import Decimal
from typing import Any, Literal, Self, get_origin

from pydantic import Field, ValidationInfo, field_validator, model_validator

from contracts.artifacts import ArtifactRef
from contracts.base import Frozen, Json
from contracts.execution_parts import AnyPart, FilePlaceholder

DEFAULT_STAGES = ("kept", "upload", "cache")
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
    `keep` leaves it to its time to live; else it is deleted at the end. `lasts_s`: for so many
    seconds from its last use on a prefix is to be there, as far as the vendor leaves a choice,
    which may make it dearer to write; None: for as long as vendors keep one anyway.
    """

    reuse_only: bool = False
    required: bool = False
    ttl_s: float = Field(default=3600.0, gt=0)
    floor_tokens: int = Field(default=4096, ge=0)
    confidence: float = Field(default=0.85, ge=0, le=1)
    first_turn_only: bool = False
    keep: bool = True
    lasts_s: float | None = Field(default=None, gt=0)


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

    `reuse_s`: a durable execution takes the answer of an identical call that was given within so
    many seconds, before it uploads, caches or asks anything.

    `cache_name` with the application "override" names a cache of the caller's own.
    """

    model: str = Field(min_length=1)
    parts: tuple[AnyPart, ...] = ()
    settings: CallSettings = CallSettings()
    cache_name: str | None = None
    cache_application: Literal["none", "override"] = "none"
    questions: int = Field(default=1, ge=1)
    reuse_s: float = Field(default=0.0, ge=0)

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
    the account takes one at a time. `timeout` bounds each request, in seconds. `budget` in dollars
    is never passed, fallback and caches included; that of a fallback plan plays no part.
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
    budget: Decimal | None = Field(default=None, gt=0)

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
