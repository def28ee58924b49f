"""Where an engine's runs are worked on: a thread of its own, with the server and the worker.

A configured Temporal server is used; otherwise the embedded one is started, on a file of its own
that goes when it stops. In both cases the runs and the caller's client are served by this process
alone, on queues of its own: nobody else has the client. Results and bills stay in the store.

The thread has an event loop of its own, so that neither a program that blocks its loop nor one
that cancels all of its tasks, as `asyncio.run` does at its end, can hurt a run's worker.
"""

import asyncio
import atexit
import concurrent.futures
import contextlib
import importlib
import sys
import tempfile
import threading
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from temporalio.client import Client

from client.connection import configured_address, connect
from client.devserver import DevServer, find_server
from client.engine.limiting import RateLimiter
from providers.spi import LLMClient

if TYPE_CHECKING:
    from config.settings import Settings

SETTLE_S = 0.05
"""The SDK's threads need a moment after the last connection, or may crash a program's exit."""

EXIT_LIMIT_S = 10.0
"""For the thread, when the program ends without having stopped it."""


class Serving(Protocol):
    """Serves runs on the queue `name`, and a client's calls on `provider_queue(name)`."""

    def __call__(
        self,
        client: Client,
        settings: "Settings",
        name: str,
        own: LLMClient,
        limiter: RateLimiter,
        concurrency: int,
        /,
    ) -> AbstractAsyncContextManager[None]:
        """Serve while the context lasts."""
        ...


def default_serving() -> Serving:
    """Return the composition root's; it is looked up late, since it imports what serves."""
    serving: Serving = importlib.import_module("worker").own_client_workers
    return serving


@dataclass(frozen=True)
class Served:
    """What the thread works with."""

    settings: "Settings"
    name: str
    own: LLMClient
    limiter: RateLimiter
    concurrency: int
    serving: Serving | None = None


@dataclass(frozen=True)
class Address:
    """Where the server is; the web UI's address where it is our own."""

    server: str
    ui_url: str | None = None


class Place:
    """The thread. It begins at once; `opened` has the server's address, or why there is none."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.opened: concurrent.futures.Future[Address] = concurrent.futures.Future()
        self.ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._stop: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._work, name=served.name, daemon=True)
        atexit.register(self._at_exit)
        self._thread.start()

    def stop(self) -> None:
        """Tell the thread to stop: what is in flight is finished or handed back. Never waits."""
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self._stop.set_result(None)

    def _at_exit(self) -> None:
        self.stop()
        self._thread.join(EXIT_LIMIT_S)

    def _work(self) -> None:
        try:
            asyncio.run(self._main())
        finally:
            atexit.unregister(self._at_exit)
            self.ended.set_result(None)

    async def _main(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                stopped = asyncio.wrap_future(self._stop)
                opening = asyncio.create_task(self._open(stack))
                watched: set[asyncio.Future[Any]] = {opening, stopped}
                await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
                if not opening.done():
                    opening.cancel()
                self.opened.set_result(await opening)
                await stopped
        except BaseException as error:
            if not self.opened.done():
                self.opened.set_exception(error)
        finally:
            await asyncio.sleep(SETTLE_S)

    async def _open(self, stack: AsyncExitStack) -> Address:
        served = self._served
        serving = served.serving or default_serving()
        configured = configured_address()
        address = Address(configured) if configured else await self._embedded(stack)
        client = await connect(address.server)
        await stack.enter_async_context(
            serving(
                client,
                served.settings,
                served.name,
                served.own,
                served.limiter,
                served.concurrency,
            )
        )
        return address

    async def _embedded(self, stack: AsyncExitStack) -> Address:
        """Start a server of this engine's own. Nobody searches it: it goes when the engine does."""
        binary = await asyncio.to_thread(find_server, _report)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callboard-engine-")))
        server = DevServer(binary, folder / "temporal.db", log_file=folder / "server.log")
        await stack.enter_async_context(server)
        return Address(server.address, server.ui_url)


def _report(text: str) -> None:
    print(text, file=sys.stderr)
