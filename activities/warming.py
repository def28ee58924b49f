"""Tells a run that the first token of an answer is there, so that a cached prefix can be used.

Best effort and beside the stream: it never delays or fails a paid call. A run that is not told
goes on when the attempt has ended.
"""

import asyncio

from temporalio import activity

from contracts.sharing import WARM_SIGNAL, PrefixWarm


class Warming:
    """Tells once, for one attempt. `key` "" has nothing to tell."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._task: asyncio.Task[None] | None = None

    def told(self) -> None:
        """Tell, unless that was done. Returns at once."""
        if self._key and self._task is None:
            self._task = asyncio.create_task(self._tell())

    def close(self) -> None:
        """Give up what has not arrived: the attempt's end tells the run as well."""
        if self._task is not None:
            self._task.cancel()

    async def _tell(self) -> None:
        info = activity.info()
        if info.workflow_id is None:
            return
        try:
            run = activity.client().get_workflow_handle(
                info.workflow_id, run_id=info.workflow_run_id
            )
            await run.signal(WARM_SIGNAL, PrefixWarm(key=self._key))
        except Exception as error:
            activity.logger.warning("the run is not told of a token: %s", type(error).__name__)
