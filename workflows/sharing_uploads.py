"""A run's uploads: each file once per provider, in as many tries as surely upload it once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from temporalio import workflow

from contracts.calls import CallFailure
from contracts.execution import Capabilities
from contracts.execution_calls import UploadCall
from contracts.failures import FailureKind
from contracts.files import AttachedFile
from contracts.plans import Candidate
from contracts.sharing import Uploaded
from rules import execution
from rules.stages import NOT_SUPPORTED
from workflows.effects import Effects
from workflows.state import RunState

R = TypeVar("R")


async def retried(
    make: Callable[[], Awaitable[R | CallFailure]], effects: Effects
) -> R | CallFailure:
    """Try what leaves something behind at the vendor, as long as it surely has not done so."""
    failed, waited = 0, 0.0
    while True:
        reply = await make()
        if not isinstance(reply, CallFailure):
            return reply
        failed += 1
        wait = execution.wait_before_retry(reply, failed, waited, effects.random(), creates=True)
        if wait is None:
            return reply
        if wait > 0:
            await effects.sleep(wait)
        waited += wait


class Uploading:
    """Uploads files, and remembers where they lie in the run's state."""

    def __init__(self, state: RunState, effects: Effects) -> None:
        self._state, self._effects = state, effects
        self._tasks: dict[tuple[str, str], asyncio.Task[str | CallFailure]] = {}
        self._fresh: set[tuple[str, str]] = set()

    async def all(
        self,
        candidate: Candidate,
        files: Sequence[AttachedFile],
        *,
        able: Capabilities,
        required: bool,
        keep_s: float,
    ) -> dict[str, str] | CallFailure:
        """Return the files' addresses by SHA-256, without those that are sent with the request.

        Where they are `required`, the failure of one is returned, naming it.
        """
        if "uploads" not in able:
            if not required:
                return {}
            names = ", ".join(file.name for file in files)
            message = f"{NOT_SUPPORTED} by {candidate.provider}: {names}"
            return _refused(message)
        done = await asyncio.gather(*(self._once(candidate, file, keep_s) for file in files))
        uris: dict[str, str] = {}
        for file, uri in zip(files, done, strict=True):
            if isinstance(uri, str):
                uris[file.sha256] = uri
            elif required:
                return uri.model_copy(update={"message": f"upload of {file.name}: {uri.message}"})
            else:
                workflow.logger.warning("upload of %s failed: %s", file.name, uri.message)
        return uris

    def drop_kept(self, provider: str, uris: Mapping[str, str]) -> bool:
        """Forget files that another run has uploaded; say whether there were any."""
        there = self._state.at_vendors
        kept = {
            one.sha256
            for one in there.uploads
            if one.provider == provider and one.sha256 in uris and not one.ours
        }
        left = tuple(u for u in there.uploads if u.provider != provider or u.sha256 not in kept)
        self._state.at_vendors = there.model_copy(update={"uploads": left})
        for sha256 in sorted(kept):
            self._tasks.pop((provider, sha256), None)
            self._fresh.add((provider, sha256))
        return bool(kept)

    def cancel(self) -> None:
        """Give up what is on its way."""
        for task in self._tasks.values():
            task.cancel()

    async def _once(
        self, candidate: Candidate, file: AttachedFile, keep_s: float
    ) -> str | CallFailure:
        key = (candidate.provider, file.sha256)
        task = self._tasks.get(key)
        if task is None or (task.done() and _may_be_tried_again(task)):
            task = asyncio.create_task(self._upload(candidate, file, keep_s))
            self._tasks[key] = task
        return await asyncio.shield(task)

    async def _upload(
        self, candidate: Candidate, file: AttachedFile, keep_s: float
    ) -> str | CallFailure:
        for known in self._state.at_vendors.uploads:
            if (known.provider, known.sha256) == (candidate.provider, file.sha256):
                return known.uri
        call = UploadCall(
            execution_id=self._state.request.run_id,
            provider=candidate.provider,
            model=candidate.model,
            file=file.source,
            keep_s=keep_s,
            fresh=(candidate.provider, file.sha256) in self._fresh,
        )
        reply = await retried(lambda: self._effects.upload(call), self._effects)
        if isinstance(reply, CallFailure):
            return reply
        made = Uploaded(
            provider=candidate.provider, sha256=file.sha256, uri=reply.uri, ours=not reply.kept
        )
        there = self._state.at_vendors
        update = {"uploads": (*there.uploads, made)}
        self._state.at_vendors = there.model_copy(update=update)
        return reply.uri


def _may_be_tried_again(task: "asyncio.Task[str | CallFailure]") -> bool:
    if task.cancelled():
        return True
    result = task.result()
    return isinstance(result, CallFailure) and result.retryable


def _refused(message: str) -> CallFailure:
    return CallFailure(
        kind=FailureKind.INVALID_REQUEST, message=message, retryable=False, sent=False
    )
