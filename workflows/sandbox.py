"""Workflows whose payloads have no serialization context: in Temporal's sandbox, or without it.

The SDK asks a workflow's instance which serialization context a payload belongs to, three times
for each one, and the sandbox's instance goes inside to find out: a tenth of the processor time of
a run (and a thirtieth without the sandbox). No converter, codec or storage of ours looks at a
context, so the answer is "none" at once.
A converter that needs one (`WithSerializationContext`) needs Temporal's own runner.

Workers run workflows without the sandbox, tests and replays within it (decision 0026).
"""

from typing import Any

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import StorageDriverStoreContext
from temporalio.worker import (
    UnsandboxedWorkflowRunner,
    WorkflowInstance,
    WorkflowInstanceDetails,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import Info


class ContextFreeSandbox(SandboxedWorkflowRunner):
    """Runs workflows in Temporal's sandbox, their payloads without a serialization context."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Return an instance that knows no contexts."""
        return _ContextFree(super().create_instance(det))


class ContextFreeUnsandboxed(UnsandboxedWorkflowRunner):
    """Runs workflows without a sandbox, and their payloads without a serialization context."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Return an instance that knows no contexts."""
        return _ContextFree(super().create_instance(det))


class _ContextFree(WorkflowInstance):
    """An instance that is asked only to work."""

    def __init__(self, inside: WorkflowInstance) -> None:
        self._inside = inside

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        return self._inside.activate(act)

    def get_serialization_context(self, command_info: Any) -> None:
        return None

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Info:
        return self._inside.get_info()

    def get_thread_id(self) -> int | None:
        return self._inside.get_thread_id()
