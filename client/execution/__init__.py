"""Seed 002's face: plan, execute, build.

```python
plan = plan_execution(["report.pdf"], ["Sum it up.", "List the risks."], model="gpt-4o")
finalized = await APIHandler(client).handle(plan)
result = ResultBuilder().handle(finalized)
```

A client object is asked in this process; `APIHandler("openai")` executes durably, by workers.
"""

from client.execution.building import ExecutionResult, Metrics, ResultBuilder
from client.execution.caches import CacheRegistry
from client.execution.handler import APIHandler
from client.execution.planning import ExecutionOptions, OptionsError, plan_execution
from client.execution.sources import SourceError, describe_file
from client.execution.telemetry import Reporter
from contracts.execution import (
    APICall,
    CachePlan,
    CacheRef,
    CallResult,
    CallSettings,
    ConversationPart,
    ExecutionPlan,
    ExecutionStage,
    ExecutionState,
    Failure,
    FileInlinePart,
    FilePlaceholder,
    FileRefPart,
    FinalizedCommand,
    PlannedCommand,
    SourceFile,
    TextPart,
    TokenEstimate,
    TokenValidation,
    UploadTask,
    part_type,
)
from rules.stages import register_stage

__all__ = [
    "APICall",
    "APIHandler",
    "CachePlan",
    "CacheRef",
    "CacheRegistry",
    "CallResult",
    "CallSettings",
    "ConversationPart",
    "ExecutionOptions",
    "ExecutionPlan",
    "ExecutionResult",
    "ExecutionStage",
    "ExecutionState",
    "Failure",
    "FileInlinePart",
    "FilePlaceholder",
    "FileRefPart",
    "FinalizedCommand",
    "Metrics",
    "OptionsError",
    "PlannedCommand",
    "Reporter",
    "ResultBuilder",
    "SourceError",
    "SourceFile",
    "TextPart",
    "TokenEstimate",
    "TokenValidation",
    "UploadTask",
    "describe_file",
    "part_type",
    "plan_execution",
    "register_stage",
]
