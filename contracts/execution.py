"""The execution pattern's values (seed 002): a plan, the state of one call, and what came of it.

```text
ExecutionState → [Upload?] → [Cache?] → … → generation → FinalizedCommand | Failure
```

All are frozen. What is planned stands in `execution_plan`, states and stages in
`execution_state`, parts in `execution_parts`; all of their names are here, too.
"""

from decimal import Decimal

from contracts.artifacts import Value
from contracts.execution_parts import (
    AnyPart,
    ConversationPart,
    FilePlaceholder,
    part_type,
)
from contracts.execution_plan import (
    DEFAULT_STAGES,
    APICall,
    CachePlan,
    CallSettings,
    ExecutionPlan,
    PlannedCommand,
    SourceFile,
    Strict,
    TokenEstimate,
    UploadTask,
)
from contracts.execution_state import (
    CacheEffect,
    CacheRef,
    Capabilities,
    Decision,
    Decline,
    Effect,
    ExecutionStage,
    ExecutionState,
    NamedEffect,
    Perform,
    Refuse,
    UploadEffect,
)
from contracts.messages import ToolCall, Usage
from contracts.parts import FileInlinePart, FileRefPart, TextPart

__all__ = [
    "APICall",
    "AnyPart",
    "CacheEffect",
    "CachePlan",
    "CacheRef",
    "CallResult",
    "CallSettings",
    "Capabilities",
    "ConversationPart",
    "DEFAULT_STAGES",
    "Decision",
    "Decline",
    "Effect",
    "ErrorInfo",
    "ExecutionPlan",
    "ExecutionStage",
    "ExecutionState",
    "Failure",
    "FileInlinePart",
    "FilePlaceholder",
    "FileRefPart",
    "FinalizedCommand",
    "NamedEffect",
    "Perform",
    "PlannedCommand",
    "Refuse",
    "SourceFile",
    "Spent",
    "Strict",
    "Telemetry",
    "TextPart",
    "TokenEstimate",
    "TokenValidation",
    "UploadEffect",
    "UploadTask",
    "part_type",
]


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


class Spent(Strict):
    """What an execution under a budget has spent, in dollars.

    `cost` is what counts: for a request whose usage nobody reported all that was held for it;
    `served` is what vendors are known to have served, `uncertain` the difference.
    """

    budget: Decimal
    cost: Decimal
    served: Decimal
    uncertain: Decimal


class Failure(Strict):
    """An execution, or one call of it, that has no answer. `primary` and `fallback`: why."""

    message: str
    index: int | None = None
    primary: ErrorInfo | None = None
    fallback: ErrorInfo | None = None
    diagnostics: tuple[str, ...] = ()
    telemetry: Telemetry | None = None
    spent: Spent | None = None

    def __str__(self) -> str:
        return self.message


class CallResult(Strict):
    """What came of the call of an index: an output, or a failure.

    `tries` are the requests before it that failed, in order, whoever was asked: some of them may
    have cost something. `retries` counts those of the plan, or of its fallback where that answered.
    `reused_from` names the call ("EXECUTION/0#1") whose answer was taken, at no cost.
    """

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
    tries: tuple[ErrorInfo, ...] = ()
    notes: tuple[str, ...] = ()
    reused_from: str | None = None

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
    spent: Spent | None = None

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
