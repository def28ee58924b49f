"""What a replay has cost by the time that it reaches some event: one replay, read on its way.

So early and late turns are compared within one replay: what else the machine does happens to both.
Standard library and temporalio only.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.workflow import Info

Watched = Callable[[WorkflowRunner], WorkflowRunner]
"""Puts a watch around what runs workflows."""


def as_it_is(runner: WorkflowRunner) -> WorkflowRunner:
    """Watch nothing."""
    return runner


class Clock:
    """Notes the process's time, in seconds, as a workflow's task comes to each event of some."""

    def __init__(self, events: Sequence[int]) -> None:
        self._left = sorted(events)
        self.read: list[float] = []

    def come_to(self, event: int) -> None:
        """Say that all up to an event is known to the workflow."""
        while self._left and event >= self._left[0]:
            self._left.pop(0)
            self.read.append(time.process_time())

    def around(self, runner: WorkflowRunner) -> WorkflowRunner:
        """Return the runner with this clock in it."""
        return _Runner(runner, self)


class _Runner(WorkflowRunner):
    def __init__(self, inner: WorkflowRunner, clock: Clock) -> None:
        self._inner, self._clock = inner, clock

    def prepare_workflow(self, defn: Any) -> None:
        self._inner.prepare_workflow(defn)

    def set_worker_level_failure_exception_types(self, types: Any) -> None:
        self._inner.set_worker_level_failure_exception_types(types)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _Instance(self._inner.create_instance(det), self._clock)


class _Instance(WorkflowInstance):
    def __init__(self, inner: WorkflowInstance, clock: Clock) -> None:
        self._inner, self._clock = inner, clock

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        self._clock.come_to(act.history_length)
        return self._inner.activate(act)

    def get_serialization_context(self, command_info: Any) -> Any:
        return self._inner.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> Any:
        return self._inner.get_external_store_context(command_info)

    def get_info(self) -> Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()
