"""What the activities of an execution are asked and answer, and what its workflow takes and gives.

Large parts travel as `StoredPart`, files by their digest and place. All answers are references or
small.
"""

from decimal import Decimal

from contracts.artifacts import Value
from contracts.base import Frozen
from contracts.execution import (
    AnyPart,
    CacheEffect,
    CacheRef,
    CallResult,
    CallSettings,
    ExecutionPlan,
    Failure,
    SourceFile,
    Spent,
)
from contracts.messages import ToolCall, Usage
from contracts.prices import Price

EXECUTION_WORKFLOW = "callboard.execution"
"""The execution workflow's type, as Temporal knows it."""

EXECUTION_FAILED = "ExecutionFailed"
"""`type` of the error that a failed execution's workflow ends with; its detail is the outcome."""


class Asked(Frozen):
    """A provider and model, for one execution."""

    execution_id: str
    provider: str
    model: str


class UploadCall(Asked):
    """Upload one file.

    `keep_s`: for so many seconds other executions may find it. `fresh`: whatever was uploaded
    before is not to be used.
    """

    file: SourceFile
    keep_s: float = 0.0
    fresh: bool = False


class UploadReply(Frozen):
    """The vendor's reference to an uploaded file. `kept`: another execution has uploaded it."""

    uri: str
    kept: bool = False


class CacheCall(Asked):
    """Find or make a cache. `files` are those of the plan, for placeholders that were left."""

    effect: CacheEffect
    files: tuple[SourceFile, ...] = ()


class GenerateCall(Asked):
    """Make one request. Placeholders among the parts are sent inline.

    With a cache that the vendor keeps, the shared parts and the system text are in it and are
    not sent; with one that `resends`, they are. `timeout` in seconds.
    `reuse_key`: what the answer is kept under for identical calls; "" for nothing.
    """

    index: int
    attempt: int
    parts: tuple[AnyPart, ...]
    shared: tuple[AnyPart, ...] = ()
    files: tuple[SourceFile, ...] = ()
    settings: CallSettings = CallSettings()
    cache: CacheRef | None = None
    timeout: float
    reuse_key: str = ""


class ReuseCall(Asked):
    """Look for the answer of an identical call that was given within so many seconds."""

    key: str
    within_s: float


class GenerateReply(Frozen):
    """A whole answer. `reused_from` names the call that it was given to."""

    output: Value
    usage: Usage | None = None
    finish_reason: str
    tool_calls: tuple[ToolCall, ...] = ()
    model: str | None = None
    notes: tuple[str, ...] = ()
    reused_from: str | None = None


class ReuseReply(Frozen):
    """What was found, if anything."""

    found: GenerateReply | None = None


class RemoveCall(Asked):
    """Delete uploads and caches at the vendor. `forget` are keys of caches that are no more."""

    uploads: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()


class RemoveReply(Frozen):
    """What could not be deleted, and why. That is told, never raised."""

    problems: tuple[str, ...] = ()


class Tariff(Frozen):
    """A price, and the most tokens that prompts have: each call's, and that of the shared parts.

    `max_tokens` is for calls that do not say.
    """

    price: Price
    max_tokens: int
    bounds: tuple[int, ...]
    shared_bound: int = 0


class ExecutionMoney(Frozen):
    """A budget in dollars, and what requests of the plan and of its fallback may cost."""

    budget: Decimal
    primary: Tariff
    fallback: Tariff | None = None


class ExecutionRequest(Frozen):
    """Starts an execution. `execution_id` is the workflow id too.

    `overrides` switch capabilities on or off by name, whatever the client implements. `money`:
    nothing is sent whose worst case it does not hold.
    """

    execution_id: str
    provider: str
    plan: ExecutionPlan
    name: str = ""
    overrides: dict[str, bool] = {}
    money: ExecutionMoney | None = None


class ExecutionOutcome(Frozen):
    """The end of an execution: a result per call, or a failure of the whole. Seconds by stage."""

    results: tuple[CallResult, ...] = ()
    failure: Failure | None = None
    diagnostics: tuple[str, ...] = ()
    durations: dict[str, float] = {}
    spent: Spent | None = None
