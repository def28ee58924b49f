"""An engine's access to its runs: started with the first, closed in order however it ends.

Strategy: one task of the caller's loop keeps the place of the runs open (`client.engine.place`).
It ends when it is told to, or when the loop does, and waits for the place to be closed.
"""

import asyncio
import contextlib

from client.connection import connect
from client.engine.bridging import OnLoop
from client.engine.limiting import RateLimiter
from client.engine.place import Place, Served, Serving
from client.runs import Runs
from client.storage import open_storage
from providers.spi import LLMClient


class Host:
    """The server and the worker of one engine."""

    def __init__(
        self,
        name: str,
        own: LLMClient,
        limiter: RateLimiter,
        concurrency: int,
        serving: Serving | None = None,
    ) -> None:
        self._name, self._own, self._limiter = name, own, limiter
        self._concurrency, self._serving = concurrency, serving
        self._keeper: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[Runs] | None = None
        self._stopping: asyncio.Event | None = None
        self.ui_url: str | None = None

    async def runs(self) -> Runs:
        """Return what starts and follows runs; the first call starts the rest.

        Raises what keeps it from starting: client.devserver's errors, ServerUnreachable,
        ConfigError, StoreError. A later call tries again.
        """
        if self._keeper is None or self._keeper.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._stopping = asyncio.Event()
            self._keeper = asyncio.create_task(self._keep(self._ready, self._stopping))
        assert self._ready is not None
        return await asyncio.shield(self._ready)

    async def stop(self) -> None:
        """Stop the worker, which finishes what is in flight, then the server. Safe to repeat."""
        if self._keeper is not None and self._stopping is not None:
            self._stopping.set()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep(self, ready: "asyncio.Future[Runs]", stopping: asyncio.Event) -> None:
        place: Place | None = None
        try:
            from config.settings import load_settings

            settings = load_settings()
            storage = open_storage(settings)
            served = Served(
                settings,
                self._name,
                OnLoop(self._own),
                self._limiter,
                self._concurrency,
                self._serving,
            )
            place = Place(served)
            address = await asyncio.shield(asyncio.wrap_future(place.opened))
            client = await connect(address.server)
            self.ui_url = address.ui_url
            lasting = address.ui_url is None
            ready.set_result(Runs(client, storage.store, storage.spools, searched=lasting))
            await stopping.wait()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)
            ready.exception()  # whoever asked is told; there may be nobody left
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self.ui_url = None
            if place is not None:
                place.stop()
                await _closed(place)


async def _closed(place: Place) -> None:
    """Wait for a place to be closed, even when the loop is ending."""
    ended = asyncio.wrap_future(place.ended)
    while not ended.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(ended)
